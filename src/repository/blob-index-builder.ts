// Makes a BlobIndex: collects places in any order, then sorts them where they are. No entry is an object: a repository has
// millions of them.

import type { Id } from "../base/bytes.ts";
import { ID_BYTES } from "../base/bytes.ts";
import { BUCKETS, BlobIndex, FIELDS, TREE_FLAG } from "./blob-index.ts";

/** Collects places in any order, then sorts them in place. */
export class BlobIndexBuilder {
  #ids: SharedArrayBuffer;
  #fields: SharedArrayBuffer;
  #idBytes: Uint8Array;
  #fieldWords: Uint32Array;
  #count = 0;
  readonly #packs: Id[] = [];

  /** `expected`: a generous guess of the number of blobs; untouched memory costs nothing. */
  constructor(expected = 1024) {
    const capacity = Math.max(1024, expected);
    this.#ids = new SharedArrayBuffer(capacity * ID_BYTES);
    this.#fields = new SharedArrayBuffer(capacity * FIELDS * 4);
    this.#idBytes = new Uint8Array(this.#ids);
    this.#fieldWords = new Uint32Array(this.#fields);
  }

  /** Starts a pack: the blobs that follow are in it. Returns its number. */
  pack(id: Id): number {
    this.#packs.push(id);
    return this.#packs.length - 1;
  }

  /** Adds a blob of the last pack; `id` is copied. */
  blob(
    tree: boolean,
    id: Uint8Array,
    offset: number,
    length: number,
    uncompressedLength: number,
  ): void {
    if (this.#count * ID_BYTES === this.#idBytes.length) this.#grow();
    this.#idBytes.set(id, this.#count * ID_BYTES);
    const base = this.#count * FIELDS;
    const words = this.#fieldWords;
    words[base] = ((this.#packs.length - 1) | (tree ? TREE_FLAG : 0)) >>> 0;
    words[base + 1] = offset;
    words[base + 2] = length;
    words[base + 3] = uncompressedLength;
    this.#count++;
  }

  /** What was added so far, for `rollback`. */
  mark(): { blobs: number; packs: number } {
    return { blobs: this.#count, packs: this.#packs.length };
  }

  /** Forgets everything added since the mark: a file turned out to be damaged halfway. */
  rollback(mark: { blobs: number; packs: number }): void {
    this.#count = mark.blobs;
    this.#packs.length = mark.packs;
  }

  /** The finished index; the builder must not be used afterwards. */
  build(): BlobIndex {
    const buckets = sortEntries(this.#idBytes, this.#fieldWords, this.#count);
    return new BlobIndex(
      { count: this.#count, ids: this.#ids, fields: this.#fields, buckets },
      this.#packs,
    );
  }

  #grow(): void {
    const ids = new SharedArrayBuffer(this.#ids.byteLength * 2);
    const fields = new SharedArrayBuffer(this.#fields.byteLength * 2);
    new Uint8Array(ids).set(this.#idBytes);
    new Uint32Array(fields).set(this.#fieldWords);
    this.#ids = ids;
    this.#fields = fields;
    this.#idBytes = new Uint8Array(ids);
    this.#fieldWords = new Uint32Array(fields);
  }
}

/** Sorts by id in place: into 65,536 buckets by the first two bytes, then each bucket. Returns where they begin. */
function sortEntries(ids: Uint8Array, fields: Uint32Array, count: number): SharedArrayBuffer {
  const shared = new SharedArrayBuffer((BUCKETS + 1) * 4);
  const starts = new Uint32Array(shared);
  for (let i = 0; i < count; i++) {
    const bucket = (ids[i * ID_BYTES]! << 8) | ids[i * ID_BYTES + 1]!;
    starts[bucket + 1]!++;
  }
  for (let i = 0; i < BUCKETS; i++) starts[i + 1]! += starts[i]!;
  const next = starts.slice(0, BUCKETS);
  const swap = swapper(ids, fields);
  for (let bucket = 0; bucket < BUCKETS; bucket++) {
    const end = starts[bucket + 1]!;
    for (let i = next[bucket]!; i < end; i = next[bucket]!) {
      const home = (ids[i * ID_BYTES]! << 8) | ids[i * ID_BYTES + 1]!;
      if (home !== bucket) swap(i, next[home]!);
      next[home]!++;
    }
  }
  for (let bucket = 0; bucket < BUCKETS; bucket++) {
    const [start, end] = [starts[bucket]!, starts[bucket + 1]!];
    if (end - start > 1) sortBucket(ids, start, end, swap);
  }
  return shared;
}

function swapper(ids: Uint8Array, fields: Uint32Array): (a: number, b: number) => void {
  const words = new Uint32Array(ids.buffer);
  return (a, b) => {
    for (let i = a * 8, j = b * 8; i < a * 8 + 8; i++, j++) {
      const kept = words[i]!;
      words[i] = words[j]!;
      words[j] = kept;
    }
    for (let i = a * FIELDS, j = b * FIELDS; i < (a + 1) * FIELDS; i++, j++) {
      const kept = fields[i]!;
      fields[i] = fields[j]!;
      fields[j] = kept;
    }
  };
}

/** Orders one bucket by the remaining bytes. Heap sort: no worst case for an index full of duplicates. */
function sortBucket(
  ids: Uint8Array,
  start: number,
  end: number,
  swap: (a: number, b: number) => void,
): void {
  const less = (a: number, b: number): boolean => {
    for (let i = 2; i < ID_BYTES; i++) {
      const difference = ids[(start + a) * ID_BYTES + i]! - ids[(start + b) * ID_BYTES + i]!;
      if (difference !== 0) return difference < 0;
    }
    return false;
  };
  const sink = (root: number, size: number): void => {
    for (;;) {
      let child = 2 * root + 1;
      if (child >= size) return;
      if (child + 1 < size && less(child, child + 1)) child++;
      if (!less(root, child)) return;
      swap(start + root, start + child);
      root = child;
    }
  };
  const size = end - start;
  for (let root = (size >> 1) - 1; root >= 0; root--) sink(root, size);
  for (let last = size - 1; last > 0; last--) {
    swap(start, start + last);
    sink(0, last);
  }
}
