// Our own lock while we hold it (docs/formats/restic.md#locks, docs/decisions/locks.md): a file, replaced by a new one
// every 5 minutes. Others may remove a lock that is 30 minutes old, so a holder that could not refresh for 22.5 minutes
// must stop writing; the rest is for clocks that differ.
//
// Age counts from the time written in the file, before it was stored, on the clock of the wall and on the monotonic one,
// whichever has moved more: the one stands still while a machine sleeps, the other can be set back.

import { HoldfastError, messageOf } from "../base/errors.ts";
import type { Id } from "../base/bytes.ts";
import { formatTime } from "../restic/go-time.ts";
import { decodeLock, encodeLock } from "../restic/lock-file.ts";
import type { Lock } from "../restic/lock-file.ts";
import type { Repository } from "./repository.ts";

const REFRESH_MS = 5 * 60_000;
/** After a refresh that failed. */
const REFRESH_AGAIN_MS = 60_000;
/** From this age on, others may remove a lock. */
export const STALE_MS: number = 30 * 60_000;
const GIVE_UP_MS = STALE_MS - 1.5 * REFRESH_MS;
/** How often the age is looked at: a machine that slept must notice soon. */
const TICK_MS = 15_000;

export interface HoldOptions {
  exclusive: boolean;
  /** Speech for people: waiting for a lock, a dead owner's lock removed, a refresh that failed. */
  onNotice?: (message: string) => void;
  signal?: AbortSignal | undefined;
}

/** A held lock. `signal` aborts when it is lost (LOCK_LOST) or when the caller's own signal does. */
export interface HeldLock {
  readonly signal: AbortSignal;
  /** Turns an exclusive lock into a shared one. When that cannot be stored, it stays exclusive until its next refresh. */
  share(): Promise<void>;
  /** Removes it; later calls do nothing. Never fails: a lock that stays behind is told, and goes stale. */
  release(): Promise<void>;
  /** Why one of its files is still there after the release. */
  readonly staying: unknown;
}

export class LockHolder implements HeldLock {
  readonly signal: AbortSignal;
  staying: unknown;
  readonly #repository: Repository;
  readonly #options: HoldOptions;
  #exclusive: boolean;
  readonly #lost = new AbortController();
  readonly #released = new AbortController();
  /** Files that are ours, the newest last. */
  #files: Id[] = [];
  /** Times written into files of which we do not know whether they were stored. */
  readonly #doubtful = new Set<string>();
  #stamped = { wall: 0, monotonic: 0 };
  #keeping: Promise<void> = Promise.resolve();
  #refreshing: Promise<void> | undefined;
  #releasing: Promise<void> | undefined;

  constructor(repository: Repository, options: HoldOptions) {
    this.#repository = repository;
    this.#options = options;
    this.#exclusive = options.exclusive;
    const signals = [this.#lost.signal, ...(options.signal ? [options.signal] : [])];
    this.signal = AbortSignal.any(signals);
  }

  /** Stores a lock file of now; its id. */
  async write(signal?: AbortSignal): Promise<Id> {
    const { clock, hostname, username, pid, uid, gid } = this.#repository.machine;
    const stamped = { wall: clock.now(), monotonic: clock.monotonic() };
    const time = formatTime(clock.nowNanoseconds());
    const exclusive = this.#exclusive;
    const lock = encodeLock({ time, exclusive, hostname, username, pid, uid, gid });
    this.#doubtful.add(time);
    const id = await this.#repository.save("lock", lock, signal);
    this.#doubtful.delete(time);
    this.#stamped = stamped;
    this.#files.push(id);
    return id;
  }

  /** Refreshes from now on until released or lost. */
  keep(): void {
    this.#keeping = this.#keep();
  }

  async share(): Promise<void> {
    await this.#refreshing;
    this.#exclusive = false;
    this.#refreshing = this.#refresh().then(() => {
      this.#refreshing = undefined;
    });
    await this.#refreshing;
  }

  release(): Promise<void> {
    return (this.#releasing ??= this.#release());
  }

  async #keep(): Promise<void> {
    const { clock } = this.#repository.machine;
    let dueAt = this.#stamped.monotonic + REFRESH_MS;
    while (!this.#released.signal.aborted) {
      try {
        await clock.sleep(TICK_MS, this.#released.signal);
      } catch {
        return;
      }
      if (this.#age() >= GIVE_UP_MS) return this.#lose();
      if (this.#refreshing !== undefined || clock.monotonic() < dueAt) continue;
      // Not awaited: a storage that does not answer must not keep us from noticing the time.
      dueAt = Infinity;
      this.#refreshing = this.#refresh().then((done) => {
        dueAt = done ? this.#stamped.monotonic + REFRESH_MS : clock.monotonic() + REFRESH_AGAIN_MS;
        this.#refreshing = undefined;
      });
    }
  }

  /** Replaces the file by a new one; false when that failed. */
  async #refresh(): Promise<boolean> {
    try {
      await this.write();
    } catch (error) {
      this.#options.onNotice?.(`unable to refresh lock: ${messageOf(error)}`);
      return false;
    }
    await this.#removeFiles(this.#files.slice(0, -1));
    return true;
  }

  #age(): number {
    const { clock } = this.#repository.machine;
    const { wall, monotonic } = this.#stamped;
    return Math.max(clock.now() - wall, clock.monotonic() - monotonic);
  }

  #lose(): void {
    this.#lost.abort(
      new HoldfastError("LOCK_LOST", "our lock could not be refreshed for 22 minutes", {
        hint: "What was stored is kept; run the command again.",
      }),
    );
  }

  async #release(): Promise<void> {
    this.#released.abort();
    await this.#keeping;
    await this.#refreshing;
    if (this.#doubtful.size > 0) await this.#findDoubtful();
    await this.#removeFiles(this.#files);
  }

  /** Removes files of ours; those that stay are tried again with the next refresh or the release. */
  async #removeFiles(ids: readonly Id[]): Promise<void> {
    this.staying = undefined;
    for (const id of ids) {
      try {
        await this.#repository.remove("lock", id);
        this.#files = this.#files.filter((file) => file !== id);
      } catch (error) {
        this.staying = error;
        this.#options.onNotice?.(`unable to remove lock ${id.slice(0, 8)}: ${messageOf(error)}`);
      }
    }
  }

  /** A file whose storing failed or was cancelled may be there all the same. */
  async #findDoubtful(): Promise<void> {
    const repository = this.#repository;
    try {
      for (const { id } of await repository.list("lock")) {
        const lock = await repository.load("lock", id).then(decodeLock, () => undefined);
        if (lock !== undefined && this.#isDoubtful(lock)) this.#files.push(id);
      }
    } catch (error) {
      this.#options.onNotice?.(`unable to look for locks of ours: ${messageOf(error)}`);
    }
  }

  #isDoubtful({ time, hostname, pid }: Lock): boolean {
    const { machine } = this.#repository;
    return this.#doubtful.has(time) && hostname === machine.hostname && pid === machine.pid;
  }
}
