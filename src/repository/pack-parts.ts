// Which parts of a pack to ask a storage for, when some of its blobs are wanted: neighbours in one request.

import type { PackTable } from "./pack-table.ts";

/** Blobs that are read together. */
export interface PackPart {
  offset: number;
  length: number;
  /** A view of what was asked for. */
  entries: Uint32Array;
}

/** Unneeded bytes between two blobs that are read along rather than asked for apart. */
const GAP_MAX = 1 << 20;

/** Entries of a pack, by ascending offset, in parts of at most `bytesMax` unless a blob alone is larger. */
export function packParts(
  entries: Uint32Array,
  { index }: PackTable,
  bytesMax: number,
): PackPart[] {
  const parts: PackPart[] = [];
  for (let begin = 0, end = 0; begin < entries.length; begin = end) {
    const offset = index.offset(entries[begin]!);
    let length = 0;
    for (end = begin; end < entries.length; end++) {
      const next = index.offset(entries[end]!);
      const withNext = next + index.storedLength(entries[end]!) - offset;
      const isNear = next <= offset + length + GAP_MAX && withNext <= bytesMax;
      if (end > begin && !isNear) break;
      length = withNext;
    }
    parts.push({ offset, length, entries: entries.subarray(begin, end) });
  }
  return parts;
}
