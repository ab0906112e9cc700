// Removes what no snapshot needs (docs/decisions/prune.md).
//
// In this order, so that at any moment everything that a snapshot needs is in a pack that an index names:
//
//   shared lock     plan; new packs of the needed blobs of packs that go; index files that name them; index files
//                   without the packs that go
//   exclusive lock  what became needed meanwhile stays; then the old index files go: nobody can find the old packs now
//   shared lock     the old packs go
//
// A prune that dies leaves at most more copies than needed, or packs that no index names: the next one removes them.
// Must never: remove an index file or a pack without that last look under the exclusive lock.

import { HoldfastError, isHoldfastError } from "../base/errors.ts";
import type { Id } from "../base/bytes.ts";
import { CheckPool, CheckThreads } from "./check-pool.ts";
import type { CheckPoolOptions } from "./check-pool.ts";
import { createEntrySetMemory } from "./entry-set.ts";
import type { EntrySet } from "./entry-set.ts";
import { loadIndex } from "./index-loader.ts";
import { planIndexRewrite, removeIndexFiles, writeIndexFiles } from "./index-rewrite.ts";
import type { IndexListing, IndexRewrite } from "./index-rewrite.ts";
import { acquireLock, proveRemovable, unremovable } from "./locks.ts";
import type { LockOptions } from "./locks.ts";
import type { HeldLock } from "./lock-holder.ts";
import { PackTable } from "./pack-table.ts";
import { loadListedSnapshots, readListed } from "./prune/listed.ts";
import { planPrune } from "./prune/plan.ts";
import type { PruneCriteria, PrunePlan, PruneStatistics } from "./prune/plan.ts";
import { packsLeft, removePacks } from "./prune/remove-packs.ts";
import { repackBufferBytes, repackPacks } from "./prune/repack.ts";
import { Revalidation } from "./prune/revalidate.ts";
import type { Revalidated } from "./prune/revalidate.ts";
import { SealedPacks } from "./prune/sealed-packs.ts";
import type { Repository } from "./repository.ts";
import { findUsedBlobs } from "./used-blobs.ts";

export type { MaxUnused, PruneCriteria, PruneStatistics } from "./prune/plan.ts";

/** What a prune is doing: `plan` is over before the first of the others that change anything. */
export type PruneStep =
  | "snapshots"
  | "trees"
  | "plan"
  | "repack"
  | "index"
  | "removeIndex"
  | "removePacks"
  | "removeUnreferenced";

/** The plan, for whoever wants to show it. */
export interface PlannedPrune {
  statistics: PruneStatistics;
  unreferenced: readonly Id[];
  repack: readonly Id[];
  remove: readonly Id[];
  /** Packs that are gone without loss; the index forgets them. */
  missing: readonly Id[];
}

export interface PruneEvents {
  /** A step begins; `total` things are to be done in it (snapshots, trees at most, packs or index files). */
  step?: (step: PruneStep, total: number) => void;
  /** So many things of the step are done. */
  done?: (count: number) => void;
  planned?: (plan: PlannedPrune) => void;
  removed?: (kind: "index" | "pack", id: Id) => void;
  /** Speech for people: what could not be removed, what was found to be needed after all. */
  notice?: (message: string) => void;
}

export interface PruneOptions {
  criteria: PruneCriteria;
  /** Bytes of new packs. */
  packSize: number;
  /** Only plan. */
  dryRun: boolean;
  /** Plan as if these snapshots were gone: for a dry run after that of a forget. */
  ignoreSnapshots?: ReadonlySet<Id>;
  workers: number;
  /** How locks are taken; false takes none, which only a dry run may. */
  lock: Pick<LockOptions, "retryFor" | "onNotice" | "listed"> | false;
  events: PruneEvents;
  signal?: AbortSignal | undefined;
}

export interface PruneResult {
  statistics: PruneStatistics;
  packsWritten: number;
  packsRemoved: number;
  /** Packs that were to go and stay, because a snapshot that was made meanwhile needs them. */
  packsRescued: number;
}

/** A buffer takes any chunk of a file, and a few small blobs beside it. */
const BUFFER_BYTES = 9 << 20;
/** How often a plan is made anew because somebody changed the index in between. */
const ATTEMPTS = 3;

/**
 * Prunes the repository. Takes the locks it needs by itself: the caller holds none. REPO_LOCKED when they cannot be had;
 * what was written until then is kept, and the next prune goes on from there. PRUNE_REFUSED when the repository is damaged,
 * INCOMPLETE when all is done but some packs could not be removed.
 */
export async function pruneRepository(
  repository: Repository,
  options: PruneOptions,
): Promise<PruneResult> {
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    const result = await new Prune(repository, options).run(attempt);
    if (result !== undefined) return result;
    options.events.notice?.("the repository's index was changed by another program: planning anew");
  }
  throw new HoldfastError("REPO_LOCKED", "the repository's index keeps being changed", {
    hint: "Does another program clean up here at the same time? Try again when it is done.",
    retryable: true,
  });
}

interface Prepared {
  table: PackTable;
  listings: IndexListing[];
  snapshots: Set<Id>;
  used: EntrySet;
  plan: PrunePlan;
}

/** What was written before anything is removed. */
interface Staged {
  rewrite: IndexRewrite;
  packsWritten: number;
  revalidation: Revalidation;
  /** What was added while all of it was written voids the plan. */
  isVoid: boolean;
}

class Prune {
  readonly #repository: Repository;
  readonly #options: PruneOptions;
  readonly #events: PruneEvents;
  /** Why our shared lock is still there after it was released. */
  #staying: unknown;

  constructor(repository: Repository, options: PruneOptions) {
    this.#repository = repository;
    this.#options = options;
    this.#events = options.events;
  }

  /** Undefined when the plan was void in the end. */
  async run(attempt: number): Promise<PruneResult | undefined> {
    const { lock, dryRun, signal } = this.#options;
    if (lock === false) {
      if (!dryRun) throw new HoldfastError("BUG", "a prune without a lock");
      const { plan } = await this.#prepare(signal);
      return resultOf(plan);
    }
    const staged = await this.#locked(false, attempt, async (held) => {
      const prepared = await this.#prepare(held.signal);
      const { plan, table } = prepared;
      const isIdle =
        plan.repack.length + plan.remove.length + plan.missing.length === 0 &&
        plan.unreferenced.length === 0 &&
        table.duplicates.length === 0;
      if (dryRun || isIdle) return { prepared, staged: undefined };
      // Before anything is written for nothing.
      await proveRemovable(this.#repository, held.signal);
      return { prepared, staged: await this.#stage(prepared, held.signal) };
    });
    if (staged.staged === undefined) return resultOf(staged.prepared.plan);
    if (this.#staying !== undefined) throw unremovable(this.#staying);
    return this.#commit(staged.prepared, staged.staged, attempt);
  }

  async #locked<T>(
    exclusive: boolean,
    attempt: number,
    work: (held: HeldLock) => Promise<T>,
  ): Promise<T> {
    const { lock, signal } = this.#options;
    const options = lock === false ? {} : lock;
    const isFirst = !exclusive && attempt === 1;
    const held = await acquireLock(this.#repository, {
      ...options,
      listed: isFirst ? options.listed : undefined,
      exclusive,
      isProved: true,
      signal,
    }).catch((error: unknown) => {
      if (exclusive && isHoldfastError(error, "REPO_LOCKED")) {
        this.#events.notice?.("what was written so far is kept: the next prune goes on from there");
      }
      throw error;
    });
    try {
      return await work(held);
    } finally {
      await held.release();
      this.#staying = held.staying;
    }
  }

  /** Finds out what is needed, and decides. */
  async #prepare(signal: AbortSignal | undefined): Promise<Prepared> {
    const repository = this.#repository;
    const { ignoreSnapshots, criteria } = this.#options;
    await using threads = new CheckThreads();
    threads.start(1);
    this.#events.step?.("snapshots", 0);
    // Snapshots, then the index, then the packs: in the order in which whatever one needs is in the next.
    const all = await loadListedSnapshots(repository, signal);
    const snapshots = all.filter(({ id }) => ignoreSnapshots?.has(id) !== true);
    const listings: IndexListing[] = [];
    const onFile = (id: Id, { begin, end }: Omit<IndexListing, "id">): void =>
      void listings.push({ id, begin, end });
    const { index } = await readListed(loadIndex(repository, { signal, onFile }));
    const table = new PackTable(index);
    const packs = await repository.list("pack", signal);
    this.#events.step?.("trees", snapshots.length);
    const used = createEntrySetMemory(index.count);
    const [{ workers }, bufferBytes] = [this.#options, BUFFER_BYTES];
    await using pool = this.#pool(table, used, { threads, workers, ahead: 0, bufferBytes });
    const usedBlobs = await findUsedBlobs({
      repository,
      table,
      snapshots,
      packs,
      pool,
      used,
      onTrees: () => {},
      signal,
    });
    this.#events.done?.(snapshots.length);
    this.#events.step?.("plan", table.packs.length);
    const { version } = repository.config;
    const plan = planPrune({ table, used: usedBlobs, files: packs, version, criteria });
    this.#events.done?.(table.packs.length);
    this.#events.planned?.(describe(plan, table));
    const known = new Set([...all.map(({ id }) => id), ...(ignoreSnapshots ?? [])]);
    return { table, listings, snapshots: known, used: usedBlobs, plan };
  }

  #pool(
    table: PackTable,
    used: SharedArrayBuffer,
    options: Pick<CheckPoolOptions, "threads" | "workers" | "bufferBytes"> & { ahead: number },
  ): CheckPool {
    const { local, connections } = this.#repository.storage.traits;
    let largest = 0;
    for (const pack of table.packs) largest = Math.max(largest, table.fileBytes(pack));
    return new CheckPool({
      ...options,
      key: this.#repository.key,
      index: table.index,
      used,
      connections: Math.max(local ? 1 : connections, options.ahead + 1),
      bufferBytes: Math.min(options.bufferBytes, largest),
    });
  }

  /** Writes everything that is to be there before anything goes. */
  async #stage(
    { plan, table, listings, used, snapshots }: Prepared,
    signal: AbortSignal,
  ): Promise<Staged> {
    const repository = this.#repository;
    const { packSize, criteria } = this.#options;
    const isFrugal = table.index.isLarge;
    const target = new SealedPacks({ repository, packSize, isFrugal, signal });
    if (plan.repack.length > 0) {
      this.#events.step?.("repack", plan.repack.length);
      await using threads = new CheckThreads();
      const bufferBytes = repackBufferBytes(plan.repack, { table, usual: BUFFER_BYTES });
      const nothing = createEntrySetMemory(0);
      // One thread less: this one copies and stores what they have proved, while they prove what comes next.
      const workers = Math.max(1, this.#options.workers - 1);
      await using pool = this.#pool(table, nothing, { threads, workers, ahead: 1, bufferBytes });
      await repackPacks(plan.repack, {
        repository,
        table,
        pool,
        target,
        copy: plan.copy,
        firsts: plan.firsts,
        compressContent: criteria.repackUncompressed,
        onPack: () => this.#events.done?.(1),
        signal,
      });
    }
    if (!plan.copy.isEmpty) throw new HoldfastError("BUG", "needed blobs were not copied");
    const gone = new Set([...plan.repack, ...plan.remove, ...plan.missing]);
    const isNeeded = gone.size > 0 || table.duplicates.length > 0;
    const rewrite = isNeeded
      ? planIndexRewrite({ table, listings, gone })
      : { obsolete: [], packs: [] };
    if (isNeeded) this.#events.step?.("index", rewrite.obsolete.length);
    const written = await writeIndexFiles(repository, table, rewrite.packs, signal);
    if (isNeeded) this.#events.done?.(rewrite.obsolete.length);
    const revalidation = new Revalidation(repository, {
      table,
      used,
      snapshots,
      indexFiles: [...listings.map(({ id }) => id), ...target.indexFiles, ...written],
      leaving: new Set([...plan.repack, ...plan.remove]),
      missing: new Set(plan.missing),
      unreferenced: plan.unreferenced,
    });
    const isVoid = (await revalidation.look(signal)) === undefined;
    return { rewrite, packsWritten: target.count, revalidation, isVoid };
  }

  /** Removes; undefined when the plan turned out to be void, and nothing was removed. */
  async #commit(
    prepared: Prepared,
    staged: Staged,
    attempt: number,
  ): Promise<PruneResult | undefined> {
    const { plan, table } = prepared;
    if (staged.isVoid) return undefined;
    return this.#locked(true, attempt, async (held) => {
      const valid = await staged.revalidation.look(held.signal);
      if (valid === undefined) return undefined;
      await this.#rescue(valid, table, held.signal);
      await this.#removeIndexFiles(staged.rewrite.obsolete, held.signal);
      // From here on nobody can find what still has to go, so others may work again. The lock that stays keeps away
      // whoever would put unknown packs back into the index.
      await held.share();
      const packs = [...plan.repack, ...plan.remove].filter((pack) => !valid.rescued.has(pack));
      const ids = packs.map((pack) => table.index.packs[pack]!);
      const removed = await this.#removePacks(
        { removePacks: ids, removeUnreferenced: valid.garbage },
        held.signal,
      );
      return {
        statistics: plan.statistics,
        packsWritten: staged.packsWritten,
        packsRemoved: removed,
        packsRescued: valid.rescued.size,
      };
    });
  }

  /** Puts packs that stay after all into an index file of their own. */
  async #rescue({ rescued }: Revalidated, table: PackTable, signal: AbortSignal): Promise<void> {
    if (rescued.size === 0) return;
    await writeIndexFiles(this.#repository, table, [...rescued], signal);
    this.#events.notice?.(
      `${rescued.size} packs stay: a snapshot that was made in the meantime needs them`,
    );
  }

  async #removeIndexFiles(ids: readonly Id[], signal: AbortSignal): Promise<void> {
    if (ids.length === 0) return;
    this.#events.step?.("removeIndex", ids.length);
    await removeIndexFiles(this.#repository, ids, {
      onRemoved: (id) => {
        this.#events.removed?.("index", id);
        this.#events.done?.(1);
      },
      signal,
    });
  }

  /** Removes the packs of two steps; how many. INCOMPLETE when some of them stay. */
  async #removePacks(
    packs: Readonly<Record<"removePacks" | "removeUnreferenced", readonly Id[]>>,
    signal: AbortSignal,
  ): Promise<number> {
    let removed = 0;
    let failure: HoldfastError | undefined;
    for (const step of ["removePacks", "removeUnreferenced"] as const) {
      if (packs[step].length === 0) continue;
      this.#events.step?.(step, packs[step].length);
      const removal = await removePacks(this.#repository, packs[step], {
        onRemoved: (id) => this.#events.removed?.("pack", id),
        onDone: (count) => this.#events.done?.(count),
        signal,
      });
      removed += removal.removed;
      failure ??= removal.failure;
    }
    if (failure !== undefined) throw packsLeft(failure);
    return removed;
  }
}

function describe(plan: PrunePlan, { index }: PackTable): PlannedPrune {
  const ids = (packs: readonly number[]): Id[] => packs.map((pack) => index.packs[pack]!);
  return {
    statistics: plan.statistics,
    unreferenced: plan.unreferenced.map(({ id }) => id),
    repack: ids(plan.repack),
    remove: ids(plan.remove),
    missing: ids(plan.missing),
  };
}

/** Of a run that changed nothing. */
function resultOf({ statistics }: PrunePlan): PruneResult {
  return { statistics, packsWritten: 0, packsRemoved: 0, packsRescued: 0 };
}
