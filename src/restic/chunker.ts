// Where files are cut into blobs: restic's Rabin chunker, docs/formats/restic.md#chunker. This plain
// TypeScript serves cold paths and tests; the hot path uses the kernel in kernels.ts, which must cut at
// exactly the same places. Other places would still make valid repositories, but no file would ever
// deduplicate against what restic stored.

import { polynomialRemainder } from "./polynomial.ts";

/** Bytes the digest covers. */
export const CHUNK_WINDOW_BYTES = 64;

/** No chunk but a file's last one is shorter. */
export const CHUNK_BYTES_MIN: number = 512 * 1024;

/** No chunk is longer. */
export const CHUNK_BYTES_MAX: number = 8 * 1024 * 1024;

/** A cut is where the digest's lowest 20 bits are zero: this many bytes beyond the least, on average. */
export const CHUNK_BYTES_AVERAGE: number = 1024 * 1024;

/** Lookup tables of one polynomial, 64-bit entries as pairs of Int32. */
export interface ChunkerTables {
  /** Digest of a byte that leaves the window: byte · x^(8·63). */
  readonly outLow: Int32Array;
  readonly outHigh: Int32Array;
  /** What reduces a digest by the eight bits above the degree, those bits included. */
  readonly modLow: Int32Array;
  readonly modHigh: Int32Array;
}

/** Tables for an irreducible polynomial of degree 53. */
export function chunkerTables(polynomial: bigint): ChunkerTables {
  const tables = {
    outLow: new Int32Array(256),
    outHigh: new Int32Array(256),
    modLow: new Int32Array(256),
    modHigh: new Int32Array(256),
  };
  for (let byte = 0; byte < 256; byte++) {
    const value = BigInt(byte);
    const out = polynomialRemainder(value << BigInt(8 * (CHUNK_WINDOW_BYTES - 1)), polynomial);
    const mod = polynomialRemainder(value << 53n, polynomial) | (value << 53n);
    tables.outLow[byte] = Number(BigInt.asIntN(32, out));
    tables.outHigh[byte] = Number(BigInt.asIntN(32, out >> 32n));
    tables.modLow[byte] = Number(BigInt.asIntN(32, mod));
    tables.modHigh[byte] = Number(BigInt.asIntN(32, mod >> 32n));
  }
  return tables;
}

export interface FindCutOptions {
  /** Where the chunk begins in `data`. */
  readonly start: number;
  /** Bytes of the chunk known to hold no cut from an earlier call. */
  readonly scanned: number;
  /** Bytes of the chunk present in `data`; up to its end by default. */
  readonly available?: number;
}

/** Length of the chunk that begins at `start`, or -1 when its end is not among the available bytes. */
export function findCut(tables: ChunkerTables, data: Uint8Array, options: FindCutOptions): number {
  const { start, scanned, available = data.length - start } = options;
  const end = Math.min(available, CHUNK_BYTES_MAX);
  const from = Math.max(scanned, CHUNK_BYTES_MIN - 1);
  const cut = from < end ? scan(tables, data, start + from, start + end) : -1;
  if (cut >= 0) return cut - start;
  return end === CHUNK_BYTES_MAX ? CHUNK_BYTES_MAX : -1;
}

/** First offset in (from, end] where the content says cut, or -1. */
function scan(tables: ChunkerTables, data: Uint8Array, from: number, end: number): number {
  const { outLow, outHigh, modLow, modHigh } = tables;
  let low = 0;
  let high = 0;
  for (let at = from - CHUNK_WINDOW_BYTES; at < end; at++) {
    if (at >= from) {
      const leaving = data[at - CHUNK_WINDOW_BYTES]!;
      low ^= outLow[leaving]!;
      high ^= outHigh[leaving]!;
    }
    const top = high >>> 13;
    high = ((high << 8) | (low >>> 24)) ^ modHigh[top]!;
    low = ((low << 8) | data[at]!) ^ modLow[top]!;
    if ((low & (CHUNK_BYTES_AVERAGE - 1)) === 0 && at >= from) return at + 1;
  }
  return -1;
}

/** End offsets of all chunks of a whole file, the last one at its end; none for an empty file. */
export function cutPoints(data: Uint8Array, polynomial: bigint): number[] {
  const tables = chunkerTables(polynomial);
  const cuts: number[] = [];
  for (let start = 0; start < data.length;) {
    const length = findCut(tables, data, { start, scanned: 0 });
    start = length < 0 ? data.length : start + length;
    cuts.push(start);
  }
  return cuts;
}
