// Checks a whole pack in kernel memory (docs/formats/restic.md#packs): its header against the index, that nothing lies between
// the blobs, every blob, and its name where that can still tell something (docs/decisions/check.md). Must never: pass over a
// byte that nothing else has proved.

import { hash } from "node:crypto";
import { ID_BYTES, asBuffer, equalBytes, sha256, toHex } from "../base/bytes.ts";
import { isHoldfastError, messageOf } from "../base/errors.ts";
import type { BlobOpener } from "../restic/blob-opener.ts";
import { decompressZstd } from "../restic/compression.ts";
import { unseal } from "../restic/crypto.ts";
import type { MasterKey } from "../restic/crypto.ts";
import type { Kernels } from "../restic/kernels.ts";
import {
  HEADER_BYTES_MAX,
  HEADER_ENTRY_BYTES,
  HEADER_ENTRY_COMPRESSED_BYTES,
  HEADER_LENGTH_BYTES,
  decodePackHeader,
} from "../restic/pack-header.ts";
import type { PackBlob } from "../restic/pack-header.ts";
import { SMALL_BLOB_BYTES } from "../restic/small-blobs.ts";
import type { BlobPlaces, SmallBlobs } from "../restic/small-blobs.ts";
import type { BlobLookup } from "./blob-index.ts";

export interface PackCheckOptions {
  kernels: Kernels;
  key: MasterKey;
  opener: BlobOpener;
  small: SmallBlobs;
  /** Largest blob that the opener can decompress. */
  scratchBytes: number;
  index: BlobLookup;
}

/** Opens the blob of an index entry at `at` in kernel memory: its plaintext, or undefined when it is damaged. */
export function openEntry(
  options: PackCheckOptions,
  entry: number,
  at: number,
): Uint8Array | undefined {
  const { opener, scratchBytes, index } = options;
  const uncompressed = index.uncompressedLength(entry);
  if (uncompressed > scratchBytes) return openHuge(options, entry, at);
  return opener.open(at, index.storedLength(entry), uncompressed, index.idBytes(entry));
}

/** Whether the blob of an index entry at `at` in kernel memory is what the index says. It stays as it is. */
function isSound(options: PackCheckOptions, entry: number, at: number): boolean {
  const { opener, scratchBytes, index } = options;
  const uncompressed = index.uncompressedLength(entry);
  if (uncompressed > scratchBytes) return openHuge(options, entry, at) !== undefined;
  return opener.verify(at, index.storedLength(entry), uncompressed, index.idBytes(entry));
}

/** The listing of a huge directory: rare enough for memory of its own. */
function openHuge(
  { kernels, key, index }: PackCheckOptions,
  entry: number,
  at: number,
): Uint8Array | undefined {
  const uncompressed = index.uncompressedLength(entry);
  const compressed = unseal(key, kernels.bytes.subarray(at, at + index.storedLength(entry)));
  if (compressed === undefined) return undefined;
  try {
    const plain = decompressZstd(compressed, uncompressed);
    const sound = plain.length === uncompressed && equalBytes(sha256(plain), index.idBytes(entry));
    return sound ? plain : undefined;
  } catch (error) {
    if (!isHoldfastError(error, "FILE_DAMAGED")) throw error;
    return undefined;
  }
}

/**
 * What is wrong with the `length` bytes at `at`, which should be the pack `id` with the blobs of `entries` (index
 * entries by ascending offset). Nothing when all is well. They stay as they are.
 */
export function checkPack(
  options: PackCheckOptions,
  pack: { at: number; length: number; id: Uint8Array; entries: Uint32Array },
): string[] {
  const { kernels, index } = options;
  const { at, length, id, entries } = pack;
  const bytes = kernels.bytes.subarray(at, at + length);
  const problems = checkHeader(options.key, bytes, index, entries);

  let end = 0;
  for (const entry of entries) {
    const offset = index.offset(entry);
    if (offset !== end) problems.push(gap(offset, end));
    end = offset + index.storedLength(entry);
  }
  const limit = length - HEADER_LENGTH_BYTES;
  const damaged = findDamaged(options, entries, { at, limit });
  if (damaged.length > 0) {
    const of = `${damaged.length} of ${entries.length} blobs do not open`;
    problems.push(`${of}: ${damaged.slice(0, 5).join(", ")}${damaged.length > 5 ? ", …" : ""}`);
  }
  // Blobs and header that open, side by side from the first byte to the last, have proved all of it.
  if (problems.length === 0 && end + headerBytes(bytes) === length) return problems;
  const name = hash("sha256", bytes, "hex");
  return name === toHex(id) ? problems : [`its content has the SHA-256 ${name}`, ...problems];
}

/** Ids of the blobs that do not open, or reach beyond `limit`; `at` is where the pack lies. */
function findDamaged(
  options: PackCheckOptions,
  entries: Uint32Array,
  { at, limit }: { at: number; limit: number },
): string[] {
  const { index } = options;
  const isHere = (entry: number): boolean =>
    index.offset(entry) + index.storedLength(entry) <= limit;
  if (entries.every(isHere)) {
    return findUnsound(options, entries, at).map((entry) => index.idAt(entry));
  }
  const outside = entries.filter((entry) => !isHere(entry));
  const unsound = findUnsound(options, entries.filter(isHere), at);
  return [...outside, ...unsound].map((entry) => index.idAt(entry));
}

/**
 * Those of `entries` whose blobs are not what the index says. `at` is where the first byte of their pack lies, or would lie, in
 * kernel memory; all of them are there, and stay as they are.
 */
export function findUnsound(
  options: PackCheckOptions,
  entries: Iterable<number>,
  at: number,
): number[] {
  const { index, small, scratchBytes } = options;
  const unsound: number[] = [];
  // Small ones are proved together, a group at a time.
  const smallOnes = function* (): Generator<number> {
    for (const entry of entries) {
      const isSmall =
        index.storedLength(entry) <= SMALL_BLOB_BYTES &&
        index.uncompressedLength(entry) <= scratchBytes - SMALL_BLOB_BYTES;
      if (isSmall) yield entry;
      else if (!isSound(options, entry, at + index.offset(entry))) unsound.push(entry);
    }
  };
  const places: BlobPlaces = {
    at: (entry) => at + index.offset(entry),
    length: (entry) => index.storedLength(entry),
    uncompressedLength: (entry) => index.uncompressedLength(entry),
    id: (entry) => index.idBytes(entry),
  };
  const damaged = small.findDamaged(smallOnes(), places);
  return [...unsound, ...damaged];
}

function gap(offset: number, end: number): string {
  return offset > end
    ? `the index leaves a gap of ${offset - end} bytes at ${end}`
    : `blobs overlap in the index at ${offset}`;
}

/** Compares the pack's own header with the index. */
function checkHeader(
  key: MasterKey,
  pack: Uint8Array,
  index: BlobLookup,
  entries: Uint32Array,
): string[] {
  const header = openHeader(key, pack);
  if (header === undefined) return ["its header does not open"];
  if (isHeaderOf(header, index, entries)) return [];
  let listed: PackBlob[];
  try {
    listed = decodePackHeader(header, pack.length);
  } catch (error) {
    if (!isHoldfastError(error, "PACK_DAMAGED")) throw error;
    return [messageOf(error)];
  }
  const differing = listed.filter((blob, i) => !isEntry(blob, index, entries[i]));
  if (differing.length === 0 && listed.length === entries.length) return [];
  const example =
    differing[0] === undefined ? "" : `, first ${differing[0].type} ${differing[0].id}`;
  return [
    `its header lists ${listed.length} blobs, the index ${entries.length}; ` +
      `${differing.length} differ${example}`,
  ];
}

/** Whether a header lists exactly `entries`, told without an object for each: there may be tens of thousands. */
function isHeaderOf(header: Uint8Array, index: BlobLookup, entries: Uint32Array): boolean {
  const view = asBuffer(header);
  let at = 0;
  let offset = 0;
  for (const entry of entries) {
    const uncompressed = index.uncompressedLength(entry);
    const isCompressed = uncompressed !== 0;
    const size = isCompressed ? HEADER_ENTRY_COMPRESSED_BYTES : HEADER_ENTRY_BYTES;
    if (at + size > view.length) return false;
    const length = view.readUInt32LE(at + 1);
    if (view[at] !== (index.isTree(entry) ? 1 : 0) + (isCompressed ? 2 : 0)) return false;
    if (isCompressed && view.readUInt32LE(at + 5) !== uncompressed) return false;
    if (length !== index.storedLength(entry) || offset !== index.offset(entry)) return false;
    if (!index.isIdAt(entry, view, at + size - ID_BYTES)) return false;
    offset += length;
    at += size;
  }
  return at === view.length && at > 0;
}

/** Bytes that the header takes at the end of a pack of at least HEADER_LENGTH_BYTES, as the pack says, its length included. */
function headerBytes(pack: Uint8Array): number {
  const end = pack.length - HEADER_LENGTH_BYTES;
  const view = new DataView(pack.buffer, pack.byteOffset, pack.length);
  return view.getUint32(end, true) + HEADER_LENGTH_BYTES;
}

/** The plain header from the end of a pack, or undefined when it is damaged. */
function openHeader(key: MasterKey, pack: Uint8Array): Uint8Array | undefined {
  const end = pack.length - HEADER_LENGTH_BYTES;
  if (end < 0) return undefined;
  const length = headerBytes(pack) - HEADER_LENGTH_BYTES;
  if (length > Math.min(end, HEADER_BYTES_MAX)) return undefined;
  return unseal(key, pack.subarray(end - length, end));
}

function isEntry(blob: PackBlob, index: BlobLookup, entry: number | undefined): boolean {
  return (
    entry !== undefined &&
    index.offset(entry) === blob.offset &&
    index.storedLength(entry) === blob.length &&
    index.uncompressedLength(entry) === blob.uncompressedLength &&
    index.isTree(entry) === (blob.type === "tree") &&
    index.idAt(entry) === blob.id
  );
}
