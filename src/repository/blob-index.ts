// Which pack holds which blob, for a whole repository, in sorted typed arrays: 48 bytes a blob and 64 a pack.
//
// The arrays live in shared memory, so that worker threads look blobs up without a message. Filled once by
// src/repository/blob-index-builder.ts, never changed afterwards; blobs of the running backup are in SharedBlobSet. The same blob in
// several packs keeps all its places: a reader tries each.

import type { Id } from "../base/bytes.ts";
import { ID_BYTES, fromHex, toHex } from "../base/bytes.ts";
import { SEAL_BYTES } from "../restic/crypto.ts";

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
export const FIELDS = 4;
export const TREE_FLAG = 0x80000000;
/** The first two bytes of an id choose its bucket. */
export const BUCKETS: number = 1 << 16;

/** So large an index, 32 MiB or 700,000 blobs, leaves little for buffers. */
const LARGE_BYTES = 32 << 20;

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

  /** Whether it takes so much memory that buffers beside it are to be few and small. */
  get isLarge(): boolean {
    return this.ids.length + this.fields.byteLength >= LARGE_BYTES;
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

  /** Number of the pack in `BlobIndex.packs`. */
  packNumber(entry: number): number {
    return (this.fields[entry * FIELDS]! & ~TREE_FLAG) >>> 0;
  }

  /** First byte in the pack. */
  offset(entry: number): number {
    return this.fields[entry * FIELDS + 1]!;
  }

  /** Bytes in the pack. */
  storedLength(entry: number): number {
    return this.fields[entry * FIELDS + 2]!;
  }

  /** Plaintext bytes of a compressed blob, 0 for one stored as it is. */
  uncompressedLength(entry: number): number {
    return this.fields[entry * FIELDS + 3]!;
  }

  idAt(entry: number): Id {
    return toHex(this.idBytes(entry));
  }

  /** The id's bytes: a view. */
  idBytes(entry: number): Uint8Array {
    return this.ids.subarray(entry * ID_BYTES, (entry + 1) * ID_BYTES);
  }

  /** Plaintext bytes of the blob at an entry. */
  plainLength(entry: number): number {
    return this.uncompressedLength(entry) || this.storedLength(entry) - SEAL_BYTES;
  }

  /** True when the entry's id is the one at `at` in `bytes`. */
  isIdAt(entry: number, bytes: Uint8Array, at: number): boolean {
    return this.#compare(entry, bytes, at) === 0;
  }

  /** True when both entries name the same id. */
  sameId(a: number, b: number): boolean {
    return this.#compare(a, this.ids, b * ID_BYTES) === 0;
  }

  /** True when both entries say the same of a blob: its id, kind, lengths and place inside its pack. */
  samePlace(a: number, b: number): boolean {
    for (let field = 1; field < FIELDS; field++) {
      if (this.fields[a * FIELDS + field] !== this.fields[b * FIELDS + field]) return false;
    }
    return this.isTree(a) === this.isTree(b) && this.sameId(a, b);
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

  place(entry: number): BlobPlace {
    const packNumber = this.packNumber(entry);
    return {
      type: this.isTree(entry) ? "tree" : "data",
      pack: this.packs[packNumber]!,
      packNumber,
      offset: this.offset(entry),
      length: this.storedLength(entry),
      uncompressedLength: this.uncompressedLength(entry),
    };
  }
}
