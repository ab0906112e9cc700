// A clock that a test moves by hand: nothing waits for real time, and what is due happens in its order.

import { setImmediate as turn } from "node:timers/promises";
import type { Clock } from "../src/base/clock.ts";

interface Sleeper {
  at: number;
  wake: () => void;
}

export class FakeClock implements Clock {
  /** Milliseconds that have passed. */
  #passed = 0;
  /** What was added to the clock on the wall alone: somebody set it. */
  #set = 0;
  readonly #begin: number;
  readonly #sleepers = new Set<Sleeper>();

  constructor(begin: number = Date.UTC(2026, 0, 2, 3, 4, 5)) {
    this.#begin = begin;
  }

  now(): number {
    return this.#begin + this.#passed + this.#set;
  }

  nowNanoseconds(): bigint {
    return BigInt(this.now()) * 1_000_000n;
  }

  monotonic(): number {
    return this.#passed;
  }

  sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        this.#sleepers.delete(sleeper);
        reject(new DOMException("aborted", "AbortError"));
      };
      const sleeper: Sleeper = {
        at: this.#passed + milliseconds,
        wake: () => {
          this.#sleepers.delete(sleeper);
          signal?.removeEventListener("abort", onAbort);
          resolve();
        },
      };
      if (signal?.aborted) return onAbort();
      signal?.addEventListener("abort", onAbort);
      this.#sleepers.add(sleeper);
    });
  }

  /** Sets the clock on the wall forward or back; no time passes. */
  set(milliseconds: number): void {
    this.#set += milliseconds;
  }

  /** Lets time pass: each sleeper wakes at its moment, and what it then does goes as far as it can. */
  async advance(milliseconds: number): Promise<void> {
    const end = this.#passed + milliseconds;
    await settle();
    for (;;) {
      let next: Sleeper | undefined;
      for (const sleeper of this.#sleepers) {
        if (sleeper.at <= end && (next === undefined || sleeper.at < next.at)) next = sleeper;
      }
      if (next === undefined) break;
      this.#passed = Math.max(this.#passed, next.at);
      next.wake();
      await settle();
    }
    this.#passed = end;
  }
}

/** Turns of the event loop until what does not wait for time or the outside has happened. */
export async function settle(turns = 12): Promise<void> {
  for (let i = 0; i < turns; i++) await turn();
}
