// Which folders of a filestore have changed since they were last listed, by their modification times alone: no notification of
// the kernel is needed, so it works on volumes that others write to over a network, and on read-only mounts.
//
// A folder may change again without a new time, within the granularity of the file system's clock. So a listing counts only
// when it began that long after its time was first seen: by then that clock has moved on, whatever it shows.

import { lstatSync, readdirSync } from "node:fs";
import type { BigIntStats } from "node:fs";
import type { Clock } from "../../base/clock.ts";
import { errnoOf } from "../../base/errors.ts";

/** Longer than the coarsest clock of a file system ticks (FAT: 2 s). */
const GRANULARITY_MS = 2500;

interface Stamp {
  readonly mtime: bigint;
  readonly inode: bigint;
  /** Monotonic milliseconds when this time was first seen. */
  readonly seen: number;
  /** Listed late enough: nothing can have changed without a new time. */
  isSettled: boolean;
}

/** A folder that has to be looked at. */
export interface ListedFolder {
  readonly names: readonly string[];
  readonly stat: BigIntStats;
}

export class FolderWatch {
  readonly #clock: Clock;
  readonly #stamps = new Map<string, Stamp>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * The names in the folder at `path`, or undefined when they are those of the last listing, or when there is no such folder:
   * a symbolic link is none. Throws what the system calls throw otherwise.
   */
  list(path: string): ListedFolder | undefined {
    const stat = statFolder(path);
    if (stat === undefined) {
      this.#stamps.delete(path);
      return undefined;
    }
    const now = this.#clock.monotonic();
    let stamp = this.#stamps.get(path);
    if (stamp === undefined || stamp.mtime !== stat.mtimeNs || stamp.inode !== stat.ino) {
      stamp = { mtime: stat.mtimeNs, inode: stat.ino, seen: now, isSettled: false };
      this.#stamps.set(path, stamp);
    } else if (stamp.isSettled) return undefined;
    const names = readNames(path);
    if (names === undefined) return undefined;
    stamp.isSettled = now - stamp.seen >= GRANULARITY_MS;
    return { names, stat };
  }

  /** Forgets all times: every folder is listed again. */
  reset(): void {
    this.#stamps.clear();
  }
}

/** What lstat says of a folder; undefined when there is none. */
export function statFolder(path: string): BigIntStats | undefined {
  const stat = lstatSync(path, { bigint: true, throwIfNoEntry: false });
  return stat?.isDirectory() === true ? stat : undefined;
}

function readNames(path: string): string[] | undefined {
  try {
    return readdirSync(path);
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") return undefined;
    throw error;
  }
}
