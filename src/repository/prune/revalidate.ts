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
  /** Packs in no index that the index names but that do not exist. */
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

/** What the plan comes to now; undefined when it is void. PRUNE_REFUSED when a new snapshot is not complete. */
export async function revalidate(
  repository: Repository,
  planned: PlannedRemoval,
  signal: AbortSignal,
): Promise<Revalidated | undefined> {
  const { table, snapshots, leaving } = planned;
  const snapshotFiles = await repository.list("snapshot", signal);
  const indexFiles = await repository.list("index", signal);
  const present = new Set(indexFiles.map(({ id }) => id));
  for (const id of planned.indexFiles) {
    if (!present.has(id) && !(await exists(repository, id, signal))) return undefined;
  }
  const known = new Set(planned.indexFiles);
  const files = indexFiles.filter(({ id }) => !known.has(id));
  // Past the cache: this is not the whole index.
  const { index: fresh } = await loadIndex(repository.withoutCache(), { files, signal });
  for (const id of fresh.packs) {
    const number = table.numberOf(id);
    if (number !== undefined && leaving.has(number)) return undefined;
  }
  const named = new Set(fresh.packs);
  const walk = new FreshWalk(repository, planned, fresh, signal);
  for (const { id } of snapshotFiles) {
    if (snapshots.has(id)) continue;
    const { tree } = await loadSnapshot(repository, id, signal);
    await walk.snapshot(id, tree);
  }
  const garbage = planned.unreferenced.map(({ id }) => id).filter((id) => !named.has(id));
  return { rescued: walk.rescued(), garbage };
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

/** Walks snapshots that the plan does not know, as far as they hold what it does not know to be needed. */
class FreshWalk {
  readonly #planned: PlannedRemoval;
  readonly #fresh: BlobIndex;
  readonly #signal: AbortSignal;
  readonly #oldReader: BlobReader;
  readonly #freshReader: BlobReader;
  /** First entries of what turned out to be needed. */
  readonly #found: number[] = [];
  /** Trees met that only the new index files name. */
  readonly #visited = new Set<Id>();

  constructor(
    repository: Repository,
    planned: PlannedRemoval,
    fresh: BlobIndex,
    signal: AbortSignal,
  ) {
    this.#planned = planned;
    this.#fresh = fresh;
    this.#signal = signal;
    this.#oldReader = new BlobReader(repository, planned.table.index);
    this.#freshReader = new BlobReader(repository, fresh);
  }

  async snapshot(id: Id, tree: Id): Promise<void> {
    const waiting: Id[] = [];
    const meet = (type: BlobType, blob: Id): void => {
      if (this.#isNew(type, blob, id) && type === "tree") waiting.push(blob);
    };
    meet("tree", tree);
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      throwIfCancelled(this.#signal);
      const isOld = this.#planned.table.index.has("tree", fromHex(next));
      const reader = isOld ? this.#oldReader : this.#freshReader;
      const plain = await reader.read("tree", next, this.#signal);
      for (const node of iterateTree(asBuffer(plain))) {
        if (node.type === "file") for (const blob of node.content ?? []) meet("data", blob);
        else if (node.type === "dir" && node.subtree !== null) meet("tree", node.subtree);
      }
    }
  }

  /** True when the blob is met for the first time, by the plan as well. */
  #isNew(type: BlobType, blob: Id, snapshot: Id): boolean {
    const { table, used } = this.#planned;
    const bytes = fromHex(blob);
    const entry = table.index.find(type, bytes);
    if (entry >= 0) {
      if (!used.add(entry)) return false;
      this.#found.push(entry);
      return true;
    }
    if (!this.#fresh.has(type, bytes)) throw incomplete(snapshot, type, blob);
    if (type === "data" || this.#visited.has(blob)) return false;
    this.#visited.add(blob);
    return true;
  }

  /** Packs that hold the only copies of what was found. */
  rescued(): Set<number> {
    const { table, leaving, missing } = this.#planned;
    const { index } = table;
    const rescued = new Set<number>();
    for (const first of this.#found) {
      const type = index.isTree(first) ? "tree" : "data";
      if (this.#fresh.has(type, index.idBytes(first))) continue;
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

function incomplete(snapshot: string, type: BlobType, blob: Id): HoldfastError {
  return new HoldfastError(
    "PRUNE_REFUSED",
    `snapshot ${snapshot} needs ${type} blob ${blob}, which is not there; nothing was removed`,
    { hint: "Run `check` for the whole picture; a backup of the same files stores them again." },
  );
}
