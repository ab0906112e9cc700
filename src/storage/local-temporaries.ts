// Temporary files that an interrupted put left in a local storage: finding them, and removing the old ones.
// Lists never show them, so nothing else does. The age must be longer than any put takes: it is compared with the
// file's own time, which on a network mount is the server's.

import { unlink } from "node:fs/promises";
import { resolve } from "node:path";
import type { Clock } from "../base/clock.ts";
import { isTemporaryName } from "./keys.ts";
import { isAbsent, storageError } from "./local/errno.ts";
import { walkFiles } from "./local/walk.ts";

export interface Temporary {
  /** Path below the root. */
  readonly key: string;
  /** Bytes. */
  readonly size: number;
  /** Milliseconds since it was last written. */
  readonly age: number;
}

export interface SweepOptions {
  root: string;
  /** Milliseconds; younger files may belong to a put of a running process. */
  ageMin: number;
  clock: Clock;
  /** Remove what is found; otherwise it is only told. */
  remove: boolean;
  signal?: AbortSignal | undefined;
}

/** The temporary files below `root` that are older than `ageMin`, removed when `remove` is set. */
export async function sweepTemporaries(options: SweepOptions): Promise<Temporary[]> {
  const { clock, ageMin, remove, signal } = options;
  const root = resolve(options.root);
  const found: Temporary[] = [];
  for await (const { key, stats } of walkFiles(root, "", { wanted: isTemporaryName, signal })) {
    const age = clock.now() - stats.mtimeMs;
    if (age < ageMin) continue;
    if (remove) await removeFile(root, key);
    found.push({ key, size: stats.size, age });
  }
  return found;
}

async function removeFile(root: string, key: string): Promise<void> {
  try {
    await unlink(`${root}/${key}`);
  } catch (error) {
    if (!isAbsent(error)) throw storageError(error, "remove", key);
  }
}
