// What a prune will do, decided before anything is done: which packs go, which are written anew without what nobody needs,
// which stay. Pure: from the index, what is used, and the sizes of the packs that are there.
//
// The rules are restic's: unneeded packs go; of the others those with the largest unneeded share are written anew until no
// more than the tolerated amount is left; packs of trees and mixed packs always, small ones when there are many.
// Must never: plan the removal of a pack with a needed blob that is not kept, or copied, elsewhere.

import { HoldfastError } from "../../base/errors.ts";
import type { Id } from "../../base/bytes.ts";
import { EntrySet, createEntrySetMemory } from "../entry-set.ts";
import type { RepositoryFile } from "../layout.ts";
import type { PackTable } from "../pack-table.ts";
import { PackUsage } from "./usage.ts";

/** How many bytes of unneeded blobs may stay behind. */
export type MaxUnused =
  | { kind: "unlimited" }
  /** Of what the repository then holds: 0 ≤ percent < 100. */
  | { kind: "percent"; percent: number }
  | { kind: "bytes"; bytes: number };

export interface PruneCriteria {
  maxUnused: MaxUnused;
  /** Write at most this many bytes of packs anew; Infinity for all that should be. */
  maxRepackBytes: number;
  /** Packs below this size are small; by default what is small for this repository. */
  smallPackBytes: number | undefined;
  /** Leave packs of file content as they are. */
  repackCacheableOnly: boolean;
  /** Write packs anew that hold blobs which are not compressed. */
  repackUncompressed: boolean;
}

/** Numbers about a plan; bytes are those of blobs, of packs that are written anew those of files. */
export interface PruneStatistics {
  blobs: {
    used: number;
    duplicate: number;
    unused: number;
    total: number;
    /** In packs that are written anew. */
    repack: number;
    /** Of these the ones that are left out. */
    repackRemove: number;
    /** In packs that go as a whole. */
    remove: number;
    removeTotal: number;
    remaining: number;
  };
  bytes: {
    used: number;
    duplicate: number;
    unused: number;
    /** Of packs in no index. */
    unreferenced: number;
    /** Of packs that stay with blobs which are not compressed. */
    uncompressed: number;
    total: number;
    repack: number;
    repackRemove: number;
    remove: number;
    removeTotal: number;
    remaining: number;
    remainingUnused: number;
  };
  packs: {
    used: number;
    unused: number;
    partlyUsed: number;
    unreferenced: number;
    total: number;
    keep: number;
    repack: number;
    remove: number;
    removeTotal: number;
  };
}

export interface PrunePlan {
  statistics: PruneStatistics;
  /** Packs in no index: leftovers, unless somebody is writing them right now. */
  unreferenced: RepositoryFile[];
  /** Numbers of packs that are written anew. */
  repack: readonly number[];
  /** Of packs that hold nothing needed. */
  remove: readonly number[];
  /** Of packs that the index names and that are gone, without loss: nothing in them is needed. */
  missing: readonly number[];
  /** First entries of blobs that have to be copied because no pack that stays has them. */
  copy: EntrySet;
  /** For each entry the first one of the same blob. */
  firsts: Uint32Array;
}

const PACK_BYTES_MIN = 4 << 20;
/** Fewer small packs than this are not worth the trouble. */
const SMALL_PACKS_MIN = 10;

interface Candidate {
  pack: number;
  mustCompress: boolean;
  isSmall: boolean;
}

export interface PlanOptions {
  table: PackTable;
  /** First entries of all blobs that snapshots need. */
  used: EntrySet;
  /** The packs that are there. */
  files: readonly RepositoryFile[];
  /** The repository's format. */
  version: 1 | 2;
  criteria: PruneCriteria;
}

/**
 * Decides what to do. PRUNE_REFUSED when a needed pack is missing or does not have the size that the index implies: what
 * is there is no longer understood, and removing anything could make it worse.
 */
export function planPrune(options: PlanOptions): PrunePlan {
  return new Planner(options).run();
}

class Planner {
  readonly #options: PlanOptions;
  readonly #usage: PackUsage;
  readonly #statistics: PruneStatistics;
  readonly #smallBytes: number;
  readonly #repack: number[] = [];
  readonly #remove: number[] = [];
  readonly #unreferenced: RepositoryFile[] = [];

  constructor(options: PlanOptions) {
    this.#options = options;
    this.#usage = new PackUsage(options.table, options.used);
    this.#statistics = emptyStatistics(this.#usage);
    this.#smallBytes = options.criteria.smallPackBytes ?? smallBytes(options.table, this.#usage);
  }

  run(): PrunePlan {
    const candidates = this.#sortOut();
    const missing = this.#findMissing();
    this.#chooseRepacks(candidates);
    this.#finishStatistics();
    return {
      statistics: this.#statistics,
      unreferenced: this.#unreferenced,
      repack: this.#repack,
      remove: this.#remove,
      missing,
      copy: this.#findCopies([...this.#repack, ...this.#remove, ...missing]),
      firsts: this.#usage.firsts,
    };
  }

  /** Looks at every pack that is there; those that may be written anew are left to choose from. */
  #sortOut(): Candidate[] {
    const { table, files, version, criteria } = this.#options;
    const { usedBlobs, unusedBlobs, unusedBytes, contents, uncompressed } = this.#usage;
    const { blobs, bytes, packs } = this.#statistics;
    const candidates: Candidate[] = [];
    const small: Candidate[] = [];
    for (const file of files) {
      const pack = table.numberOf(file.id);
      if (pack === undefined) {
        this.#unreferenced.push(file);
        bytes.unreferenced += file.size;
        continue;
      }
      const size = this.#usage.fileBytes(pack);
      if (size !== file.size && usedBlobs[pack]! > 0) throw wrongSize(file, size);
      if (usedBlobs[pack] === 0) packs.unused++;
      else if (unusedBlobs[pack] === 0) packs.used++;
      else packs.partlyUsed++;
      const content = contents[pack]!;
      if (uncompressed[pack] === 1) bytes.uncompressed += size;
      const mustCompress =
        version === 2 &&
        uncompressed[pack] === 1 &&
        (content === "tree" || criteria.repackUncompressed);
      const isSmall = size < this.#smallBytes;
      if (usedBlobs[pack] === 0) {
        this.#remove.push(pack);
        blobs.remove += unusedBlobs[pack]!;
        bytes.remove += unusedBytes[pack]!;
      } else if (criteria.repackCacheableOnly && content === "data") {
        packs.keep++;
      } else if (unusedBlobs[pack]! > 0 || content === "mixed" || mustCompress) {
        candidates.push({ pack, mustCompress, isSmall });
      } else if (isSmall) {
        small.push({ pack, mustCompress, isSmall });
      } else {
        packs.keep++;
      }
    }
    if (small.length >= SMALL_PACKS_MIN) candidates.push(...small);
    else packs.keep += small.length;
    return candidates;
  }

  /** Packs that are gone without loss. */
  #findMissing(): number[] {
    const { table, files } = this.#options;
    const { usedBlobs, unusedBlobs, unusedBytes } = this.#usage;
    const { blobs, bytes } = this.#statistics;
    const there = new Set<number>();
    for (const { id } of files) {
      const pack = table.numberOf(id);
      if (pack !== undefined) there.add(pack);
    }
    const missing = table.packs.filter((pack) => !there.has(pack));
    const needed = missing.filter((pack) => usedBlobs[pack]! > 0);
    if (needed.length > 0) throw packsMissing(needed.map((pack) => table.index.packs[pack]!));
    for (const pack of missing) {
      blobs.remove += unusedBlobs[pack]!;
      bytes.remove += unusedBytes[pack]!;
    }
    return missing;
  }

  #chooseRepacks(candidates: Candidate[]): void {
    const { criteria } = this.#options;
    const { usedBlobs, unusedBlobs, unusedBytes, contents, uncompressed } = this.#usage;
    const { blobs, bytes, packs } = this.#statistics;
    candidates.sort((a, b) => this.#compare(a, b));
    const tolerated = toleratedBytes(criteria.maxUnused, bytes.used);
    for (const { pack, mustCompress, isSmall } of candidates) {
      const size = this.#usage.fileBytes(pack);
      const left = bytes.duplicate + bytes.unused - bytes.remove - bytes.repackRemove;
      const isEnough = left < tolerated && !isSmall && contents[pack] === "data" && !mustCompress;
      if (bytes.repack + size >= criteria.maxRepackBytes || isEnough) {
        packs.keep++;
        continue;
      }
      this.#repack.push(pack);
      blobs.repack += usedBlobs[pack]! + unusedBlobs[pack]!;
      blobs.repackRemove += unusedBlobs[pack]!;
      bytes.repack += size;
      bytes.repackRemove += unusedBytes[pack]!;
      // Content that is not compressed is copied as it is, unless that is what was asked for.
      if (uncompressed[pack] === 1 && (mustCompress || contents[pack] === "tree")) {
        bytes.uncompressed -= size;
      }
    }
  }

  /** Packs with trees first, then small ones, then those with the largest unneeded share. */
  #compare(a: Candidate, b: Candidate): number {
    const { contents, usedBytes, unusedBytes } = this.#usage;
    const isData = ({ pack }: Candidate): number => (contents[pack] === "data" ? 1 : 0);
    const share = ({ pack }: Candidate): number => unusedBytes[pack]! / usedBytes[pack]!;
    return isData(a) - isData(b) || Number(b.isSmall) - Number(a.isSmall) || share(b) - share(a);
  }

  #finishStatistics(): void {
    const { blobs, bytes, packs } = this.#statistics;
    blobs.total = blobs.used + blobs.unused + blobs.duplicate;
    blobs.removeTotal = blobs.remove + blobs.repackRemove;
    blobs.remaining = blobs.total - blobs.removeTotal;
    bytes.total = bytes.used + bytes.duplicate + bytes.unused + bytes.unreferenced;
    bytes.removeTotal = bytes.remove + bytes.repackRemove + bytes.unreferenced;
    bytes.remaining = bytes.total - bytes.removeTotal;
    bytes.remainingUnused = bytes.duplicate + bytes.unused - bytes.remove - bytes.repackRemove;
    packs.unreferenced = this.#unreferenced.length;
    packs.repack = this.#repack.length;
    packs.remove = this.#remove.length;
    packs.total = packs.used + packs.partlyUsed + packs.unused + packs.unreferenced;
    packs.removeTotal = packs.unreferenced + packs.remove;
    if (this.#options.version === 1) bytes.uncompressed = 0;
  }

  /** Used blobs that no pack has which stays. */
  #findCopies(leaving: readonly number[]): EntrySet {
    const { table, used } = this.#options;
    const { firsts } = this.#usage;
    const leaves = new Set(leaving);
    const kept = new EntrySet(createEntrySetMemory(table.index.count));
    for (const pack of table.packs) {
      if (!leaves.has(pack)) for (const entry of table.entries(pack)) kept.add(firsts[entry]!);
    }
    const copy = new EntrySet(createEntrySetMemory(table.index.count));
    for (const pack of leaving) {
      for (const entry of table.entries(pack)) {
        const first = firsts[entry]!;
        if (used.has(first) && !kept.has(first)) copy.add(first);
      }
    }
    return copy;
  }
}

/** What is small: four fifths of the smallest size that most packs have, and at least of the smallest that there should be. */
function smallBytes(table: PackTable, usage: PackUsage): number {
  if (table.packs.length === 0) return 0;
  const sizes = Float64Array.from(table.packs, (pack) => usage.fileBytes(pack)).sort();
  const usual = sizes[Math.floor((sizes.length * 3) / 100)]!;
  return Math.floor((Math.max(PACK_BYTES_MIN, usual) * 4) / 5);
}

function toleratedBytes(max: MaxUnused, usedBytes: number): number {
  if (max.kind === "unlimited") return Infinity;
  if (max.kind === "bytes") return max.bytes;
  return Math.floor((max.percent / (100 - max.percent)) * usedBytes);
}

function emptyStatistics({ totals }: PackUsage): PruneStatistics {
  const { used, duplicate, unused } = totals;
  const removal = { total: 0, repack: 0, repackRemove: 0, remove: 0, removeTotal: 0, remaining: 0 };
  return {
    blobs: {
      used: used.blobs,
      duplicate: duplicate.blobs,
      unused: unused.blobs,
      ...removal,
    },
    bytes: {
      used: used.bytes,
      duplicate: duplicate.bytes,
      unused: unused.bytes,
      unreferenced: 0,
      uncompressed: 0,
      ...removal,
      remainingUnused: 0,
    },
    packs: {
      used: 0,
      unused: 0,
      partlyUsed: 0,
      unreferenced: 0,
      total: 0,
      keep: 0,
      repack: 0,
      remove: 0,
      removeTotal: 0,
    },
  };
}

function wrongSize({ id, size }: RepositoryFile, expected: number): HoldfastError {
  return new HoldfastError(
    "PRUNE_REFUSED",
    `pack ${id} has ${size} bytes, the index implies ${expected}; nothing was removed`,
    { hint: "Run `check`, then `repair index`." },
  );
}

function packsMissing(ids: readonly Id[]): HoldfastError {
  const some = ids.slice(0, 20).join(", ");
  return new HoldfastError(
    "PRUNE_REFUSED",
    `the index references ${ids.length} needed pack files which are missing from the repository: ` +
      `${some}${ids.length > 20 ? ", …" : ""}; nothing was removed`,
    {
      hint: "Bring them back from a copy of the repository, or run `repair index` and then `repair snapshots`.",
    },
  );
}
