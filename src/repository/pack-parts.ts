// Which parts of a pack to ask a storage for, when some of its blobs are wanted: neighbours in one request.

import type { PackTable } from "./pack-table.ts";

/** Blobs that are read together. */
export interface PackPart {
  offset: number;
  length: number;
  entries: number[];
}

/** Unneeded bytes between two blobs that are read along rather than asked for apart. */
const GAP_MAX = 1 << 20;

/** Entries of a pack, by ascending offset, in parts of at most `bytesMax` unless a blob alone is larger. */
export function packParts(
  entries: readonly number[],
  { index }: PackTable,
  bytesMax: number,
): PackPart[] {
  const parts: PackPart[] = [];
  for (const entry of entries) {
    const offset = index.offset(entry);
    const end = offset + index.storedLength(entry);
    const part = parts.at(-1);
    const isNear = part !== undefined && offset <= part.offset + part.length + GAP_MAX;
    if (part !== undefined && isNear && end - part.offset <= bytesMax) {
      part.length = end - part.offset;
      part.entries.push(entry);
    } else {
      parts.push({ offset, length: end - offset, entries: [entry] });
    }
  }
  return parts;
}
