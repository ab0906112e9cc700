// restic's locks (docs/formats/restic.md#locks): a file for each process, refreshed while it lives.
//
// Taken here: look, write ours, look again; on storage whose lists lag behind, wait in between as restic does
// (docs/decisions/locks.md). Kept by LockHolder. A lock of somebody else is removed only when its owner is proved dead, or
// by `unlock` when it is stale by restic's rules.

import { HoldfastError, isHoldfastError } from "../base/errors.ts";
import type { Id } from "../base/bytes.ts";
import { throwIfCancelled } from "../base/cancellation.ts";
import { parseTime } from "../restic/go-time.ts";
import { decodeLock } from "../restic/lock-file.ts";
import type { Lock } from "../restic/lock-file.ts";
import { LockHolder, STALE_MS } from "./lock-holder.ts";
import type { HeldLock, HoldOptions } from "./lock-holder.ts";
import type { RepositoryFile } from "./layout.ts";
import type { Repository } from "./repository.ts";

const LAGGING_LIST_MS = 200;
const RETRY_FIRST_MS = 5_000;
const RETRY_MAX_MS = 60_000;

/** Listings of locks until one meets no lock that vanishes under way. */
const LISTINGS_MAX = 5;

export interface LockOptions extends HoldOptions {
  /** Keep trying for this long while others hold it, in ms. */
  retryFor?: number;
  /** A listing of the locks that was begun just before, in place of the first look. */
  listed?: Promise<readonly RepositoryFile[]> | undefined;
  /** That locks can be removed again was proved just before (`proveRemovable`). */
  isProved?: boolean;
}

export interface FoundLock {
  id: Id;
  lock: Lock;
}

/**
 * Takes a lock, or throws REPO_LOCKED naming the holder. An exclusive one is not even tried where locks cannot be removed
 * again, which is what the storage says of that (STORAGE_DENIED, mostly).
 */
export async function acquireLock(repository: Repository, options: LockOptions): Promise<HeldLock> {
  const { clock } = repository.machine;
  const deadline = clock.monotonic() + (options.retryFor ?? 0);
  let told = false;
  for (let pause = RETRY_FIRST_MS; ; pause = Math.min(pause * 2, RETRY_MAX_MS)) {
    try {
      // An early listing serves the first attempt only.
      return await tryLock(repository, told ? { ...options, listed: undefined } : options);
    } catch (error) {
      const left = deadline - clock.monotonic();
      if (!isHoldfastError(error, "REPO_LOCKED") || left <= 0) throw error;
      if (!told) options.onNotice?.(`repo already locked, waiting: ${error.message}`);
      told = true;
      await sleep(repository, Math.min(pause, left), options.signal);
    }
  }
}

/**
 * All locks but `own`. Empty files are leftovers of a crash and ignored, as restic does; a damaged one is LOCK_DAMAGED, because it
 * may be anybody's.
 */
export async function listLocks(
  repository: Repository,
  signal?: AbortSignal,
  known: { own?: Id | undefined; listed?: LockOptions["listed"] } = {},
): Promise<FoundLock[]> {
  for (let listing = 1; ; listing++) {
    const found: FoundLock[] = [];
    let vanished = false;
    const early = listing === 1 ? await known.listed : undefined;
    for (const { id, size } of early ?? (await repository.list("lock", signal))) {
      if (size === 0 || id === known.own) continue;
      const lock = await loadLock(repository, id, signal);
      if (lock === undefined) vanished = true;
      else found.push({ id, lock });
    }
    // Released, or replaced by a file that is newer than this listing: look again, or a live owner goes unseen.
    if (!vanished || listing === LISTINGS_MAX) return found;
  }
}

/** A lock, or undefined when it is gone. */
async function loadLock(
  repository: Repository,
  id: Id,
  signal?: AbortSignal,
): Promise<Lock | undefined> {
  try {
    return decodeLock(await repository.load("lock", id, signal));
  } catch (error) {
    if (isHoldfastError(error, "STORAGE_NOT_FOUND")) return undefined;
    throw error;
  }
}

/** restic's rule: older than 30 minutes, or made on this host by a process that is gone. */
export function isStale(repository: Repository, lock: Lock): boolean {
  const age = repository.machine.clock.now() - Number(parseTime(lock.time) / 1_000_000n);
  return age > STALE_MS || ownerIsDead(repository, lock);
}

/** Removes stale locks, or all of them; how many. Unreadable lock files go only with `all`. */
export async function removeLocks(
  repository: Repository,
  options: { all: boolean; signal?: AbortSignal | undefined },
): Promise<number> {
  let removed = 0;
  for (const { id, size } of await repository.list("lock", options.signal)) {
    if (!options.all && !(await removable(repository, id, size, options.signal))) continue;
    await repository.remove("lock", id, options.signal);
    removed++;
  }
  return removed;
}

async function removable(
  repository: Repository,
  id: Id,
  size: number,
  signal?: AbortSignal,
): Promise<boolean> {
  if (size === 0) return false;
  try {
    const lock = await loadLock(repository, id, signal);
    return lock !== undefined && isStale(repository, lock);
  } catch (error) {
    if (isHoldfastError(error, "LOCK_DAMAGED")) return false;
    throw error;
  }
}

/**
 * Proves that locks can be removed again, by one that is shared. A bucket that takes objects and gives none back would
 * otherwise be locked for everybody by an exclusive one, for as long as it keeps them. Throws what the storage says.
 * Directories of this machine are not asked: where a file can be made, it can be removed.
 */
export async function proveRemovable(repository: Repository, signal?: AbortSignal): Promise<void> {
  if (repository.storage.traits.local) return;
  const trial = new LockHolder(repository, { exclusive: false, signal });
  try {
    await trial.write(signal);
  } finally {
    await trial.release();
  }
  if (trial.staying !== undefined) throw unremovable(trial.staying);
}

/** The error of a storage that does not let go of a lock, from what it says. */
export function unremovable(staying: unknown): unknown {
  if (!isHoldfastError(staying)) return staying;
  const { code, message, hint, retryable } = staying;
  return new HoldfastError(code, `nothing can be removed here, not even our own lock: ${message}`, {
    ...(hint !== undefined && { hint }),
    retryable,
    cause: staying,
  });
}

async function tryLock(repository: Repository, options: LockOptions): Promise<HeldLock> {
  await refuseConflict(repository, options, undefined);
  if (options.exclusive && options.isProved !== true)
    await proveRemovable(repository, options.signal);
  const holder = new LockHolder(repository, options);
  try {
    const own = await holder.write(options.signal);
    if (!repository.storage.traits.strongLists) {
      await sleep(repository, LAGGING_LIST_MS, options.signal);
    }
    // Nothing else is asked for yet: whoever locked just before us may still be taking away what a list would show.
    await refuseConflict(repository, options, own);
  } catch (error) {
    await holder.release();
    throw error;
  }
  holder.keep();
  return holder;
}

async function sleep(repository: Repository, ms: number, signal?: AbortSignal): Promise<void> {
  try {
    await repository.machine.clock.sleep(ms, signal);
  } catch (error) {
    throwIfCancelled(signal);
    throw error;
  }
}

async function refuseConflict(
  repository: Repository,
  options: LockOptions,
  own: Id | undefined,
): Promise<void> {
  const known = { own, listed: own === undefined ? options.listed : undefined };
  for (const { id, lock } of await listLocks(repository, options.signal, known)) {
    if (!(options.exclusive || lock.exclusive)) continue;
    if (ownerIsDead(repository, lock)) {
      await repository.remove("lock", id, options.signal);
      options.onNotice?.(
        `removed lock ${id.slice(0, 8)}: its owner, process ${lock.pid} on this host, is gone`,
      );
      continue;
    }
    const kind = lock.exclusive ? "exclusively " : "";
    throw new HoldfastError(
      "REPO_LOCKED",
      `repository is already locked ${kind}by PID ${lock.pid} on ${lock.hostname} by ${lock.username} ` +
        `(UID ${lock.uid ?? 0}, GID ${lock.gid ?? 0})\nlock was created at ${lock.time}\nstorage ID ${id.slice(0, 8)}`,
      {
        hint: "Wait with --retry-lock, or, when that process is gone, remove its lock with `unlock`.",
        retryable: true,
      },
    );
  }
}

function ownerIsDead(repository: Repository, lock: Lock): boolean {
  const { hostname, pid, isAlive } = repository.machine;
  return lock.hostname === hostname && lock.pid !== pid && !isAlive(lock.pid);
}
