// How far a partial segment really reaches: its name says where it begins, and only its content where it ends. What is told
// is a lower bound: everything before it is there. Reads one object; needs no more than a viewer's rights.

import { isHoldfastError } from "../base/errors.ts";
import { readObjectName } from "../barman/layout.ts";
import type { Lsn } from "../barman/lsn.ts";
import type { ListedObject } from "../barman/wal-listing.ts";
import { lengthWithoutZeros, walkPages } from "../barman/wal-header.ts";
import type { Archive } from "./archive.ts";
import { readSegment } from "./read-segment.ts";

/** Records begin at multiples of this. */
const ALIGNMENT = 8;

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
 * The position up to which the beginning of a segment is filled: pages follow each other without a gap, and behind the last
 * byte of the last one that is not zero there may be a record's end that is.
 */
export function reachOf(
  bytes: Uint8Array,
  expected: { readonly name: string; readonly source: string },
): Lsn {
  const { header, usedBytes } = walkPages(bytes, { ...expected, whole: false });
  const filled = lengthWithoutZeros(bytes.subarray(0, usedBytes));
  const end = Math.min(usedBytes, Math.ceil(filled / ALIGNMENT) * ALIGNMENT);
  return header.address + BigInt(end);
}
