// Headers of the pages of write-ahead log: what a segment says of itself (docs/formats/barman.md#inside-a-segment). The
// first page of every segment has a long one that names the server, so that a file can be checked against its name before
// anybody relies on it. Records are not read here.

import { HoldfastError } from "../base/errors.ts";
import { formatLsn, isSegmentSize, segmentStart, type Lsn } from "./lsn.ts";
import { segmentNumber } from "./wal-name.ts";

/** What the first page of a segment says. */
export interface SegmentHeader {
  /** Major version of the server; undefined for one that is newer than this list. */
  readonly major: number | undefined;
  readonly magic: number;
  /** Timeline on which the page was written: that of the segment's name, or one it comes from. */
  readonly timeline: number;
  /** Position of the page. */
  readonly address: Lsn;
  readonly systemId: bigint;
  /** Bytes. */
  readonly segmentSize: number;
  readonly blockSize: number;
}

/** What a segment is expected to be. */
export interface Expected {
  /** The 24 digits. */
  readonly name: string;
  /** What the bytes are, for people. */
  readonly source: string;
  /** Bytes of a segment, when that is known. */
  readonly segmentSize?: number | undefined;
  readonly systemId?: bigint | undefined;
}

const MAGICS: ReadonlyMap<number, number> = new Map([
  [0xd097, 10],
  [0xd098, 11],
  [0xd101, 12],
  [0xd106, 13],
  [0xd10d, 14],
  [0xd110, 15],
  [0xd113, 16],
  [0xd116, 17],
  [0xd118, 18],
  [0xd121, 19],
]);

/** Bytes of the header of a segment's first page, and of the other pages. */
export const LONG_HEADER_BYTES = 40;
const SHORT_HEADER_BYTES = 24;

const CONTINUES_RECORD = 0x0001;
const LONG_HEADER = 0x0002;
const ALL_FLAGS = 0x000f;

/**
 * The header at the beginning of a segment. Throws WAL_INVALID for what is none. A magic that is not known is taken when it
 * looks like one: an archive must not stop because the server was upgraded first.
 */
export function readSegmentHeader(bytes: Uint8Array, source: string): SegmentHeader {
  if (bytes.length < LONG_HEADER_BYTES)
    throw invalid(source, `it has ${bytes.length} bytes, and no segment is that short`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, LONG_HEADER_BYTES);
  const magic = view.getUint16(0, true);
  const major = MAGICS.get(magic);
  if (major === undefined && magic >> 9 !== 0xd0 >> 1) {
    const swapped = MAGICS.has(view.getUint16(0, false)) ? ": its bytes are in another order" : "";
    throw invalid(source, `it does not begin as WAL does${swapped}`);
  }
  const flags = view.getUint16(2, true);
  if ((flags & LONG_HEADER) === 0 || (flags & ~ALL_FLAGS) !== 0)
    throw invalid(source, "its first page is not that of a segment");
  const segmentSize = view.getUint32(32, true);
  if (!isSegmentSize(segmentSize))
    throw invalid(source, `it claims a segment size of ${segmentSize} bytes`);
  const blockSize = view.getUint32(36, true);
  if (!isBlockSize(blockSize)) throw invalid(source, `it claims pages of ${blockSize} bytes`);
  return {
    major,
    magic,
    timeline: view.getUint32(4, true),
    address: view.getBigUint64(8, true),
    systemId: view.getBigUint64(24, true),
    segmentSize,
    blockSize,
  };
}

function isBlockSize(size: number): boolean {
  return size >= 1024 && size <= 65_536 && (size & (size - 1)) === 0;
}

/**
 * The header of a segment that must be the one called `expected.name`. Throws WAL_INVALID that says what differs, and
 * ARCHIVE_FOREIGN for a segment of another server than `expected.systemId`.
 */
export function requireSegmentHeader(bytes: Uint8Array, expected: Expected): SegmentHeader {
  const { name, source, systemId } = expected;
  const header = readSegmentHeader(bytes, source);
  const { segmentSize, timeline, address } = header;
  const size = expected.segmentSize ?? segmentSize;
  if (segmentSize !== size)
    throw invalid(source, `its segments have ${segmentSize} bytes, not ${size}`);
  const start = segmentStart(numberOf(name, segmentSize, source), segmentSize);
  if (address !== start) {
    const told = `it begins at ${formatLsn(address)}, and ${name} at ${formatLsn(start)}`;
    throw invalid(source, told);
  }
  // The first segment of a timeline begins with a copy of its ancestor's pages.
  const named = Number.parseInt(name.slice(0, 8), 16);
  if (timeline === 0 || timeline > named)
    throw invalid(source, `it is of timeline ${timeline}, and its name says ${named}`);
  if (systemId !== undefined && header.systemId !== systemId) {
    throw new HoldfastError(
      "ARCHIVE_FOREIGN",
      `${source} is of the server with system identifier ${header.systemId}, not ${systemId}`,
      { hint: "Give every server, and every new one after initdb, a name of its own." },
    );
  }
  return header;
}

/** Where the log ends in a segment. */
export interface SegmentPages {
  readonly header: SegmentHeader;
  /** Bytes in pages that are written, from the beginning: the rest is zeros, or what was there before. */
  readonly usedBytes: number;
  /** All behind that is zeros, as a switch to the next segment leaves it. */
  readonly endsInZeros: boolean;
}

/**
 * Walks the headers of all pages of `bytes`, a segment or the beginning of one. Throws WAL_INVALID when the first page is
 * not what its name says, and for a page of a whole segment (`whole`) that is neither the next one nor empty.
 */
export function walkPages(
  bytes: Uint8Array,
  expected: Expected & { readonly whole: boolean },
): SegmentPages {
  const header = requireSegmentHeader(bytes, expected);
  const { source, whole } = expected;
  if (whole && bytes.length !== header.segmentSize)
    throw invalid(source, `it has ${bytes.length} of ${header.segmentSize} bytes`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const named = Number.parseInt(expected.name.slice(0, 8), 16);
  let { timeline } = header;
  let at = header.blockSize;
  for (; at + SHORT_HEADER_BYTES <= bytes.length; at += header.blockSize) {
    const page = pageAt(view, at);
    const isNext =
      page.magic === header.magic &&
      (page.flags & ~ALL_FLAGS) === 0 &&
      (page.flags & LONG_HEADER) === 0 &&
      page.address === header.address + BigInt(at) &&
      page.timeline >= timeline &&
      page.timeline <= named &&
      ((page.flags & CONTINUES_RECORD) === 0) === (page.remaining === 0);
    if (!isNext) break;
    timeline = page.timeline;
  }
  const usedBytes = Math.min(at, bytes.length);
  const endsInZeros = isZero(bytes.subarray(usedBytes));
  if (whole && !endsInZeros) {
    const where = formatLsn(header.address + BigInt(usedBytes));
    throw invalid(
      source,
      `the page at ${where} (byte ${usedBytes}) does not follow the one before`,
    );
  }
  return { header, usedBytes, endsInZeros };
}

function pageAt(
  view: DataView,
  at: number,
): {
  magic: number;
  flags: number;
  timeline: number;
  address: Lsn;
  remaining: number;
} {
  return {
    magic: view.getUint16(at, true),
    flags: view.getUint16(at + 2, true),
    timeline: view.getUint32(at + 4, true),
    address: view.getBigUint64(at + 8, true),
    remaining: view.getUint32(at + 16, true),
  };
}

/** How many bytes of `bytes` stand before the zeros at its end. */
export function lengthWithoutZeros(bytes: Uint8Array): number {
  let length = bytes.length;
  while (length > 0 && bytes[length - 1] === 0) length--;
  return length;
}

function isZero(bytes: Uint8Array): boolean {
  return lengthWithoutZeros(bytes) === 0;
}

function numberOf(name: string, size: number, source: string): number {
  try {
    return segmentNumber(name, size);
  } catch (error) {
    throw invalid(source, `with segments of ${size} bytes there is none called ${name}`, error);
  }
}

function invalid(source: string, why: string, cause?: unknown): HoldfastError {
  return new HoldfastError("WAL_INVALID", `${source} is not the WAL it is named after: ${why}`, {
    hint: "Find out what wrote it: a damaged disk, a copy cut short, or another server.",
    cause,
  });
}
