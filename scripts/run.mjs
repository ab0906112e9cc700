// The door to every npm script: installs what package-lock.json asks for and node_modules lacks, then runs a script
// of this project with the pinned Node. Plain JavaScript without dependencies, because the Node that runs it is
// whatever the machine has (18 or newer).
//
//   node scripts/run.mjs scripts/check.ts [argument…]

import { spawn, spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { constants } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const modules = join(root, "node_modules");
const pinned = join(modules, "node", "bin", "node");
const oldest = [24, 12];

/** True when a package that the lock file names is not installed, or not in that version. */
function isStale() {
  if (!existsSync(join(modules, ".package-lock.json"))) return true;
  const wanted = packagesOf(join(root, "package-lock.json"));
  const present = packagesOf(join(modules, ".package-lock.json"));
  return Object.entries(wanted).some(
    ([path, { version, optional }]) => path && !optional && present[path]?.version !== version,
  );
}

function packagesOf(lockFile) {
  return JSON.parse(readFileSync(lockFile, "utf8")).packages;
}

function fail(line) {
  process.stderr.write(`${line}\n`);
  process.exit(1);
}

/** Installs with the npm that runs us, or with the one on PATH. */
function install() {
  process.stderr.write("Installing what package-lock.json names …\n");
  const npm = process.env.npm_execpath;
  const [program, first] = npm?.endsWith(".js") ? [process.execPath, [npm]] : ["npm", []];
  // Our standard output may be read by a program: npm speaks on standard error.
  const { status, error } = spawnSync(
    program,
    [...first, "ci", "--no-audit", "--no-fund", "--loglevel=error"],
    {
      cwd: root,
      stdio: ["ignore", 2, 2],
    },
  );
  if (error) fail(`npm does not run: ${error.message}`);
  if (status !== 0) fail("npm ci failed; its own words are above.");
}

/** The pinned Node, or the one that runs us when it is new enough. */
function chooseNode() {
  if (existsSync(pinned)) return pinned;
  const [major, minor] = process.versions.node.split(".").map(Number);
  if (major > oldest[0] || (major === oldest[0] && minor >= oldest[1])) return process.execPath;
  return fail(
    `Node ${process.versions.node} is older than ${oldest.join(".")}, and the pinned one is not in node_modules: ` +
      "run `npm ci` with install scripts allowed, or install a newer Node.",
  );
}

if (isStale()) install();
const node = chooseNode();
const [script, ...rest] = process.argv.slice(2);
if (!script) fail("Which script? For example: node scripts/run.mjs scripts/check.ts");

const child = spawn(node, ["--disable-warning=ExperimentalWarning", script, ...rest], {
  stdio: "inherit",
  env: {
    ...process.env,
    PATH: [dirname(node), join(modules, ".bin"), process.env.PATH].join(delimiter),
  },
});
// Ctrl-C reaches the whole group; stay until the child has cleaned up.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
child.on("error", (error) => fail(`${node} does not run: ${error.message}`));
child.on("exit", (code, signal) => {
  process.exitCode = code ?? 128 + (constants.signals[signal] ?? 0);
});
