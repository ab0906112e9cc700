// Which pack holds which blob, for a whole repository, in sorted typed arrays: 48 bytes a blob and 64 a pack.
//
// The arrays live in shared memory, so that worker threads look blobs up without a message. Filled once by
// BlobIndexBuilder, never changed afterwards; blobs of the running backup are in SharedBlobSet. The same blob in
// several packs keeps all its places: a reader tries each.

import type { Id } from "../base/bytes.ts";
import { ID_BYTES, fromHex, toHex } from "../base/bytes.ts";

export type BlobType = "data" | "tree";

export interface BlobPlace {
  type: BlobType;
  pack: Id;
  /** Number of the pack in `BlobIndex.packs`. */
  packNumber: number;
  offset: number;
  /** Stored bytes. */
  length: number;
  /** 0 when stored as it is. */
  uncompressedLength: number;
}

/** What a worker thread needs to look blobs up: shared, not copied, when posted. */
export interface SharedIndex {
  count: number;
  ids: SharedArrayBuffer;
  fields: SharedArrayBuffer;
  buckets: SharedArrayBuffer;
}

/** Fields per blob: pack number with the tree flag, offset, length, uncompressed length. */
const FIELDS = 4;
const TREE_FLAG = 0x80000000;
const BUCKETS = 1 << 16;

/** Sorted lookup over shared memory; also what workers construct from a SharedIndex. */
export class BlobLookup {
  readonly shared: SharedIndex;
  readonly ids: Uint8Array;
  readonly fields: Uint32Array;
  readonly #buckets: Uint32Array;

  constructor(shared: SharedIndex) {
    this.shared = shared;
    this.ids = new Uint8Array(shared.ids);
    this.fields = new Uint32Array(shared.fields);
    this.#buckets = new Uint32Array(shared.buckets);
  }

  /** Number of places (a blob in two packs counts twice). */
  get count(): number {
    return this.shared.count;
  }

  /** Entry number of a first place of the blob, or -1. */
  find(type: BlobType, id: Uint8Array, at = 0): number {
    const bucket = (id[at]! << 8) | id[at + 1]!;
    let low = this.#buckets[bucket]!;
    let high = this.#buckets[bucket + 1]!;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#compare(middle, id, at) < 0) low = middle + 1;
      else high = middle;
    }
    for (let i = low; i < this.count && this.#compare(i, id, at) === 0; i++) {
      if (this.isTree(i) === (type === "tree")) return i;
    }
    return -1;
  }

  has(type: BlobType, id: Uint8Array, at = 0): boolean {
    return this.find(type, id, at) >= 0;
  }

  isTree(entry: number): boolean {
    return (this.fields[entry * FIELDS]! & TREE_FLAG) !== 0;
  }

  /** Plaintext bytes of the blob at an entry. */
  plainLength(entry: number): number {
    const uncompressed = this.fields[entry * FIELDS + 3]!;
    return uncompressed === 0 ? this.fields[entry * FIELDS + 2]! - 32 : uncompressed;
  }

  /** True when both entries name the same id. */
  sameId(a: number, b: number): boolean {
    return this.#compare(a, this.ids, b * ID_BYTES) === 0;
  }

  #compare(entry: number, id: Uint8Array, at: number): number {
    const base = entry * ID_BYTES;
    for (let i = 0; i < ID_BYTES; i++) {
      const difference = this.ids[base + i]! - id[at + i]!;
      if (difference !== 0) return difference;
    }
    return 0;
  }
}

export class BlobIndex extends BlobLookup {
  /** Ids of the packs, by number. */
  readonly packs: readonly Id[];

  constructor(shared: SharedIndex, packs: readonly Id[]) {
    super(shared);
    this.packs = packs;
  }

  /** Every place of a blob, in no meaningful order. */
  places(type: BlobType, id: Id): BlobPlace[] {
    const bytes = fromHex(id);
    const first = this.find(type, bytes);
    const places: BlobPlace[] = [];
    for (let i = first; i >= 0 && i < this.count && this.idAt(i) === id; i++) {
      if (this.isTree(i) === (type === "tree")) places.push(this.place(i));
    }
    return places;
  }

  idAt(entry: number): Id {
    return toHex(this.ids.subarray(entry * ID_BYTES, (entry + 1) * ID_BYTES));
  }

  place(entry: number): BlobPlace {
    const base = entry * FIELDS;
    const packNumber = (this.fields[base]! & ~TREE_FLAG) >>> 0;
    return {
      type: this.isTree(entry) ? "tree" : "data",
      pack: this.packs[packNumber]!,
      packNumber,
      offset: this.fields[base + 1]!,
      length: this.fields[base + 2]!,
      uncompressedLength: this.fields[base + 3]!,
    };
  }
}

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

/** Sorts by id in place: into 65,536 buckets by the first two bytes, then each small bucket by insertion. */
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
    sortBucket(ids, starts[bucket]!, starts[bucket + 1]!, swap);
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
