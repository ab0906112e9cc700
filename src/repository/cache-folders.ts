// The caches of all repositories in one folder, ours and restic's alike (docs/formats/restic.md#cache): which there are, how
// long they have not been used, how much they take. A cache may go at any time; nothing else in the folder is ever touched.

import { lstat, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf } from "../base/errors.ts";

export interface CacheFolder {
  /** Id of its repository, or `restic-check-cache-` and a number for one that a check left behind. */
  name: string;
  path: string;
  /** When it was opened last, in milliseconds since 1970. */
  usedAt: number;
}

const NAME = /^(?:[a-fA-F0-9]{64}|restic-check-cache-[0-9]+)$/;

/** The caches in `folder`, the longest unused first; none when there is no such folder. */
export async function listCacheFolders(folder: string): Promise<CacheFolder[]> {
  const caches: CacheFolder[] = [];
  for (const entry of await entriesOf(folder)) {
    if (!entry.isDirectory() || !NAME.test(entry.name)) continue;
    const path = join(folder, entry.name);
    caches.push({ name: entry.name, path, usedAt: (await lstat(path)).mtimeMs });
  }
  return caches.sort((a, b) => a.usedAt - b.usedAt);
}

async function entriesOf(folder: string) {
  try {
    return await readdir(folder, { withFileTypes: true });
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return [];
    throw error;
  }
}

/** Bytes of the files in it. */
export async function cacheBytes({ path }: CacheFolder): Promise<number> {
  let bytes = 0;
  for (const entry of await readdir(path, { withFileTypes: true, recursive: true })) {
    if (!entry.isDirectory()) bytes += (await lstat(join(entry.parentPath, entry.name))).size;
  }
  return bytes;
}

/** Removes a cache with all that is in it. */
export async function removeCacheFolder({ path }: CacheFolder): Promise<void> {
  await rm(path, { recursive: true, force: true });
}
