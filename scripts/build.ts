// `npm run build`: src/ becomes dist/, which the package and the image run. Starts from an empty dist/, so that a
// file removed from src/ cannot live on in a release.

import { spawnSync } from "node:child_process";
import { rmSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dirname, "..");

rmSync(join(root, "dist"), { recursive: true, force: true });
const { status, error } = spawnSync("tsc", ["-p", "tsconfig.build.json"], {
  cwd: root,
  stdio: "inherit",
});
if (error) throw error;
process.exitCode = status ?? 1;
