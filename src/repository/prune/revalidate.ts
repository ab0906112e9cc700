// The last look before anything is removed, under the exclusive lock: nobody else works in the repository, so what is there
// now is all that counts (docs/decisions/prune.md).
//
// Snapshots that were made since the plan may need what the plan drops: they relied on the index they had loaded. Packs with
// such blobs stay. When anything that the plan was made from has gone, the plan is void.

import { HoldfastError, isHoldfastError } from "../../base/errors.ts";
import { asBuffer, fromHex } from "../../base/bytes.ts";
import type { Id } from "../../base/bytes.ts";
import { throwIfCancelled } from "../../base/cancellation.ts";
import { iterateTree } from "../../restic/tree.ts";
import type { BlobIndex, BlobType } from "../blob-index.ts";
import { BlobReader } from "../blob-reader.ts";
import type { EntrySet } from "../entry-set.ts";
import { loadIndex } from "../index-loader.ts";
import { keyOf } from "../layout.ts";
import type { RepositoryFile } from "../layout.ts";
import type { PackTable } from "../pack-table.ts";
import type { Repository } from "../repository.ts";
import { loadSnapshot } from "../snapshots.ts";
import { readListed } from "./listed.ts";

export interface PlannedRemoval {
  table: PackTable;
  /** First entries of what is needed; grows by what is found now. */
  used: EntrySet;
  /** Snapshots that the plan knows, and those that are to be gone. */
  snapshots: ReadonlySet<Id>;
  /** Index files that the plan was made from, and those that were written since for it. */
  indexFiles: readonly Id[];
  /** Packs, by number, that are to be removed and exist. */
  leaving: ReadonlySet<number>;
  /** Packs, by number, that the index names and that do not exist. */
  missing: ReadonlySet<number>;
  /** Packs in no index. */
  unreferenced: readonly RepositoryFile[];
}

export interface Revalidated {
  /** Packs that must stay after all. */
  rescued: Set<number>;
  /** Packs in no index that are in none now either: nobody is writing, so nobody will name them. */
  garbage: Id[];
}

/**
 * Looks at what was added since a plan was made. `look` is called under the shared lock as well, as soon as everything is
 * written: what it has seen there need not be looked at again while everybody else is locked out.
 */
export class Revalidation {
  readonly #repository: Repository;
  readonly #planned: PlannedRemoval;
  /** Snapshots that were walked, by the plan or here. */
  readonly #walked: Set<Id>;
  /** First entries of what turned out to be needed. */
  readonly #found: number[] = [];
  /** Trees met that only new index files name. */
  readonly #visited = new Set<Id>();

  constructor(repository: Repository, planned: PlannedRemoval) {
    this.#repository = repository;
    this.#planned = planned;
    this.#walked = new Set(planned.snapshots);
  }

  /** What the plan comes to now; undefined when it is void. PRUNE_REFUSED when a new snapshot is not complete. */
  async look(signal: AbortSignal): Promise<Revalidated | undefined> {
    const { table, leaving, indexFiles: expected, unreferenced } = this.#planned;
    const repository = this.#repository;
    const snapshotFiles = await repository.list("snapshot", signal);
    const indexFiles = await repository.list("index", signal);
    const present = new Set(indexFiles.map(({ id }) => id));
    for (const id of expected) {
      if (!present.has(id) && !(await exists(repository, id, signal))) return undefined;
    }
    const known = new Set(expected);
    const files = indexFiles.filter(({ id }) => !known.has(id));
    // Past the cache: this is not the whole index.
    const uncached = repository.withoutCache();
    const { index: fresh } = await readListed(loadIndex(uncached, { files, signal }));
    for (const id of fresh.packs) {
      const number = table.numberOf(id);
      if (number !== undefined && leaving.has(number)) return undefined;
    }
    for (const { id } of snapshotFiles) {
      if (this.#walked.has(id)) continue;
      await this.#walk(id, fresh, signal);
      this.#walked.add(id);
    }
    const named = new Set(fresh.packs);
    const garbage = unreferenced.map(({ id }) => id).filter((id) => !named.has(id));
    return { rescued: this.#rescued(fresh), garbage };
  }

  /** Walks a snapshot as far as it holds what is not known to be needed. */
  async #walk(id: Id, fresh: BlobIndex, signal: AbortSignal): Promise<void> {
    const { index } = this.#planned.table;
    const old = new BlobReader(this.#repository, index);
    const young = new BlobReader(this.#repository, fresh);
    const waiting: Id[] = [];
    const meet = (type: BlobType, blob: Id): void => {
      if (this.#isNew(type, blob, fresh, id) && type === "tree") waiting.push(blob);
    };
    meet("tree", (await readListed(loadSnapshot(this.#repository, id, signal))).tree);
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      throwIfCancelled(signal);
      const reader = index.has("tree", fromHex(next)) ? old : young;
      const plain = await reader.read("tree", next, signal);
      for (const node of iterateTree(asBuffer(plain))) {
        if (node.type === "file") for (const blob of node.content ?? []) meet("data", blob);
        else if (node.type === "dir" && node.subtree !== null) meet("tree", node.subtree);
      }
    }
  }

  /** True when the blob is met for the first time, by the plan as well. */
  #isNew(type: BlobType, blob: Id, fresh: BlobIndex, snapshot: Id): boolean {
    const { table, used } = this.#planned;
    const bytes = fromHex(blob);
    const entry = table.index.find(type, bytes);
    if (entry >= 0) {
      if (!used.add(entry)) return false;
      this.#found.push(entry);
      return true;
    }
    if (!fresh.has(type, bytes)) throw incomplete(snapshot, type, blob);
    if (type === "data" || this.#visited.has(blob)) return false;
    this.#visited.add(blob);
    return true;
  }

  /** Packs that hold the only copies of what was found. */
  #rescued(fresh: BlobIndex): Set<number> {
    const { table, leaving, missing } = this.#planned;
    const { index } = table;
    const rescued = new Set<number>();
    for (const first of this.#found) {
      const type = index.isTree(first) ? "tree" : "data";
      if (fresh.has(type, index.idBytes(first))) continue;
      const packs = index
        .places(type, index.idAt(first))
        .map(({ packNumber }) => table.canonical(packNumber))
        .filter((pack) => !missing.has(pack));
      if (packs.length === 0) throw incomplete("just made", type, index.idAt(first));
      if (packs.some((pack) => !leaving.has(pack) || rescued.has(pack))) continue;
      rescued.add(packs[0]!);
    }
    return rescued;
  }
}

/** A list may lag behind. */
async function exists(repository: Repository, id: Id, signal: AbortSignal): Promise<boolean> {
  try {
    await repository.storage.stat(keyOf("index", id), { signal });
    return true;
  } catch (error) {
    if (isHoldfastError(error, "STORAGE_NOT_FOUND")) return false;
    throw error;
  }
}

function incomplete(snapshot: string, type: BlobType, blob: Id): HoldfastError {
  return new HoldfastError(
    "PRUNE_REFUSED",
    `snapshot ${snapshot} needs ${type} blob ${blob}, which is not there; nothing was removed`,
    { hint: "Run `check` for the whole picture; a backup of the same files stores them again." },
  );
}
