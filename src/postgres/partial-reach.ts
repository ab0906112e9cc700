// How far a partial segment really reaches: its name says where it begins, and only its content where it ends. That is behind
// the last record that is whole, which its length and checksum tell; what records mean is not read here
// (docs/formats/barman.md#inside-a-segment). Reads one object; needs no more than a viewer's rights.

import { crc32c } from "../base/crc32c.ts";
import { isHoldfastError } from "../base/errors.ts";
import { readObjectName } from "../barman/layout.ts";
import type { Lsn } from "../barman/lsn.ts";
import type { ListedObject } from "../barman/wal-listing.ts";
import { LONG_HEADER_BYTES, walkPages } from "../barman/wal-header.ts";
import type { Archive } from "./archive.ts";
import { readSegment } from "./read-segment.ts";

/** Records begin at multiples of this. */
const ALIGNMENT = 8;
const PAGE_HEADER_BYTES = 24;
/** Of a record: its length comes first, its checksum last. */
const RECORD_HEADER_BYTES = 24;
const CHECKSUM_AT = 20;
/** Where a page says how much of a record that began before it is still to come. */
const REMAINING_AT = 16;

/**
 * The position up to which the partial segment `object` holds WAL; undefined when it is gone, which it is when the whole
 * segment came, or when it cannot be read as what its name says. Throws what the storage throws otherwise.
 */
export async function partialReach(
  archive: Archive,
  { path }: Pick<ListedObject, "path">,
  options: { readonly segmentSize?: number; readonly signal?: AbortSignal | undefined } = {},
): Promise<Lsn | undefined> {
  const named = readObjectName(path);
  if (named.kind !== "wal" || named.wal.kind !== "partial") return undefined;
  const { segmentSize, signal } = options;
  const source = `${archive.location}/${path}`;
  const { name } = named.wal;
  try {
    const stored = await archive.storage.get(path, { signal });
    const { bytes } = await readSegment(stored, { name: named.wal, source, segmentSize });
    return reachOf(bytes, { name, source });
  } catch (error) {
    if (isHoldfastError(error, "STORAGE_NOT_FOUND", "WAL_INVALID")) return undefined;
    throw error;
  }
}

/**
 * The position behind the last whole record in the beginning of a segment; that of the segment itself when there is none.
 * Throws WAL_INVALID for what is not the segment called `name`.
 */
export function reachOf(
  bytes: Uint8Array,
  expected: { readonly name: string; readonly source: string },
): Lsn {
  const { header, usedBytes } = walkPages(bytes, { ...expected, whole: false });
  const log = new SegmentLog(bytes.subarray(0, usedBytes), header.blockSize);
  const first = log.skipContinuation();
  if (first === undefined) return header.address;
  // What is left of a record of the segment before cannot be checked without that: it counts when a record follows on it.
  let end = first === LONG_HEADER_BYTES ? first : 0;
  for (let next = log.recordEnd(first); next !== undefined; next = log.recordEnd(next)) end = next;
  return header.address + BigInt(end);
}

/** The records in the pages of a segment, by offsets in it. */
class SegmentLog {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #pageBytes: number;

  constructor(bytes: Uint8Array, pageBytes: number) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#pageBytes = pageBytes;
  }

  /** Where the first record ends that began before the segment, or the header without one; undefined when it does not end here. */
  skipContinuation(): number | undefined {
    const remaining = this.#view.getUint32(REMAINING_AT, true);
    if (remaining === 0) return LONG_HEADER_BYTES;
    const end = this.#collect(LONG_HEADER_BYTES, remaining)?.end;
    return end && align(end);
  }

  /** Where the record that follows on `at` ends; undefined when none does, or not wholly. */
  recordEnd(at: number): number | undefined {
    const begin = this.#inPage(at);
    if (begin + 4 > this.#bytes.length) return undefined;
    const length = this.#view.getUint32(begin, true);
    if (length < RECORD_HEADER_BYTES) return undefined;
    const record = this.#collect(begin, length);
    if (record === undefined || !isWhole(record.bytes)) return undefined;
    return align(record.end);
  }

  /** The place itself, or behind the header of the page that begins there. */
  #inPage(at: number): number {
    return at % this.#pageBytes === 0 ? at + PAGE_HEADER_BYTES : at;
  }

  /** So many bytes of records from `begin` on, without the headers of the pages between, and where they end. */
  #collect(
    begin: number,
    length: number,
  ): { readonly bytes: Uint8Array; readonly end: number } | undefined {
    const pieces: Uint8Array[] = [];
    let at = begin;
    for (let left = length; left > 0;) {
      at = this.#inPage(at);
      const size = Math.min(left, this.#pageBytes - (at % this.#pageBytes));
      if (at + size > this.#bytes.length) return undefined;
      pieces.push(this.#bytes.subarray(at, at + size));
      at += size;
      left -= size;
    }
    const [only] = pieces;
    return { bytes: pieces.length === 1 ? only! : Buffer.concat(pieces), end: at };
  }
}

/** The checksum is of what follows the header, and then of the header before it. */
function isWhole(record: Uint8Array): boolean {
  const view = new DataView(record.buffer, record.byteOffset, record.length);
  const body = crc32c(record.subarray(RECORD_HEADER_BYTES));
  return crc32c(record.subarray(0, CHECKSUM_AT), body) === view.getUint32(CHECKSUM_AT, true);
}

function align(offset: number): number {
  return Math.ceil(offset / ALIGNMENT) * ALIGNMENT;
}
