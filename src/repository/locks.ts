// restic's locks (docs/formats/restic.md#locks): a file for each process, refreshed while it lives.
//
// Taken: look, write ours, look again; on storage whose lists lag behind, wait in between as restic does
// (docs/decisions/locks.md). Kept: every 5 minutes a new file replaces the old one; a holder that could not refresh for
// 22.5 minutes must stop writing, because from 30 minutes on others may remove its lock. A lock of somebody else is
// removed only when its owner is proved dead, or by `unlock` when it is stale by restic's rules.

import { HoldfastError, isHoldfastError, messageOf } from "../base/errors.ts";
import type { Id } from "../base/bytes.ts";
import { formatTime, parseTime } from "../restic/go-time.ts";
import { decodeLock, encodeLock } from "../restic/lock-file.ts";
import type { Lock } from "../restic/lock-file.ts";
import type { Repository } from "./repository.ts";

const REFRESH_MS = 5 * 60_000;
const STALE_MS = 30 * 60_000;
const GIVE_UP_MS = STALE_MS - 1.5 * REFRESH_MS;
const LAGGING_LIST_MS = 200;
const RETRY_FIRST_MS = 5_000;
const RETRY_MAX_MS = 60_000;

export interface LockOptions {
  exclusive: boolean;
  /** Keep trying for this long while others hold it, in ms. */
  retryFor?: number;
  /** Speech for people: a dead owner's lock was removed, waiting for a lock. */
  onNotice?: (message: string) => void;
  signal?: AbortSignal | undefined;
}

/** A held lock. `signal` aborts when it is lost or when the caller's own signal does. */
export interface HeldLock {
  readonly signal: AbortSignal;
  /** Removes it; later calls do nothing. */
  release(): Promise<void>;
}

export interface FoundLock {
  id: Id;
  lock: Lock;
}

/** Takes a lock, or throws REPO_LOCKED naming the holder. */
export async function acquireLock(repository: Repository, options: LockOptions): Promise<HeldLock> {
  const { clock } = repository.machine;
  const deadline = clock.monotonic() + (options.retryFor ?? 0);
  for (let pause = RETRY_FIRST_MS; ; pause = Math.min(pause * 2, RETRY_MAX_MS)) {
    try {
      return await tryLock(repository, options);
    } catch (error) {
      const left = deadline - clock.monotonic();
      if (!isHoldfastError(error, "REPO_LOCKED") || left <= 0) throw error;
      options.onNotice?.(`repo already locked, waiting: ${error.message}`);
      await clock.sleep(Math.min(pause, left), options.signal);
    }
  }
}

/** All lock files that can be read. Empty ones are leftovers of a crash and ignored, as restic does. */
export async function listLocks(
  repository: Repository,
  signal?: AbortSignal,
): Promise<FoundLock[]> {
  const found: FoundLock[] = [];
  for (const { id, size } of await repository.list("lock", signal)) {
    if (size === 0) continue;
    try {
      found.push({ id, lock: decodeLock(await repository.load("lock", id, signal)) });
    } catch (error) {
      // Its owner may just have released or refreshed it.
      if (!isHoldfastError(error, "STORAGE_NOT_FOUND")) throw error;
    }
  }
  return found;
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
    return isStale(repository, decodeLock(await repository.load("lock", id, signal)));
  } catch (error) {
    if (isHoldfastError(error, "STORAGE_NOT_FOUND", "LOCK_DAMAGED")) return false;
    throw error;
  }
}

async function tryLock(repository: Repository, options: LockOptions): Promise<HeldLock> {
  await refuseConflict(repository, options, undefined);
  const lock = newLock(repository, options.exclusive);
  const id = await repository.save("lock", encodeLock(lock), options.signal);
  try {
    if (!repository.storage.traits.strongLists) {
      await repository.machine.clock.sleep(LAGGING_LIST_MS, options.signal);
    }
    await refuseConflict(repository, options, id);
  } catch (error) {
    await repository.remove("lock", id).catch(() => {});
    throw error;
  }
  return holdLock(repository, options, id);
}

function newLock(repository: Repository, exclusive: boolean): Lock {
  const { clock, hostname, username, pid, uid, gid } = repository.machine;
  return { time: formatTime(clock.nowNanoseconds()), exclusive, hostname, username, pid, uid, gid };
}

async function refuseConflict(
  repository: Repository,
  options: LockOptions,
  own: Id | undefined,
): Promise<void> {
  for (const { id, lock } of await listLocks(repository, options.signal)) {
    if (id === own || !(options.exclusive || lock.exclusive)) continue;
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

/** Refreshes until released; aborts the holder's work when refreshing failed for too long. */
function holdLock(repository: Repository, options: LockOptions, first: Id): HeldLock {
  const { clock } = repository.machine;
  const lost = new AbortController();
  const released = new AbortController();
  let current = first;
  let refreshedAt = clock.now();

  const refresh = async (): Promise<void> => {
    const next = await repository.save("lock", encodeLock(newLock(repository, options.exclusive)));
    const previous = current;
    current = next;
    refreshedAt = clock.now();
    await repository.remove("lock", previous);
  };
  const keep = async (): Promise<void> => {
    while (!released.signal.aborted) {
      try {
        await clock.sleep(REFRESH_MS, released.signal);
      } catch {
        return;
      }
      try {
        await refresh();
      } catch (error) {
        options.onNotice?.(`unable to refresh lock: ${messageOf(error)}`);
      }
      if (clock.now() - refreshedAt > GIVE_UP_MS) {
        lost.abort(
          new HoldfastError("LOCK_LOST", "our lock could not be refreshed for 22 minutes", {
            hint: "What was stored is kept; run the command again.",
          }),
        );
        return;
      }
    }
  };
  const keeping = keep();
  const signal =
    options.signal === undefined ? lost.signal : AbortSignal.any([options.signal, lost.signal]);
  let releasing: Promise<void> | undefined;
  return {
    signal,
    release: () => {
      releasing ??= (async () => {
        released.abort();
        await keeping;
        await repository.remove("lock", current);
      })();
      return releasing;
    },
  };
}
