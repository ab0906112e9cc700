// One repository of a pool: its index, and its snapshots, walked from the newest to the oldest as far as it takes. A snapshot
// that cannot be read, or a listing, is told and passed over: what it held may be elsewhere.

import { fromHex, type Id } from "../../base/bytes.ts";
import { isHoldfastError, type HoldfastError } from "../../base/errors.ts";
import { BlobReader } from "../../repository/blob-reader.ts";
import { loadIndex } from "../../repository/index-loader.ts";
import type { Repository } from "../../repository/repository.ts";
import { listSnapshots, type FoundSnapshot } from "../../repository/snapshots.ts";
import type { TreeNode } from "../../restic/tree-node.ts";
import { eachPoolFile } from "../pool-files.ts";

/** Takes what is damaged or gone, in words that name it. */
export type OnDamage = (what: string, error: HoldfastError) => void;

export class PoolSource {
  readonly repository: Repository;
  readonly kind: "snapshots" | "captures";
  readonly reader: BlobReader;
  /** The newest first. */
  readonly snapshots: readonly FoundSnapshot[];
  readonly #walked = new Set<Id>();
  readonly #onDamage: OnDamage;
  #next = 0;

  private constructor(parts: {
    repository: Repository;
    kind: "snapshots" | "captures";
    reader: BlobReader;
    snapshots: readonly FoundSnapshot[];
    onDamage: OnDamage;
  }) {
    this.repository = parts.repository;
    this.kind = parts.kind;
    this.reader = parts.reader;
    this.snapshots = parts.snapshots;
    this.#onDamage = parts.onDamage;
  }

  /** Lists the snapshots, then loads the index: in that order what they refer to is in it. */
  static async open(options: {
    readonly repository: Repository;
    readonly kind: "snapshots" | "captures";
    readonly only?: ReadonlySet<Id> | undefined;
    readonly onDamage: OnDamage;
    readonly signal?: AbortSignal | undefined;
  }): Promise<PoolSource> {
    const { repository, kind, only, onDamage, signal } = options;
    const snapshots = await listSnapshots(repository, {
      onDamage: (id, error) => onDamage(`snapshot ${id}`, error),
      signal,
    });
    const { index } = await loadIndex(repository, {
      onDamage: (id, error) => onDamage(`index ${id}`, error),
      signal,
    });
    const reader = new BlobReader(repository, index);
    return new PoolSource({
      repository,
      kind,
      reader,
      snapshots: snapshots.filter(({ id }) => only?.has(id) ?? true).toReversed(),
      onDamage,
    });
  }

  /** True when all snapshots were walked. */
  get isDone(): boolean {
    return this.#next >= this.snapshots.length;
  }

  /**
   * Walks the next snapshot, which counts as walked only at its end: until then others wait for what is in it. `visit` takes
   * each file with the number of the snapshot. One call at a time.
   */
  async advance(
    visit: (node: TreeNode, snapshot: number) => void,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const number = this.#next;
    const found = this.snapshots[number];
    if (found === undefined) return;
    try {
      await eachPoolFile({
        reader: this.reader,
        trees: [found.snapshot.tree],
        walked: this.#walked,
        visit: (node) => visit(node, number),
        onDamage: (tree, error) => this.#onDamage(`tree ${tree} of snapshot ${found.id}`, error),
        signal,
      });
    } finally {
      this.#next++;
    }
  }

  /** The places of a file's blobs in the index; undefined when the index does not have them all. */
  entriesOf(content: readonly Id[]): number[] | undefined {
    const entries: number[] = [];
    for (const id of content) {
      const entry = this.reader.index.find("data", fromHex(id));
      if (entry < 0) return undefined;
      entries.push(entry);
    }
    return entries;
  }

  /** Bytes of the content that lies at these places. */
  sizeOf(entries: readonly number[]): number {
    return entries.reduce((sum, entry) => sum + this.reader.index.plainLength(entry), 0);
  }
}

/** True for what can be wrong with a copy, while another one may be good. */
export function isDamage(error: unknown): error is HoldfastError {
  return isHoldfastError(
    error,
    "BLOB_MISSING",
    "BLOB_DAMAGED",
    "FILE_DAMAGED",
    "STORAGE_NOT_FOUND",
  );
}
