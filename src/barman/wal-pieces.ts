// A stream of WAL cut at the borders of segments: whatever messages the bytes come in, the same segments come out, without
// a gap and without a byte twice (docs/formats/barman.md#positions).

import { HoldfastError } from "../base/errors.ts";
import { formatLsn, segmentAt, segmentStart, type Lsn } from "./lsn.ts";

/** Bytes of one segment. */
export interface WalPiece {
  readonly segment: number;
  /** Where in the segment they begin. */
  readonly offset: number;
  /** A view of what was given; never empty. */
  readonly bytes: Uint8Array;
}

/** The bytes at `start`, cut at the borders of segments of `size` bytes. */
export function* cutAtSegments(options: {
  readonly start: Lsn;
  readonly bytes: Uint8Array;
  readonly size: number;
}): Generator<WalPiece, void> {
  const { start, bytes, size } = options;
  let segment = segmentAt(start, size);
  let offset = Number(start - segmentStart(segment, size));
  for (let taken = 0; taken < bytes.length;) {
    const length = Math.min(size - offset, bytes.length - taken);
    yield { segment, offset, bytes: bytes.subarray(taken, taken + length) };
    taken += length;
    segment += 1;
    offset = 0;
  }
}

/**
 * What a message adds for whoever has everything before `position`: its bytes from there on, perhaps none. Throws
 * POSTGRES_FAILED for one that begins later, as bytes between would be lost.
 */
export function bytesFrom(
  position: Lsn,
  message: { readonly start: Lsn; readonly bytes: Uint8Array },
): Uint8Array {
  const { start, bytes } = message;
  if (start <= position) {
    const known = position - start;
    return known >= BigInt(bytes.length)
      ? bytes.subarray(bytes.length)
      : bytes.subarray(Number(known));
  }
  throw new HoldfastError(
    "POSTGRES_FAILED",
    `the server sent WAL from ${formatLsn(start)} on, and left out what lies between that and ${formatLsn(position)}`,
    { hint: "Connect to the server itself, without a program between.", retryable: true },
  );
}
