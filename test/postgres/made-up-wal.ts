// Segments that look like WAL to whoever reads headers, and compress quickly; no server would take them.

import { segmentStart } from "../../src/barman/lsn.ts";
import { seededBytes } from "../seeded-bytes.ts";

export const FAKE_SYSTEM_ID = "7712301317132266042";

/** A segment of PostgreSQL 15 with a true first header. */
export function segmentOf(place: {
  readonly timeline: number;
  readonly segment: number;
  readonly size: number;
}): Buffer {
  const { timeline, segment, size } = place;
  const bytes = Buffer.alloc(size, seededBytes(`${timeline} ${segment}`, 4096));
  bytes.writeUInt16LE(0xd110, 0);
  bytes.writeUInt16LE(2, 2);
  bytes.writeUInt32LE(timeline, 4);
  bytes.writeBigUInt64LE(segmentStart(segment, size), 8);
  bytes.writeUInt32LE(0, 16);
  bytes.writeUInt32LE(0, 20);
  bytes.writeBigUInt64LE(BigInt(FAKE_SYSTEM_ID), 24);
  bytes.writeUInt32LE(size, 32);
  bytes.writeUInt32LE(8192, 36);
  return bytes;
}
