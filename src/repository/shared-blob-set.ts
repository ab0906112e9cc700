// The blobs that this run has claimed: shared by all threads, so that each new blob is stored exactly once without a
// message. A claim is not a promise that the blob is durable; a snapshot is written only after all packs are.
//
// Hash chains over two growable shared buffers: heads (one Int32 per bucket) and entries (id, next). A spin lock guards
// them; a claim holds it for well under a microsecond.

import { ID_BYTES } from "../base/bytes.ts";

/** What is posted to worker threads. */
export interface SharedBlobSetMemory {
  /** [lock, count, bucket count] */
  control: SharedArrayBuffer;
  heads: SharedArrayBuffer;
  entries: SharedArrayBuffer;
}

const LOCK = 0;
const COUNT = 1;
const BUCKET_COUNT = 2;
/** Id, then next entry + 1 (Int32). */
const ENTRY_BYTES = ID_BYTES + 4;
const ENTRY_STEP = 4096;
const ENTRIES_MAX = 1 << 26;

/** New memory for an empty set; up to 67 million blobs a run. */
export function createBlobSetMemory(): SharedBlobSetMemory {
  const buckets = 1 << 12;
  const control = new SharedArrayBuffer(12);
  new Int32Array(control)[BUCKET_COUNT] = buckets;
  return {
    control,
    heads: new SharedArrayBuffer(buckets * 4, { maxByteLength: ENTRIES_MAX * 4 }),
    entries: new SharedArrayBuffer(ENTRY_STEP * ENTRY_BYTES, {
      maxByteLength: ENTRIES_MAX * ENTRY_BYTES,
    }),
  };
}

/** One thread's view of the set. */
export class SharedBlobSet {
  readonly #memory: SharedBlobSetMemory;
  readonly #control: Int32Array;
  // Views without a length follow the buffers as they grow.
  readonly #heads: Int32Array;
  readonly #ids: Uint8Array;
  readonly #words: Int32Array;

  constructor(memory: SharedBlobSetMemory) {
    this.#memory = memory;
    this.#control = new Int32Array(memory.control);
    this.#heads = new Int32Array(memory.heads);
    this.#ids = new Uint8Array(memory.entries);
    this.#words = new Int32Array(memory.entries);
  }

  get size(): number {
    return Atomics.load(this.#control, COUNT);
  }

  /** True when the caller is the first to claim this id, and so has to store it. */
  claim(id: Uint8Array): boolean {
    this.#lock();
    try {
      const hash = id[0]! | (id[1]! << 8) | (id[2]! << 16) | (id[3]! << 24);
      const bucket = hash & (this.#control[BUCKET_COUNT]! - 1);
      for (let entry = this.#heads[bucket]!; entry !== 0; entry = this.#next(entry - 1)) {
        if (this.#equal(entry - 1, id)) return false;
      }
      this.#insert(bucket, id);
      return true;
    } finally {
      this.#unlock();
    }
  }

  #insert(bucket: number, id: Uint8Array): void {
    const count = this.#control[COUNT]!;
    if ((count + 1) * ENTRY_BYTES > this.#ids.length) {
      const bytes = this.#ids.length + Math.max(ENTRY_STEP, count >> 3) * ENTRY_BYTES;
      this.#memory.entries.grow(Math.min(bytes, ENTRIES_MAX * ENTRY_BYTES));
    }
    this.#ids.set(id, count * ENTRY_BYTES);
    this.#link(count, bucket);
    this.#control[COUNT] = count + 1;
    if (count + 1 > this.#control[BUCKET_COUNT]!) this.#rehash();
  }

  #rehash(): void {
    const buckets = this.#control[BUCKET_COUNT]! * 2;
    this.#memory.heads.grow(buckets * 4);
    this.#heads.fill(0);
    this.#control[BUCKET_COUNT] = buckets;
    for (let entry = 0; entry < this.#control[COUNT]!; entry++) {
      const at = entry * ENTRY_BYTES;
      const ids = this.#ids;
      const hash = ids[at]! | (ids[at + 1]! << 8) | (ids[at + 2]! << 16) | (ids[at + 3]! << 24);
      this.#link(entry, hash & (buckets - 1));
    }
  }

  #link(entry: number, bucket: number): void {
    this.#words[(entry * ENTRY_BYTES + ID_BYTES) >> 2] = this.#heads[bucket]!;
    this.#heads[bucket] = entry + 1;
  }

  #next(entry: number): number {
    return this.#words[(entry * ENTRY_BYTES + ID_BYTES) >> 2]!;
  }

  #equal(entry: number, id: Uint8Array): boolean {
    const at = entry * ENTRY_BYTES;
    for (let i = 0; i < ID_BYTES; i++) if (this.#ids[at + i] !== id[i]) return false;
    return true;
  }

  #lock(): void {
    let spins = 0;
    while (Atomics.compareExchange(this.#control, LOCK, 0, 1) !== 0) {
      if (++spins > 100) Atomics.wait(this.#control, LOCK, 1, 1);
    }
  }

  #unlock(): void {
    Atomics.store(this.#control, LOCK, 0);
    Atomics.notify(this.#control, LOCK, 1);
  }
}
