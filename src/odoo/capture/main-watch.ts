// Looks now and then whether snapshots came or went in the main repository: a new full snapshot begins a new period, and one
// that was forgotten takes away what was known through it.

import type { Clock } from "../../base/clock.ts";
import type { Repository } from "../../repository/repository.ts";

/** Without a word from anybody. */
const LOOK_MS = 5 * 60_000;

export class MainWatch {
  readonly #main: Repository;
  readonly #clock: Clock;
  #ids = "";
  #lookAt = -Infinity;

  constructor(main: Repository, clock: Clock) {
    this.#main = main;
    this.#clock = clock;
  }

  /** Looks the next time it is asked. */
  hurry(): void {
    this.#lookAt = -Infinity;
  }

  /** Whether the snapshots are others than when it looked last. Throws what the storage throws, and looks again later. */
  async isChanged(signal: AbortSignal): Promise<boolean> {
    const now = this.#clock.monotonic();
    if (now < this.#lookAt) return false;
    this.#lookAt = now + LOOK_MS;
    const files = await this.#main.list("snapshot", signal);
    const ids = files
      .map(({ id }) => id)
      .sort()
      .join();
    const isChanged = ids !== this.#ids;
    this.#ids = ids;
    return isChanged;
  }
}
