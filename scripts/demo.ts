// `npm run demo`: the whole story in about a minute. An Odoo database and its filestore are at work on a real PostgreSQL
// server; they are protected, somebody makes a mistake, the disks fail, and both come back to one moment, every file checked
// (scripts/demo/story.ts). This is its door: PostgreSQL refuses to run as root, so root becomes somebody else here, in a place
// that this somebody can reach.

import { spawn, spawnSync } from "node:child_process";
import { chownSync, cpSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { constants, tmpdir } from "node:os";
import { join, relative } from "node:path";
import { parseArgs } from "node:util";
import { isHoldfastError } from "../src/base/errors.ts";
import { serverAccount } from "../src/postgres/server-account.ts";
import type { ServerAccount } from "../src/postgres/server-process.ts";
import { makePlace, whyNot } from "./demo/place.ts";

const USAGE = `npm run demo [-- options]

  --yes            ask nothing: recover to the moment before the mistake
  --folder DIR     where everything goes (default: .demo in this checkout); each demonstration empties it
  --seconds N      how long people work before somebody makes a mistake (default: 15)
`;
/** What a copy of this checkout can do without. */
const LEFT_OUT = new Set(
  [".git", ".peers", ".demo", "dist"].concat(
    ["binaryen", "typescript", "@typescript", "@oxlint", "@oxlint-tsgolint", "@esbuild"].map(
      (name) => join("node_modules", name),
    ),
  ),
);

const root = join(import.meta.dirname, "..");
const { values } = parseArgs({
  options: {
    yes: { type: "boolean", default: false },
    folder: { type: "string" },
    seconds: { type: "string", default: "15" },
    help: { type: "boolean", default: false },
  },
});
const seconds = Number(values.seconds);
// A folder that somebody named may hold anything.
const refusal = values.folder === undefined ? undefined : whyNot(values.folder);
if (values.help || !(seconds >= 0)) {
  process.stdout.write(USAGE);
  process.exitCode = values.help ? 0 : 1;
} else if (refusal !== undefined) {
  console.error(refusal);
  process.exitCode = 1;
} else if (process.getuid?.() === 0) {
  process.exitCode = await runAs(serverAccount(0)!);
} else {
  const place = values.folder ?? join(root, ".demo");
  try {
    const { tellStory } = await import("./demo/story.ts");
    const isAsking = process.stdin.isTTY && !values.yes;
    const isGood = await tellStory({ root, place, isAsking, seconds });
    process.exitCode = isGood ? 0 : 1;
  } catch (error) {
    const { code } = error as { code?: unknown };
    if (isHoldfastError(error)) console.error(`${error.message}\n${error.hint ?? ""}`);
    else if (code === "EACCES" || code === "EPERM")
      console.error(`${place} belongs to somebody else: remove it, or name another --folder`);
    else throw error;
    process.exitCode = 1;
  }
}

/** Runs this program under another account; its exit status. */
async function runAs(account: ServerAccount): Promise<number> {
  const isInReach = canRead(root, account);
  const home = isInReach ? root : copyOf(root);
  // In a folder that everybody may write, a name that can be guessed may be somebody else's.
  const place =
    values.folder ??
    (isInReach ? join(root, ".demo") : mkdtempSync(join(tmpdir(), "holdfast-demo-")));
  makePlace(place);
  for (const path of [place, ...readdirSync(place).map((name) => join(place, name))])
    chownSync(path, account.uid, account.gid);
  console.log(`(PostgreSQL does not run as root: user ${account.uid} does all of this)`);
  const words = ["scripts/demo.ts", "--folder", place, "--seconds", values.seconds];
  const child = spawn(
    nodeOf(home),
    ["--disable-warning=ExperimentalWarning", ...words, ...(values.yes ? ["--yes"] : [])],
    {
      cwd: home,
      stdio: "inherit",
      env: { ...process.env, HOME: place, TMPDIR: tmpdir(), HOLDFAST_NODE: nodeOf(home) },
      ...account,
    },
  );
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
    process.on(signal, () => child.kill(signal));
  const status = await new Promise<number>((resolve, reject) => {
    child.on("error", reject);
    child.on("exit", (code, signal) =>
      resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal])),
    );
  });
  if (!isInReach) rmSync(home, { recursive: true, force: true });
  return status;
}

/** True when the account can run this checkout's programs where they are. */
function canRead(folder: string, account: ServerAccount): boolean {
  const files = ["bin/holdfast", "package.json", "node_modules/pg/package.json"];
  const words = files.map((file) => join(folder, file));
  const { status } = spawnSync("/bin/cat", words, { cwd: "/", stdio: "ignore", ...account });
  return (
    status === 0 && spawnSync(nodeOf(folder), ["-e", ""], { cwd: "/", ...account }).status === 0
  );
}

/** The Node of a checkout, or the one that runs us. */
function nodeOf(folder: string): string {
  const pinned = join(folder, "node_modules", "node", "bin", "node");
  return spawnSync(pinned, ["--version"], { stdio: "ignore" }).status === 0
    ? pinned
    : process.execPath;
}

/** A copy of the checkout that everybody can read. */
function copyOf(folder: string): string {
  const copy = mkdtempSync(join(tmpdir(), "holdfast-checkout-"));
  console.log(
    `(nobody but root can enter ${folder}: the programs are copied to ${copy} for this run)`,
  );
  cpSync(folder, copy, {
    recursive: true,
    verbatimSymlinks: true,
    filter: (path) => !LEFT_OUT.has(relative(folder, path)),
  });
  spawnSync("/bin/chmod", ["-R", "a+rX", copy]);
  return copy;
}
