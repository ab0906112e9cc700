// What a run of the program has opened and is to close when it ends: kept connections and child programs would keep the
// process alive.

import { ahead } from "../base/concurrency.ts";
import type { Clock } from "../base/clock.ts";

/** The work is done by then, so nobody should wait long. */
const CLOSE_MS = 3000;

export interface Closable {
  close(): Promise<void>;
}

export class Closers {
  readonly #clock: Clock;
  readonly #opened: Closable[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** `opened` is closed when the run ends. */
  add<T extends Closable>(opened: T): T {
    this.#opened.push(opened);
    return opened;
  }

  /** Closes everything. Never fails, and ends after a few seconds whatever happens. */
  async close(): Promise<void> {
    const opened = this.#opened.splice(0);
    if (opened.length === 0) return;
    const waiting = new AbortController();
    const limit = ahead(this.#clock.sleep(CLOSE_MS, waiting.signal));
    // Async, so that a close that throws at once counts like any other failure.
    const closing = opened.map(async (each) => each.close());
    await Promise.race([Promise.allSettled(closing), limit]);
    waiting.abort();
  }
}
