// The first bytes of a file on this machine, for tag files that keep their directory out of a backup.

import { closeSync, constants, lstatSync, openSync, readSync } from "node:fs";
import { errnoOf } from "../base/errors.ts";

/**
 * Up to `length` first bytes of the file at `path` (a byte string), or undefined when nothing is there. With length 0
 * the file is not opened. Throws system errors.
 */
export function readFileStart(path: string, length: number): Uint8Array | undefined {
  const name = Buffer.from(path, "latin1");
  try {
    lstatSync(name);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
  const bytes = Buffer.alloc(length);
  if (length === 0) return bytes;
  // Without blocking: a pipe of that name would wait for a writer.
  const file = openSync(name, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    let filled = 0;
    while (filled < length) {
      const count = readSync(file, bytes, filled, length - filled, null);
      if (count === 0) break;
      filled += count;
    }
    return bytes.subarray(0, filled);
  } finally {
    closeSync(file);
  }
}
