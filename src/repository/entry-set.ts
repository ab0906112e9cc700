// A set of index entries, one bit each, in memory that threads share: which blobs a walk has met. Millions of ids in a
// JavaScript set would take gigabytes.

/** Memory for a set over entries 0 to `count` - 1, empty; posted to worker threads. */
export function createEntrySetMemory(count: number): SharedArrayBuffer {
  return new SharedArrayBuffer(4 * Math.ceil(count / 32));
}

/** One thread's view of the set. */
export class EntrySet {
  readonly #words: Int32Array;

  constructor(memory: SharedArrayBuffer) {
    this.#words = new Int32Array(memory);
  }

  has(entry: number): boolean {
    return (Atomics.load(this.#words, entry >>> 5) & (1 << (entry & 31))) !== 0;
  }

  /** Adds an entry; true for exactly one of all callers that add it. */
  add(entry: number): boolean {
    const bit = 1 << (entry & 31);
    const word = entry >>> 5;
    // Most blobs are met many times, and looking costs less than writing.
    if ((Atomics.load(this.#words, word) & bit) !== 0) return false;
    return (Atomics.or(this.#words, word, bit) & bit) === 0;
  }

  /** Takes an entry out; true for exactly one of all callers that take it. */
  take(entry: number): boolean {
    const bit = 1 << (entry & 31);
    const word = entry >>> 5;
    if ((Atomics.load(this.#words, word) & bit) === 0) return false;
    return (Atomics.and(this.#words, word, ~bit) & bit) !== 0;
  }

  /** The entries, ascending, that are in this set and not in `earlier`, which has the same size. */
  *addedSince(earlier: EntrySet): Generator<number> {
    for (const [at, word] of this.#words.entries()) {
      for (let bits = word & ~earlier.#words[at]!; bits !== 0; bits &= bits - 1) {
        yield 32 * at + 31 - Math.clz32(bits & -bits);
      }
    }
  }

  /** True when there is no entry in it. */
  get isEmpty(): boolean {
    return this.#words.every((word) => word === 0);
  }
}
