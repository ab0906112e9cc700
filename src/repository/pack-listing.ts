// What a pack says of itself: the blobs that the header at its end lists (docs/formats/restic.md#packs). The header is
// authenticated, and accounts for every byte of the file; blobs are not looked at.

import { HoldfastError } from "../base/errors.ts";
import { asBuffer } from "../base/bytes.ts";
import { unseal } from "../restic/crypto.ts";
import {
  HEADER_BYTES_MAX,
  HEADER_LENGTH_BYTES,
  PACK_OVERHEAD_BYTES,
  decodePackHeader,
} from "../restic/pack-header.ts";
import type { PackBlob } from "../restic/pack-header.ts";
import { keyOf } from "./layout.ts";
import type { RepositoryFile } from "./layout.ts";
import type { Repository } from "./repository.ts";

/** Read at once from the end: enough for the header of most packs. */
const TAIL_BYTES = 8 << 10;

/** The blobs of a pack. PACK_DAMAGED when its header does not open, or does not describe a file of this size. */
export async function readPackListing(
  repository: Repository,
  { id, size }: RepositoryFile,
  signal?: AbortSignal,
): Promise<PackBlob[]> {
  if (size < PACK_OVERHEAD_BYTES) throw damaged(id, `it has only ${size} bytes`);
  const tail = (bytes: number): Promise<Uint8Array> => {
    const length = Math.min(bytes, size);
    return repository.storage.get(keyOf("pack", id), { offset: size - length, length, signal });
  };
  let bytes = asBuffer(await tail(TAIL_BYTES));
  const length = bytes.readUInt32LE(bytes.length - HEADER_LENGTH_BYTES);
  const needed = length + HEADER_LENGTH_BYTES;
  if (needed > size || length > HEADER_BYTES_MAX) throw damaged(id, "its header has no valid size");
  if (needed > bytes.length) bytes = asBuffer(await tail(needed));
  const end = bytes.length - HEADER_LENGTH_BYTES;
  const header = unseal(repository.key, bytes.subarray(end - length, end));
  if (header === undefined) throw damaged(id, "its header does not open");
  return decodePackHeader(header, size);
}

function damaged(id: string, why: string): HoldfastError {
  return new HoldfastError("PACK_DAMAGED", `pack ${id} is damaged: ${why}`);
}
