// The header of a pack file (docs/formats/restic.md#packs): one entry per blob, in the order of the blobs, so that
// offsets are implied. This file works on the plaintext of the header; sealing is done elsewhere.

import { fromHex, ID_BYTES, toHex } from "../base/bytes.ts";
import type { Id } from "../base/bytes.ts";
import { HoldfastError } from "../base/errors.ts";

export type BlobType = "data" | "tree";

/** Where a blob is in a pack. */
export interface PackBlob {
  readonly type: BlobType;
  readonly id: Id;
  /** First byte in the pack file. */
  readonly offset: number;
  /** Bytes in the pack file, sealed. */
  readonly length: number;
  /** Bytes of the plaintext when it is stored compressed, otherwise 0. */
  readonly uncompressedLength: number;
}

/** Size of a header entry of a blob that is stored as it is, and of one that is compressed. */
export const HEADER_ENTRY_BYTES = 37;
export const HEADER_ENTRY_COMPRESSED_BYTES = 41;
/** Largest sealed header that readers accept. */
export const HEADER_BYTES_MAX: number = 16 * 1024 * 1024;
/** Size of the field after the header that holds the length of the sealed header, u32le. */
export const HEADER_LENGTH_BYTES = 4;
/** What sealing adds to the header. */
const SEAL_BYTES = 32;
/** Bytes of a pack that are neither blobs nor header entries. */
export const PACK_OVERHEAD_BYTES: number = SEAL_BYTES + HEADER_LENGTH_BYTES;
/** Most blobs that a pack may have, so that its header is never too large. */
export const PACK_BLOBS_MAX: number = Math.floor(
  (HEADER_BYTES_MAX - SEAL_BYTES) / HEADER_ENTRY_COMPRESSED_BYTES,
);

/** Size of the header entry of one blob. */
export function headerEntryBytes(blob: Pick<PackBlob, "uncompressedLength">): number {
  return blob.uncompressedLength === 0 ? HEADER_ENTRY_BYTES : HEADER_ENTRY_COMPRESSED_BYTES;
}

/** Size of the pack file that holds exactly `blobs`. */
export function packFileBytes(blobs: Iterable<PackBlob>): number {
  let size = PACK_OVERHEAD_BYTES;
  for (const blob of blobs) size += blob.length + headerEntryBytes(blob);
  return size;
}

/** The plaintext header for `blobs`, given in the order in which they lie in the pack. */
export function encodePackHeader(blobs: readonly Omit<PackBlob, "offset">[]): Buffer {
  const size = blobs.reduce((sum, blob) => sum + headerEntryBytes(blob), 0);
  const header = Buffer.allocUnsafe(size);
  let at = 0;
  for (const { type, id, length, uncompressedLength } of blobs) {
    const compressed = uncompressedLength !== 0;
    at = header.writeUInt8((type === "tree" ? 1 : 0) + (compressed ? 2 : 0), at);
    at = header.writeUInt32LE(length, at);
    if (compressed) at = header.writeUInt32LE(uncompressedLength, at);
    header.set(fromHex(id), at);
    at += ID_BYTES;
  }
  return header;
}

/**
 * The blobs listed by a plaintext header. With `packBytes`, the size of the pack file, it also checks that blobs,
 * header and trailer fill the file exactly. Throws PACK_DAMAGED.
 */
export function decodePackHeader(header: Uint8Array, packBytes?: number): PackBlob[] {
  const view = Buffer.from(header.buffer, header.byteOffset, header.length);
  const blobs: PackBlob[] = [];
  let offset = 0;
  for (let at = 0; at < view.length;) {
    const kind = view[at]!;
    if (kind > 3) throw damaged(`unknown blob type ${kind} in entry ${blobs.length}`);
    const compressed = kind >= 2;
    const size = compressed ? HEADER_ENTRY_COMPRESSED_BYTES : HEADER_ENTRY_BYTES;
    if (at + size > view.length) throw damaged("the header ends inside an entry");
    const length = view.readUInt32LE(at + 1);
    blobs.push({
      type: kind % 2 === 0 ? "data" : "tree",
      id: toHex(view.subarray(at + size - ID_BYTES, at + size)),
      offset,
      length,
      uncompressedLength: compressed ? view.readUInt32LE(at + 5) : 0,
    });
    offset += length;
    at += size;
  }
  if (blobs.length === 0) throw damaged("the header lists no blob");
  const expected = offset + view.length + PACK_OVERHEAD_BYTES;
  if (packBytes !== undefined && packBytes !== expected) {
    throw damaged(`the header describes ${expected} bytes, the file has ${packBytes}`);
  }
  return blobs;
}

function damaged(why: string): HoldfastError {
  return new HoldfastError("PACK_DAMAGED", `pack header is damaged: ${why}`);
}
