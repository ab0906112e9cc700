// Work on objects of the test cluster, one at a time for each: what is asked for while it is under way is done once more after it,
// and what fails (the API server may be away) is tried again.

import { setTimeout as sleep } from "node:timers/promises";

export class KeyedWork {
  readonly #work: (key: string) => Promise<void>;
  readonly #signal: AbortSignal;
  /** True: once more. */
  readonly #underWay = new Map<string, boolean>();

  constructor(work: (key: string) => Promise<void>, signal: AbortSignal) {
    this.#work = work;
    this.#signal = signal;
  }

  /** Does it, now or once more after what is under way. */
  ask(key: string): void {
    const busy = this.#underWay.has(key);
    this.#underWay.set(key, busy);
    if (!busy) void this.#run(key);
  }

  async #run(key: string): Promise<void> {
    do {
      this.#underWay.set(key, false);
      try {
        await this.#work(key);
      } catch {
        await sleep(200, undefined, { ref: false });
        this.#underWay.set(key, true);
      }
    } while (this.#underWay.get(key) === true && !this.#signal.aborted);
    this.#underWay.delete(key);
  }
}
