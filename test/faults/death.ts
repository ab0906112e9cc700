// Loaded into the real program by NODE_OPTIONS=--import: kills it, as kill -9 does, at the n-th call that changes a file
// system. DEATH_AT is n, DEATH_IN the threads where calls count, "main" or "worker", each for itself; DEATH_LOG names a
// file that gets a byte for each such call, so that a test can count them. Nothing of this is in the product.

import fs from "node:fs";
import fsPromises from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
import { isMainThread } from "node:worker_threads";

const at = Number(process.env["DEATH_AT"] ?? "0");
const log = process.env["DEATH_LOG"];
const record = log === undefined ? undefined : fs.openSync(log, "a");
const writeSync = fs.writeSync.bind(fs);
const isCounted = isMainThread === ((process.env["DEATH_IN"] ?? "main") === "main");
let calls = 0;

function count(): void {
  if (!isCounted) return;
  calls++;
  if (record !== undefined) writeSync(record, ".");
  // Half of the calls still happen, half do not: a process dies before or after one.
  if (calls === at) process.kill(process.pid, "SIGKILL");
}

/** Counts each call of some functions before it happens. */
function watch(object: object, names: readonly string[]): void {
  const functions = object as Record<string, (...values: unknown[]) => unknown>;
  for (const name of names) {
    const original = functions[name]!;
    functions[name] = function watched(this: unknown, ...values: unknown[]): unknown {
      count();
      return original.apply(this, values);
    };
  }
}

const synchronous = [
  "writeSync",
  "mkdirSync",
  "renameSync",
  "linkSync",
  "symlinkSync",
  "unlinkSync",
];
watch(fs, [...synchronous, "openSync", "rmSync", "rmdirSync", "ftruncateSync", "writeFileSync"]);
watch(fs, ["fchownSync", "fchmodSync", "futimesSync", "chmodSync", "lchownSync", "utimesSync"]);
watch(fsPromises, ["open", "link", "rename", "unlink", "mkdir", "rm", "writeFile"]);
const probe = await fsPromises.open("/dev/null");
watch(Object.getPrototypeOf(probe) as object, ["write", "sync", "chmod"]);
await probe.close();
calls = 0;
syncBuiltinESMExports();
