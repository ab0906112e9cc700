// The index turned round: which blobs each pack holds, in the order in which they lie there. For whoever goes through a
// repository pack by pack. Four bytes a blob; entries are numbers of the BlobIndex.
//
// The same pack may be listed by several index files. Equal listings count once; what unequal ones say is united, and the
// pack is called split.

import type { Id } from "../base/bytes.ts";
import {
  HEADER_ENTRY_BYTES,
  HEADER_ENTRY_COMPRESSED_BYTES,
  PACK_OVERHEAD_BYTES,
} from "../restic/pack-header.ts";
import type { BlobIndex } from "./blob-index.ts";

export type PackContent = "data" | "tree" | "mixed";

/** Packs are known by the number of their first listing in `BlobIndex.packs`. */
export class PackTable {
  readonly index: BlobIndex;
  /** Every pack, once, by number. */
  readonly packs: readonly number[];
  /** Packs that several listings name, all of them equal. */
  readonly duplicates: readonly number[];
  /** Packs of which listings say different things. */
  readonly split: readonly number[];
  readonly #numbers: Map<Id, number>;
  /** All listings of packs that have several. */
  readonly #listings: Map<number, number[]>;
  readonly #order: Uint32Array;
  /** Begin and end of each pack's entries in #order. */
  readonly #begins: Uint32Array;
  readonly #ends: Uint32Array;

  constructor(index: BlobIndex) {
    this.index = index;
    this.#numbers = new Map();
    const listings = new Map<number, number[]>();
    this.#listings = listings;
    for (const [number, id] of index.packs.entries()) {
      const first = this.#numbers.get(id);
      if (first === undefined) this.#numbers.set(id, number);
      else listings.set(first, [...(listings.get(first) ?? [first]), number]);
    }
    this.packs = [...this.#numbers.values()];

    const listed = new Uint32Array(index.packs.length);
    for (let entry = 0; entry < index.count; entry++) listed[index.packNumber(entry)]!++;
    this.#begins = new Uint32Array(index.packs.length);
    this.#ends = new Uint32Array(index.packs.length);
    this.#order = new Uint32Array(index.count);
    this.#fill(listed);

    const isEqual = (first: number): boolean =>
      listings.get(first)!.every((number) => listed[number] === this.entries(first).length);
    const repeated = [...listings.keys()];
    this.duplicates = repeated.filter(isEqual);
    this.split = repeated.filter((first) => !isEqual(first));
  }

  /** The number of a pack, or undefined when no index file lists it. */
  numberOf(id: Id): number | undefined {
    return this.#numbers.get(id);
  }

  /** The number under which a pack is known here, from that of any of its listings. */
  canonical(listing: number): number {
    return this.#numbers.get(this.index.packs[listing]!)!;
  }

  /** All numbers under which the index lists a pack. */
  listings(pack: number): number[] {
    return this.#listings.get(pack) ?? [pack];
  }

  /** Entries of a pack's blobs by ascending offset. A view: do not change it. */
  entries(pack: number): Uint32Array {
    return this.#order.subarray(this.#begins[pack], this.#ends[pack]);
  }

  /** Bytes that the pack file must have. */
  fileBytes(pack: number): number {
    let size = PACK_OVERHEAD_BYTES;
    for (const entry of this.entries(pack)) {
      const compressed = this.index.uncompressedLength(entry) !== 0;
      size += compressed ? HEADER_ENTRY_COMPRESSED_BYTES : HEADER_ENTRY_BYTES;
      size += this.index.storedLength(entry);
    }
    return size;
  }

  /** Which kinds of blobs a pack holds. */
  content(pack: number): PackContent {
    const entries = this.entries(pack);
    const trees = entries.reduce((sum, entry) => sum + (this.index.isTree(entry) ? 1 : 0), 0);
    if (trees === 0) return "data";
    return trees === entries.length ? "tree" : "mixed";
  }

  /**
   * Calls `visit` for each distinct blob with its first entry, the one that `find` returns, and all its entries, which stand
   * during the call only.
   */
  forEachBlob(visit: (first: number, entries: readonly number[]) => void): void {
    const { index } = this;
    const only = [0];
    for (let begin = 0, end = 0; begin < index.count; begin = end) {
      end = begin + 1;
      if (end === index.count || !index.sameId(begin, end)) {
        // Nearly all; an array for each of a million blobs is more than the garbage collector likes.
        only[0] = begin;
        visit(begin, only);
        continue;
      }
      const trees: number[] = [];
      const data: number[] = [];
      for (end = begin; end < index.count && index.sameId(begin, end); end++) {
        (index.isTree(end) ? trees : data).push(end);
      }
      if (trees.length > 0) visit(trees[0]!, trees);
      if (data.length > 0) visit(data[0]!, data);
    }
  }

  /** Sorts all entries by pack and offset; exact repetitions of one pack are dropped. */
  #fill(listed: Uint32Array): void {
    const { index } = this;
    const listings = this.#listings;
    const canonical = Uint32Array.from(listed.keys());
    for (const [first, numbers] of listings) for (const n of numbers) canonical[n] = first;
    const counts = new Uint32Array(listed.length);
    for (const [number, count] of listed.entries()) counts[canonical[number]!]! += count;
    let at = 0;
    for (const [number, count] of counts.entries()) {
      this.#begins[number] = at;
      this.#ends[number] = at;
      at += count;
    }
    for (let entry = 0; entry < index.count; entry++) {
      this.#order[this.#ends[canonical[index.packNumber(entry)]!]!++] = entry;
    }
    for (const pack of this.packs) {
      this.entries(pack).sort((a, b) => index.offset(a) - index.offset(b));
      if (listings.has(pack)) this.#dropRepetitions(pack);
    }
  }

  #dropRepetitions(pack: number): void {
    const { index } = this;
    const entries = this.entries(pack);
    let kept = 0;
    for (const entry of entries) {
      let repeated = false;
      for (let i = kept - 1; i >= 0 && index.offset(entries[i]!) === index.offset(entry); i--) {
        repeated ||= index.samePlace(entries[i]!, entry);
      }
      if (!repeated) entries[kept++] = entry;
    }
    this.#ends[pack] = this.#begins[pack]! + kept;
  }
}
