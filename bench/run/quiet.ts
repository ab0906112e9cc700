// Keeps what one command leaves behind from slowing the next one: the kernel's memory and file system remember what
// happened in the last minutes, and whoever runs at the wrong moment would pay for it.

import {
  closeSync,
  existsSync,
  openSync,
  readFileSync,
  readSync,
  readdirSync,
  renameSync,
  rmSync,
  statfsSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";

const BLOCK_BYTES = 8 << 20;
const FREE_BYTES_MAX = 2 << 30;

/**
 * Fills free memory with cached zeros, which the kernel reuses as it likes. A virtual machine may have given its free
 * memory back to the host, and pays several microseconds for each page that it touches again: seconds for a restore of
 * a few gigabytes, or none for the tool that happens to run after it.
 */
export function fillMemory(folder: string): void {
  const file = join(folder, "zeros");
  if (!existsSync("/proc/meminfo")) return;
  const free = Number(/MemFree: +(\d+)/.exec(readFileSync("/proc/meminfo", "utf8"))?.[1]) * 1024;
  if (!(free > FREE_BYTES_MAX)) return;
  rmSync(file, { force: true });
  writeFileSync(file, "");
  truncateSync(file, free);
  readFile(file, Buffer.alloc(BLOCK_BYTES));
}

/** Reads every file below `folder`, so that all of it is in the page cache. */
export function readAll(folder: string): void {
  const block = Buffer.alloc(BLOCK_BYTES);
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) readFile(join(entry.parentPath, entry.name), block);
  }
}

function readFile(path: string, block: Buffer): void {
  const descriptor = openSync(path, "r");
  while (readSync(descriptor, block) > 0);
  closeSync(descriptor);
}

/** Trees that have served, and are deleted at the end or when the disk fills up. */
export class Attic {
  readonly #folder: string;
  readonly #reserve: number;
  readonly #kept: string[] = [];
  #count = 0;

  /** `reserve`: bytes of the file system below `folder` that stay free. */
  constructor(folder: string, reserve: number) {
    this.#folder = folder;
    this.#reserve = reserve;
  }

  /**
   * Puts `tree` away. ext4 looks for inodes past those that were freed in the last minutes, one by one: a restore after
   * a deletion would spend most of its time there.
   */
  take(tree: string): void {
    if (!existsSync(tree)) return;
    const place = join(this.#folder, `attic-${this.#count++}`);
    renameSync(tree, place);
    this.#kept.push(place);
    while (this.#kept.length > 0 && this.#freeBytes() < this.#reserve) {
      rmSync(this.#kept.shift()!, { recursive: true, force: true });
    }
  }

  #freeBytes(): number {
    const { bavail, bsize } = statfsSync(this.#folder);
    return bavail * bsize;
  }
}
