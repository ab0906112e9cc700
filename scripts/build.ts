// `npm run build`: src/ becomes dist/. The modules, as tsc emits them, are what others import; dist/program/ holds the
// same code as one file for the program and one for each worker thread, because a program of a hundred small modules
// takes twice as long to start, and a mover starts often. Starts from an empty dist/, so that a file removed from src/
// cannot live on in a release.

import { spawnSync } from "node:child_process";
import { globSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";

const root = join(import.meta.dirname, "..");
const dist = join(root, "dist");

rmSync(dist, { recursive: true, force: true });
const { status, error } = spawnSync("tsc", ["-p", "tsconfig.build.json"], {
  cwd: root,
  stdio: "inherit",
});
if (error) throw error;
if (status !== 0) process.exit(status ?? 1);

// What is emitted must be the sources without their types, as Node runs them in tests. With an older target the compiler
// makes variables of its own (`var _a;`) for classes that name themselves, and once put one in the place of a property
// that had the name of its class: uploads in parts failed in the package alone.
const emitted = globSync("**/*.js", { cwd: dist });
const changed = emitted.filter((name) =>
  /^var _\w+;$/m.test(readFileSync(join(dist, name), "utf8")),
);
if (changed.length > 0)
  throw new Error(`the compiler changed more than types in ${changed.join(", ")}`);

await build({
  absWorkingDir: dist,
  // main.js loads program.js only after it has switched the compile cache on.
  entryPoints: ["cli/main.js", "cli/program.js", ...globSync("*/*-worker.js", { cwd: dist })],
  outdir: join(dist, "program"),
  entryNames: "[name]",
  bundle: true,
  // Large, wanted by few, and loaded by those alone.
  external: [
    "./program.js",
    "@aws-sdk/*",
    "google-auth-library",
    "openpgp",
    "pg",
    "age-encryption",
    "xz-decompress",
  ],
  // For Node the package offers CommonJS, which cannot be part of a module.
  alias: { yaml: join(root, "node_modules", "yaml", "browser", "index.js") },
  platform: "node",
  format: "esm",
  target: "node24",
  legalComments: "eof",
  logLevel: "warning",
});
