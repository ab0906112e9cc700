// `npm run demo`: the whole story in a minute, on generated data in .demo/. A filestore is backed up, grows, is backed
// up again, is destroyed, and comes back; every file is then checked against the SHA-1 that is its name. If the real
// restic is here, it checks the repository too. Ends with exit status 1 when anything does not come back.

import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { generateDataSet } from "../bench/data-set.ts";
import { peerStatus } from "../test/peers.ts";

const root = join(import.meta.dirname, "..");
const place = join(root, ".demo");
const filestore = join(place, "filestore");
const repository = join(place, "repository");
const environment = {
  ...process.env,
  RESTIC_REPOSITORY: repository,
  RESTIC_PASSWORD: "only for the demonstration",
  RESTIC_CACHE_DIR: join(place, "cache"),
};

/** Prints a heading of the story. */
function tell(text: string): void {
  console.log(`\n── ${text}`);
}

/** Runs a program in the filestore's folder, showing the command and what it says. */
function run(program: string, ...args: string[]): void {
  console.log(`$ ${basename(program)} ${args.join(" ")}`);
  const begun = performance.now();
  const { status, error } = spawnSync(program, args, {
    cwd: place,
    env: environment,
    stdio: ["ignore", "inherit", "inherit"],
  });
  if (error) throw error;
  if (status !== 0) {
    console.error(
      `\n${basename(program)} ${args[0]} ended with ${status}; ${place} is left as it is.`,
    );
    process.exit(1);
  }
  console.log(`  (${((performance.now() - begun) / 1000).toFixed(2)} s)`);
}

const holdfast = (...args: string[]): void => run(join(root, "bin", "holdfast"), ...args);

/** The files below `folder` by name, and which of them are not what their name says. */
function inspect(folder: string): { names: string[]; damaged: string[] } {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  );
  const damaged = files.filter((file) => {
    const body = readFileSync(join(file.parentPath, file.name));
    return createHash("sha1").update(body).digest("hex") !== file.name;
  });
  const nameOf = (file: { name: string }): string => file.name;
  return { names: files.map(nameOf).toSorted(), damaged: damaged.map(nameOf) };
}

function grow(seed: string, files: number): void {
  const made = generateDataSet({
    out: filestore,
    profile: "S",
    files,
    bytes: files * 150_000,
    seed,
  });
  console.log(`${made.files} attachments, ${(made.bytes / 1e6).toFixed(1)} MB`);
}

rmSync(place, { recursive: true, force: true });
mkdirSync(filestore, { recursive: true });

tell("An Odoo filestore");
grow("yesterday", 800);

tell("The first backup");
holdfast("init");
holdfast("backup", "filestore");

tell("A day passes: new attachments, and another backup");
grow("today", 80);
holdfast("backup", "filestore");
holdfast("snapshots");

tell("Disaster: the filestore is gone");
const before = inspect(filestore);
rmSync(filestore, { recursive: true });

tell("Recovery");
holdfast("restore", "latest", "--target", join(place, "recovered"));

tell("Proof");
const after = inspect(join(place, "recovered"));
const missing = before.names.filter((name) => !after.names.includes(name));
console.log(`${after.names.length} of ${before.names.length} attachments are back`);
console.log(`${after.damaged.length} differ from the SHA-1 that is their name`);
holdfast("check", "--read-data");

const restic = peerStatus("restic-newest");
if ("path" in restic) {
  tell(`The same repository, read by restic ${restic.version}`);
  run(restic.path, "check", "--read-data");
  run(restic.path, "snapshots");
} else {
  console.log(`(restic is not here to check it too: ${restic.missing})`);
}

const complete = missing.length === 0 && after.damaged.length === 0;
tell(complete ? "Everything came back." : "NOT everything came back.");
console.log(`Look around in ${place}; the next demonstration starts afresh.`);
if (!complete) process.exitCode = 1;
