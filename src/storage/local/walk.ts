// Walking the files below a directory: what list and the search for temporaries share.
// Links to directories are followed, because repositories do get spread over disks that way, but never in a circle.
// What vanishes meanwhile is left out; whatever else cannot be read is an error, never a shorter walk.

import type { Dirent, Stats } from "node:fs";
import { lstat, readdir, realpath, stat } from "node:fs/promises";
import { throwIfCancelled } from "../../base/cancellation.ts";
import { HoldfastError } from "../../base/errors.ts";
import { isAbsent, storageError } from "./errno.ts";
import type { QuickCalls } from "./quick-calls.ts";

/** How many files are asked for their size at once; the thread pool of the process does four at a time. */
const STATS_AT_ONCE = 32;

export interface FoundFile {
  /** Path below the root, segments joined by "/". */
  readonly key: string;
  readonly stats: Stats;
}

export interface WalkOptions {
  /** Which files to yield, by key. */
  wanted: (key: string) => boolean;
  /** Looks files up without another thread. */
  quick?: QuickCalls;
  signal?: AbortSignal | undefined;
}

interface Directory {
  /** Key of the directory with a final "/", or "". */
  readonly prefix: string;
  /** Real paths of the links that were followed to get here. */
  readonly followed: readonly string[];
}

/** Yields every regular file below `prefix` ("" or ending in "/") of `root`, in no particular order. */
export async function* walkFiles(
  root: string,
  prefix: string,
  options: WalkOptions,
): AsyncGenerator<FoundFile> {
  const { signal, wanted, quick } = options;
  const directories: Directory[] = [{ prefix, followed: [] }];
  for (let next = directories.pop(); next !== undefined; next = directories.pop()) {
    throwIfCancelled(signal);
    const names: string[] = [];
    for (const entry of await entriesOf(root, next.prefix)) {
      const key = next.prefix + entry.name;
      if (entry.isDirectory()) directories.push({ prefix: `${key}/`, followed: next.followed });
      else if (entry.isSymbolicLink() || (entry.isFile() && wanted(key))) names.push(key);
    }
    for (let i = 0; i < names.length; i += STATS_AT_ONCE) {
      throwIfCancelled(signal);
      await quick?.rest();
      const batch = names.slice(i, i + STATS_AT_ONCE);
      for (const found of await Promise.all(batch.map((key) => look(root, key, quick)))) {
        if (found?.stats.isDirectory()) directories.push(await follow(root, found.key, next));
        else if (found?.stats.isFile() && wanted(found.key)) yield found;
      }
    }
  }
}

async function entriesOf(root: string, prefix: string): Promise<Dirent[]> {
  try {
    return await readdir(`${root}/${prefix}`, { withFileTypes: true });
  } catch (error) {
    if (!isAbsent(error)) throw storageError(error, "list", `${root}/${prefix}`);
  }
  // An unmounted volume must not pass for an empty one.
  await assertRoot(root);
  return [];
}

/** Throws STORAGE_NOT_FOUND when the root itself is gone. */
export async function assertRoot(root: string): Promise<void> {
  try {
    const stats = await stat(root);
    if (stats.isDirectory()) return;
  } catch (error) {
    throw storageError(error, "open", root);
  }
  throw new HoldfastError("STORAGE_FAILED", `cannot open ${root}: it is not a directory`);
}

/** The file or directory of that key, through links; undefined when it is gone. */
async function look(
  root: string,
  key: string,
  quick: QuickCalls | undefined,
): Promise<FoundFile | undefined> {
  const known = quick?.stat(`${root}/${key}`);
  if (known !== undefined) return { key, stats: known };
  try {
    return { key, stats: await stat(`${root}/${key}`) };
  } catch (error) {
    // A link whose target is away (another disk, not mounted) is still there, and stands for objects.
    if (!isAbsent(error)) throw storageError(error, "list", key);
    if (!(await isLink(`${root}/${key}`))) return undefined;
    throw new HoldfastError("STORAGE_FAILED", `cannot list ${key}: its link leads nowhere`, {
      hint: "mount what the symbolic link points to, or remove the link",
      cause: error,
    });
  }
}

async function isLink(path: string): Promise<boolean> {
  const stats = await lstat(path).catch(() => undefined);
  return stats?.isSymbolicLink() ?? false;
}

async function follow(root: string, key: string, from: Directory): Promise<Directory> {
  let real: string;
  try {
    real = await realpath(`${root}/${key}`);
  } catch (error) {
    throw storageError(error, "list", key);
  }
  if (from.followed.includes(real)) {
    throw new HoldfastError("STORAGE_FAILED", `cannot list ${key}: its links form a circle`, {
      hint: "remove the symbolic link that leads back to its own directory",
    });
  }
  return { prefix: `${key}/`, followed: [...from.followed, real] };
}
