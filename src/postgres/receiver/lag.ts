// How far what is durable trails what was received, in seconds: the time since the oldest byte that is not durable yet
// arrived. Pure, and of bounded size: moments closer together than a few milliseconds count as one.

import type { Lsn } from "../../barman/lsn.ts";

interface Arrival {
  /** Position behind the last byte that had arrived. */
  position: Lsn;
  /** Milliseconds, of any clock that only goes on. */
  readonly time: number;
}

const APART_MS = 20;
/** Beyond this the oldest are kept and the newer ones lumped together: the oldest are what counts. */
const ARRIVALS_MAX = 50_000;

export class Lag {
  #arrivals: Arrival[] = [];
  /** Those before are durable. */
  #first = 0;

  /** Everything before `position` has arrived at `time`. */
  received(position: Lsn, time: number): void {
    const last = this.#arrivals.at(-1);
    if (last !== undefined && position <= last.position) return;
    const isFull = this.#arrivals.length - this.#first >= ARRIVALS_MAX;
    if (
      last !== undefined &&
      this.#first < this.#arrivals.length &&
      (isFull || time - last.time < APART_MS)
    )
      last.position = position;
    else this.#arrivals.push({ position, time });
  }

  /** Everything before `position` is durable. */
  durable(position: Lsn): void {
    while (this.#first < this.#arrivals.length && this.#arrivals[this.#first]!.position <= position)
      this.#first += 1;
    if (this.#first < 1000) return;
    this.#arrivals = this.#arrivals.slice(this.#first);
    this.#first = 0;
  }

  /** Milliseconds since the oldest byte that is not durable arrived; 0 when all are. */
  milliseconds(now: number): number {
    const oldest = this.#arrivals[this.#first];
    return oldest === undefined ? 0 : Math.max(0, now - oldest.time);
  }

  /** Begins anew: positions may go back. */
  clear(): void {
    this.#arrivals = [];
    this.#first = 0;
  }
}
