// WAL segments as PostgreSQL lays them out, made here: for tests that need many, damaged ones, or ones of servers that
// cannot be had. What is in their records nobody reads.

import { hash } from "node:crypto";
import { segmentStart } from "../../src/barman/lsn.ts";
import { segmentNumber } from "../../src/barman/wal-name.ts";

export interface MadeSegment {
  /** The 24 digits. */
  readonly name: string;
  /** Bytes; a megabyte without. */
  readonly size?: number;
  readonly systemId?: bigint;
  /** Timeline of the pages; that of the name without. */
  readonly timeline?: number;
  readonly magic?: number;
  /** How many pages are written; the rest is zeros. All without. */
  readonly pages?: number;
  /** Other content in the same place. */
  readonly seed?: number;
}

export const MADE_SYSTEM_ID = 7_412_345_678_901_234_567n;
export const MADE_SIZE: number = 1 << 20;
const PAGE = 8192;

/** A segment. */
export function makeSegment(made: MadeSegment): Buffer {
  const { name, size = MADE_SIZE, systemId = MADE_SYSTEM_ID, magic = 0xd110, seed = 0 } = made;
  const { timeline = Number.parseInt(name.slice(0, 8), 16), pages = size / PAGE } = made;
  const start = segmentStart(segmentNumber(name, size), size);
  const bytes = Buffer.alloc(size);
  for (let page = 0; page < pages; page++) {
    const at = page * PAGE;
    // Half of a page compresses well, as in life; the other half does not.
    const noise = hash("sha512", `${name} ${page} ${seed}`, "buffer");
    for (let to = at + 40; to < at + PAGE / 2; to += noise.length) noise.copy(bytes, to);
    bytes.writeUInt16LE(magic, at);
    bytes.writeUInt16LE(page === 0 ? 2 : 0, at + 2);
    bytes.writeUInt32LE(timeline, at + 4);
    bytes.writeBigUInt64LE(start + BigInt(at), at + 8);
    bytes.writeUInt32LE(0, at + 16);
    if (page === 0) {
      bytes.writeBigUInt64LE(systemId, 24);
      bytes.writeUInt32LE(size, 32);
      bytes.writeUInt32LE(PAGE, 36);
    }
  }
  return bytes;
}
