// `npm run demo`: the whole story in a minute, on generated data in .demo/. A filestore is backed up, grows, is backed
// up again, is destroyed, and comes back; every file is then checked against the SHA-1 that is its name. If the real
// restic is here, it checks the repository too. Ends with exit status 1 when anything does not come back.

import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { basename, join, relative } from "node:path";
import { generateDataSet } from "../bench/data-set.ts";
import type { FilestoreEntry } from "../bench/data-set/filestore.ts";
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

/** Runs a program in the filestore's folder, showing the command and what it says; how many seconds it took. */
function run(program: string, ...args: string[]): number {
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
  const seconds = (performance.now() - begun) / 1000;
  console.log(`  (${seconds.toFixed(2)} s)`);
  return seconds;
}

const holdfast = (...args: string[]): number => run(join(root, "bin", "holdfast"), ...args);

/** Every file below `folder`: the SHA-1 of its content, by the path it has there. */
function fingerprints(folder: string): Map<string, { sha1: string; bytes: number }> {
  const found = new Map<string, { sha1: string; bytes: number }>();
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    const body = readFileSync(path);
    const sha1 = createHash("sha1").update(body).digest("hex");
    found.set(relative(folder, path), { sha1, bytes: body.length });
  }
  return found;
}

/** Bytes of all files below `folder`. */
function bytesBelow(folder: string): number {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0);
}

/** Adds attachments to the filestore as an Odoo database would; what that database says of them. */
function grow(seed: string, files: number, faults: number): readonly FilestoreEntry[] {
  const bytes = files * 150_000;
  const made = generateDataSet({ out: filestore, profile: "S", files, bytes, seed, faults });
  console.log(`${made.files} attachments, ${megabytes(made.bytes)}`);
  return made.entries;
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

rmSync(place, { recursive: true, force: true });
mkdirSync(filestore, { recursive: true });

tell("An Odoo filestore: each file is named by the SHA-1 of what should be in it");
const entries = [...grow("yesterday", 800, 6)];
console.log("(a crash long before any backup left some of them torn, cut short, empty or lost)");

tell("The first backup");
holdfast("init");
const firstSeconds = holdfast("backup", "filestore");

tell("A day passes: new attachments, and another backup");
entries.push(...grow("today", 80, 0));
const secondSeconds = holdfast("backup", "filestore");
holdfast("snapshots");

tell("Disaster: the filestore is gone");
const before = fingerprints(filestore);
rmSync(filestore, { recursive: true });
console.log(`$ rm -r filestore   (${before.size} files)`);

tell("Recovery");
const restoreSeconds = holdfast("restore", "latest", "--target", join(place, "recovered"));

tell("Proof");
const after = fingerprints(join(place, "recovered", "filestore"));
const lost = [...before].filter(([path, { sha1 }]) => after.get(path)?.sha1 !== sha1);
const proved = [...after].filter(([path, { sha1 }]) => basename(path) === sha1);
const damaged = [...after.keys()].filter((path) => basename(path) !== after.get(path)!.sha1);
const faults = new Map(entries.map(({ sha1, fault }) => [sha1, fault]));
const unexplained = damaged.filter((path) => faults.get(basename(path)) === undefined);
console.log(
  `${after.size} of ${before.size} files are back, ${lost.length} differ from the source`,
);
console.log(`${proved.length} of them match the SHA-1 that is their name`);
for (const path of damaged) {
  console.log(
    `  ${path.slice(0, 14)}… does not: ${faults.get(basename(path)) ?? "DAMAGED"} at the source`,
  );
}
holdfast("check", "--read-data");

const restic = peerStatus("restic-newest");
if ("path" in restic) {
  tell(`The same repository, read by restic ${restic.version}`);
  run(restic.path, "check", "--read-data");
} else {
  console.log(`(restic is not here to check it too: ${restic.missing})`);
}

const complete = lost.length === 0 && unexplained.length === 0 && after.size === before.size;
const sourceBytes = [...before.values()].reduce((sum, { bytes }) => sum + bytes, 0);
const storedBytes = bytesBelow(repository);
const rows: [string, string][] = [
  ["protected", `${before.size} files, ${megabytes(sourceBytes)}, in 2 snapshots`],
  ["stored", `${megabytes(storedBytes)}, encrypted; every blob opened again before it was kept`],
  ["first backup", `${firstSeconds.toFixed(2)} s`],
  ["second backup", `${secondSeconds.toFixed(2)} s, reading the new files only`],
  ["restore", `${restoreSeconds.toFixed(2)} s`],
  ["proved", `${proved.length} files by their SHA-1, ${damaged.length} were damaged at the source`],
];
tell(complete ? "Everything came back, bit for bit" : "NOT everything came back");
for (const [title, text] of rows) console.log(`   ${title.padEnd(14)} ${text}`);
console.log(`\n   Look around in ${place}; the next demonstration starts afresh.`);
if (!complete) process.exitCode = 1;
