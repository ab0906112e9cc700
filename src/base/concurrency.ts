// Bounded parallel work: a semaphore, and loops over many items that stop at the first error.
// Nothing here leaves work running behind its back: a loop settles only when everything it started has settled.

import { cancelled, throwIfCancelled } from "./cancellation.ts";
import { HoldfastError } from "./errors.ts";

export interface ConcurrencyOptions {
  signal?: AbortSignal | undefined;
}

/** What a loop runs for each item. `signal` is aborted when another item failed or the caller cancelled. */
export type ItemWork<T, R> = (item: T, index: number, signal: AbortSignal) => Promise<R>;

interface Waiter {
  grant(): void;
}

/**
 * Work that was begun before its turn, because asking early saves a round trip. It is to be awaited later; until then its
 * failure is nobody's unhandled rejection.
 */
export function ahead<T>(work: Promise<T>): Promise<T> {
  work.catch(() => {});
  return work;
}

/** Lets at most `max` holders in at once; the others wait in order of arrival. */
export class Semaphore {
  #free: number;
  // A Set keeps the order of arrival and lets a cancelled waiter leave in constant time.
  readonly #waiting = new Set<Waiter>();

  constructor(max: number) {
    checkLimit(max);
    this.#free = max;
  }

  /** Waits for a place; the result gives it back (calling it twice does nothing). CANCELLED when aborted. */
  async acquire(signal?: AbortSignal): Promise<() => void> {
    throwIfCancelled(signal);
    if (this.#free > 0) this.#free -= 1;
    else await this.#wait(signal);
    let held = true;
    return () => {
      if (held) this.#release();
      held = false;
    };
  }

  /** Runs `work` while holding a place. */
  async run<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    const release = await this.acquire(signal);
    try {
      return await work();
    } finally {
      release();
    }
  }

  #wait(signal: AbortSignal | undefined): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      const onAbort = (): void => {
        this.#waiting.delete(waiter);
        if (signal) reject(cancelled(signal));
      };
      const waiter: Waiter = {
        grant: () => {
          signal?.removeEventListener("abort", onAbort);
          resolve();
        },
      };
      this.#waiting.add(waiter);
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  }

  #release(): void {
    const next = this.#waiting.values().next();
    if (next.done) {
      this.#free += 1;
      return;
    }
    // The place goes from hand to hand, so a newcomer cannot overtake the first in the line.
    this.#waiting.delete(next.value);
    next.value.grant();
  }
}

/**
 * Runs `work` for every item, at most `limit` at once, pulling items only when a place is free.
 * The first error (or CANCELLED) aborts the signal of the others, waits for them and is thrown. A source that
 * can block should watch the caller's signal itself: it is asked for nothing more, but not interrupted.
 */
export async function eachLimit<T>(
  items: Iterable<T> | AsyncIterable<T>,
  limit: number,
  work: ItemWork<T, void>,
  options: ConcurrencyOptions = {},
): Promise<void> {
  const places = new Semaphore(limit);
  const stop = new AbortController();
  const running = new Set<Promise<void>>();
  let failure: { error: unknown } | undefined;
  const fail = (error: unknown): void => {
    failure ??= { error };
    stop.abort(error);
  };
  const { signal } = options;
  const onAbort = (): void => {
    if (signal) fail(cancelled(signal));
  };
  if (signal?.aborted) onAbort();
  else signal?.addEventListener("abort", onAbort, { once: true });
  try {
    let index = 0;
    if (!stop.signal.aborted) {
      for await (const item of items) {
        // A failure hands its place on, so this wait always ends.
        const release = await places.acquire();
        if (stop.signal.aborted) break;
        const task = runItem(work, item, index, stop.signal)
          .catch(fail)
          .finally(() => {
            running.delete(task);
            release();
          });
        running.add(task);
        index += 1;
      }
    }
  } catch (error) {
    fail(error);
  }
  await Promise.all(running);
  signal?.removeEventListener("abort", onAbort);
  if (failure) throw failure.error;
}

/** As `eachLimit`, returning the results in the order of the items. */
export async function mapLimit<T, R>(
  items: Iterable<T> | AsyncIterable<T>,
  limit: number,
  work: ItemWork<T, R>,
  options: ConcurrencyOptions = {},
): Promise<R[]> {
  const results: R[] = [];
  await eachLimit(
    items,
    limit,
    async (item, index, signal) => {
      results[index] = await work(item, index, signal);
    },
    options,
  );
  return results;
}

/** Async, so that work which throws before its first await rejects like any other. */
async function runItem<T>(
  work: ItemWork<T, void>,
  item: T,
  index: number,
  signal: AbortSignal,
): Promise<void> {
  await work(item, index, signal);
}

function checkLimit(limit: number): void {
  if (Number.isInteger(limit) && limit > 0) return;
  throw new HoldfastError("BUG", `a limit of ${limit} at once`);
}
