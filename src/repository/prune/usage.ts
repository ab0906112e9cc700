// What every pack of a repository holds that is still needed. Of a blob with several copies one is chosen to count as used.
//
// Numbers in typed arrays, by pack and by index entry: a repository has millions of entries, so none is an object.

import {
  HEADER_ENTRY_BYTES,
  HEADER_ENTRY_COMPRESSED_BYTES,
  PACK_OVERHEAD_BYTES,
} from "../../restic/pack-header.ts";
import type { EntrySet } from "../entry-set.ts";
import type { PackContent, PackTable } from "../pack-table.ts";

/** Blobs and stored bytes. */
export interface Amount {
  blobs: number;
  bytes: number;
}

/** Sums over all packs that an index lists. Bytes are those of blobs: headers do not count. */
export interface UsageTotals {
  used: Amount;
  /** Further copies of used blobs. */
  duplicate: Amount;
  unused: Amount;
}

/** Counts by pack number; bytes of a pack's header count as used. */
export class PackUsage {
  readonly usedBlobs: Uint32Array;
  /** Blobs that nobody needs here: unused ones, and copies of those that are kept elsewhere. */
  readonly unusedBlobs: Uint32Array;
  readonly usedBytes: Float64Array;
  readonly unusedBytes: Float64Array;
  /** 1 for packs that hold a blob which is not compressed. */
  readonly uncompressed: Uint8Array;
  readonly contents: readonly PackContent[];
  readonly totals: UsageTotals;
  /** For each entry of the index the first entry of the same blob: the one that stands for it in sets. */
  readonly firsts: Uint32Array;
  readonly #duplicates: Uint32Array;
  readonly #table: PackTable;

  /** `used` holds the first entries of all blobs that are needed. */
  constructor(table: PackTable, used: EntrySet) {
    const packs = table.index.packs.length;
    this.#table = table;
    this.usedBlobs = new Uint32Array(packs);
    this.unusedBlobs = new Uint32Array(packs);
    this.#duplicates = new Uint32Array(packs);
    this.usedBytes = new Float64Array(packs);
    this.unusedBytes = new Float64Array(packs);
    this.uncompressed = new Uint8Array(packs);
    const contents: PackContent[] = [];
    for (const pack of table.packs) contents[pack] = table.content(pack);
    this.contents = contents;
    this.totals = { used: zero(), duplicate: zero(), unused: zero() };
    this.firsts = findFirsts(table);
    const copies = this.#countCopies(used);
    this.#sum(copies);
    if (this.totals.duplicate.blobs > 0) this.#choose(copies);
  }

  /** Bytes that the file of a pack must have. */
  fileBytes(pack: number): number {
    return this.usedBytes[pack]! + this.unusedBytes[pack]!;
  }

  /** How often each used blob is there, at its first entry, up to 255. */
  #countCopies(used: EntrySet): Uint8Array {
    const copies = new Uint8Array(this.#table.index.count);
    for (const pack of this.#table.packs) {
      for (const entry of this.#table.entries(pack)) {
        const first = this.firsts[entry]!;
        if (used.has(first) && copies[first]! < 255) copies[first]!++;
      }
    }
    return copies;
  }

  #sum(copies: Uint8Array): void {
    const { index } = this.#table;
    const { used, duplicate, unused } = this.totals;
    for (const pack of this.#table.packs) {
      this.usedBytes[pack] = PACK_OVERHEAD_BYTES;
      for (const entry of this.#table.entries(pack)) {
        const isCompressed = index.uncompressedLength(entry) !== 0;
        if (!isCompressed) this.uncompressed[pack] = 1;
        this.usedBytes[pack]! += isCompressed ? HEADER_ENTRY_COMPRESSED_BYTES : HEADER_ENTRY_BYTES;
        const count = copies[this.firsts[entry]!]!;
        const bytes = index.storedLength(entry);
        if (count === 1) {
          this.usedBlobs[pack]!++;
          this.usedBytes[pack]! += bytes;
          add(used, bytes);
          continue;
        }
        this.unusedBlobs[pack]!++;
        this.unusedBytes[pack]! += bytes;
        if (count > 1) this.#duplicates[pack]!++;
        add(count > 1 ? duplicate : unused, bytes);
      }
    }
  }

  /**
   * Chooses the copy that counts: in a pack that is needed anyway or that holds nothing but copies (as an interrupted prune
   * leaves), or else the last one met.
   */
  #choose(copies: Uint8Array): void {
    const { index } = this.#table;
    const { used, duplicate } = this.totals;
    /** Bit by first entry: the next copy is the last. */
    const isLast = new Uint8Array(Math.ceil(index.count / 8));
    for (const pack of this.#table.packs) {
      for (const entry of this.#table.entries(pack)) {
        const first = this.firsts[entry]!;
        if (copies[first]! < 2) continue;
        const last = (isLast[first >>> 3]! & (1 << (first & 7))) !== 0;
        const isWelcome =
          this.usedBlobs[pack]! > 0 || this.#duplicates[pack] === this.unusedBlobs[pack];
        if (!isWelcome && !last) {
          // Two are left: this one and the last.
          if (copies[first] === 2) isLast[first >>> 3]! |= 1 << (first & 7);
          else copies[first]!--;
          continue;
        }
        const bytes = index.storedLength(entry);
        copies[first] = 1;
        this.usedBlobs[pack]!++;
        this.unusedBlobs[pack]!--;
        this.usedBytes[pack]! += bytes;
        this.unusedBytes[pack]! -= bytes;
        add(used, bytes);
        add(duplicate, -bytes, -1);
      }
    }
  }
}

function zero(): Amount {
  return { blobs: 0, bytes: 0 };
}

function add(amount: Amount, bytes: number, blobs = 1): void {
  amount.blobs += blobs;
  amount.bytes += bytes;
}

function findFirsts({ index }: PackTable): Uint32Array {
  const firsts = new Uint32Array(index.count);
  for (let begin = 0, end = 0; begin < index.count; begin = end) {
    let [tree, data] = [-1, -1];
    for (end = begin; end < index.count && index.sameId(begin, end); end++) {
      if (index.isTree(end)) firsts[end] = tree = tree < 0 ? end : tree;
      else firsts[end] = data = data < 0 ? end : data;
    }
  }
  return firsts;
}
