// The content of a segment as it is stored, made what PostgreSQL takes: decompressed within bounds, checked against its
// name, of the exact size. A partial one is filled up with zeros.

import { HoldfastError } from "../base/errors.ts";
import {
  LONG_HEADER_BYTES,
  requireSegmentHeader,
  type SegmentHeader,
} from "../barman/wal-header.ts";
import type { SegmentName } from "../barman/wal-name.ts";
import { decompressStream, decompressWhole } from "./wal-codec.ts";

export interface Segment {
  /** Exactly as many bytes as a segment has. */
  readonly bytes: Uint8Array;
  readonly header: SegmentHeader;
  /** How many of them are zeros that were not stored. */
  readonly paddedBytes: number;
}

export interface ReadSegmentOptions {
  readonly name: SegmentName;
  /** What `stored` is, for people. */
  readonly source: string;
  readonly segmentSize?: number | undefined;
  readonly systemId?: bigint | undefined;
}

/** Input is given to a decoder in pieces, so that looking at the header does not open all of it. */
const PIECE_BYTES = 64 * 1024;

/**
 * Opens the object of a segment, whole or partial. Throws WAL_INVALID for what is damaged, too long, cut short or not what
 * its name says, and ARCHIVE_FOREIGN for WAL of another server than `systemId`.
 */
export async function readSegment(
  stored: Uint8Array,
  options: ReadSegmentOptions,
): Promise<Segment> {
  const { source, segmentSize, systemId } = options;
  const { kind, name, compression } = options.name;
  const expected = { name, source, segmentSize, systemId };
  const header = requireSegmentHeader(await beginning(stored, options), expected);
  const limit = header.segmentSize;
  const content =
    compression === null ? stored : await decompressWhole(stored, { compression, limit, source });
  if (content.length === limit) return { bytes: content, header, paddedBytes: 0 };
  if (content.length > limit || kind !== "partial") {
    const message = `${source} has ${content.length} bytes, and a segment ${limit}`;
    throw new HoldfastError("WAL_INVALID", message, {
      hint: "Look for another copy of it: the server may still have it in pg_wal.",
    });
  }
  const bytes = new Uint8Array(limit);
  bytes.set(content);
  return { bytes, header, paddedBytes: limit - content.length };
}

/** The first bytes of the content, as many as a header has if there are so many. */
async function beginning(
  stored: Uint8Array,
  { name: { compression }, source }: ReadSegmentOptions,
): Promise<Uint8Array> {
  if (compression === null) return stored;
  const pieces: Uint8Array[] = [];
  let length = 0;
  for await (const piece of decompressStream(cut(stored), { compression, source })) {
    pieces.push(piece);
    length += piece.length;
    if (length >= LONG_HEADER_BYTES) break;
  }
  return Buffer.concat(pieces);
}

function* cut(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += PIECE_BYTES) yield bytes.subarray(at, at + PIECE_BYTES);
}
