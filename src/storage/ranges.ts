// Byte ranges of get: what a caller may ask for, and the error of an object that is too short for it.
// A short object must never look like a short read.

import { HoldfastError } from "../base/errors.ts";
import type { GetOptions } from "./storage.ts";

export interface ByteRange {
  readonly offset: number;
  /** Number of bytes, or undefined for "to the end". */
  readonly length: number | undefined;
}

/** The range asked for; BUG when it is no range or `into` does not fit it. */
export function rangeOf(key: string, options: GetOptions): ByteRange {
  const { offset = 0, length, into } = options;
  const wrong = (why: string): HoldfastError =>
    new HoldfastError("BUG", `cannot read ${key}: ${why}`);
  if (!isCount(offset)) throw wrong(`offset ${offset}`);
  if (length !== undefined && !isCount(length)) throw wrong(`length ${length}`);
  if (into !== undefined && length === undefined) throw wrong("memory is given without a length");
  if (into !== undefined && length !== undefined && into.length < length) {
    throw wrong(`${length} bytes do not fit into ${into.length}`);
  }
  return { offset, length };
}

/** The number of bytes `range` takes from an object of `size` bytes; STORAGE_FAILED when it is too short. */
export function lengthWithin(key: string, range: ByteRange, size: number): number {
  const { offset, length = Math.max(0, size - offset) } = range;
  if (offset + length <= size) return length;
  const wanted = range.length === undefined ? "a start" : `${length} bytes`;
  throw new HoldfastError(
    "STORAGE_FAILED",
    `${key} is truncated: ${wanted} at offset ${offset} wanted, but it has ${size} bytes`,
  );
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}
