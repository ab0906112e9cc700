// Positions in the write-ahead log, and the segments they lie in (docs/formats/barman.md#positions). A position is a
// bigint of 64 bits, a segment the number of its place in the log; names of segments are those of src/barman/wal-name.ts.

import { HoldfastError } from "../base/errors.ts";

/** A byte position in the write-ahead log. */
export type Lsn = bigint;

const LSN = /^([0-9A-Fa-f]{1,8})\/([0-9A-Fa-f]{1,8})$/;

export const SEGMENT_SIZE_DEFAULT = 0x1000000;

/** True for the segment sizes that PostgreSQL takes: powers of two from 1 MiB to 1 GiB. */
export function isSegmentSize(size: number): boolean {
  return size >= 1 << 20 && size <= 1 << 30 && (size & (size - 1)) === 0;
}

/** Throws BARMAN_NAME_INVALID for a size that no server can have. */
export function requireSegmentSize(size: number): void {
  if (isSegmentSize(size)) return;
  throw new HoldfastError("BARMAN_NAME_INVALID", `${size} bytes is no size of a WAL segment`, {
    hint: "PostgreSQL takes powers of two from 1 MiB to 1 GiB; ask the server with SHOW wal_segment_size.",
  });
}

/** The position that `text` ("16/B374D848") stands for; undefined when it is none. */
export function readLsn(text: string): Lsn | undefined {
  const match = LSN.exec(text);
  if (!match) return undefined;
  return (BigInt(`0x${match[1]!}`) << 32n) | BigInt(`0x${match[2]!}`);
}

/** As `readLsn`, but throws BARMAN_NAME_INVALID that names `source`. */
export function parseLsn(text: string, source: string): Lsn {
  const lsn = readLsn(text);
  if (lsn !== undefined) return lsn;
  const shown = JSON.stringify(text.slice(0, 40));
  throw new HoldfastError("BARMAN_NAME_INVALID", `${source}: ${shown} is no position in the log`, {
    hint: "A position is two hexadecimal numbers with a slash: 16/B374D848.",
  });
}

/** The position as PostgreSQL prints it. */
export function formatLsn(lsn: Lsn): string {
  return `${(lsn >> 32n).toString(16)}/${(lsn & 0xffffffffn).toString(16)}`.toUpperCase();
}

/** Negative, zero or positive as `a` lies before, at or behind `b`. */
export function compareLsn(a: Lsn, b: Lsn): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** The segment that holds the byte at `lsn`. */
export function segmentAt(lsn: Lsn, size: number): number {
  return Number(lsn / BigInt(size));
}

/** The segment that holds the byte before `lsn`: the last one that is needed to reach that position. */
export function segmentBefore(lsn: Lsn, size: number): number {
  return lsn === 0n ? 0 : segmentAt(lsn - 1n, size);
}

/** The first position of a segment. */
export function segmentStart(segment: number, size: number): Lsn {
  return BigInt(segment) * BigInt(size);
}
