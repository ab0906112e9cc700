// How many movers of sources are at work at once, and whose turn is next: the one that has been due for longest. Restores take no turn
// and are never held back.
//
// Kept in memory alone, and worked out from the Jobs that are there: a process that begins anew asks everybody again. A source has a
// place in the line for as long as each look at it ends with the wish for a mover.

import type { Job } from "../cluster/kube-object.ts";
import { controllerOf } from "../cluster/owner.ts";
import type { Store } from "../cluster/store.ts";
import { isFinished } from "../mover/ensure-job.ts";

export interface MoverTurnsOptions {
  /** 0: as many as want to. */
  readonly max: number;
  readonly jobs: Pick<Store<Job>, "list">;
}

export class MoverTurns {
  readonly #max: number;
  readonly #jobs: Pick<Store<Job>, "list">;
  /** Since when each is due, by `namespace/name`. */
  readonly #waiting = new Map<string, number>();
  /** Whose Job may not be in the store yet. */
  readonly #granted = new Set<string>();
  /** Who asked in the look that is under way. */
  readonly #asked = new Set<string>();

  constructor({ max, jobs }: MoverTurnsOptions) {
    this.#max = max;
    this.#jobs = jobs;
  }

  get max(): number {
    return this.#max;
  }

  /** Sources that wait. */
  get length(): number {
    return this.#waiting.size;
  }

  /**
   * Whether the source may have its mover made now. `due` in milliseconds since 1970. `wait`: it has got a place in the line;
   * `still`: it has had one.
   */
  ask(key: string, due: number): "go" | "wait" | "still" {
    if (this.#max === 0) return "go";
    this.#asked.add(key);
    const busy = this.#busy();
    if (!busy.has(key)) {
      let ahead = 0;
      for (const other of this.#waiting) if (isBefore(other, [key, due])) ahead += 1;
      if (ahead >= this.#max - busy.size) {
        const isStill = this.#waiting.has(key);
        this.#waiting.set(key, due);
        return isStill ? "still" : "wait";
      }
    }
    this.#waiting.delete(key);
    this.#granted.add(key);
    return "go";
  }

  /** It takes no turn after all. */
  leave(key: string): void {
    this.#waiting.delete(key);
    this.#granted.delete(key);
  }

  /** A look at the source has ended. One that asked for nothing needs its place no more, and its Job is in the store or gone. */
  looked(key: string): void {
    if (!this.#asked.delete(key)) this.leave(key);
  }

  /** Whose turn it is, and who is to be looked at for that. */
  next(): string[] {
    if (this.#waiting.size === 0) return [];
    const free = this.#max - this.#busy().size;
    if (free <= 0) return [];
    const line = [...this.#waiting].toSorted((a, b) => (isBefore(a, b) ? -1 : 1));
    return line.slice(0, free).map(([key]) => key);
  }

  #busy(): Set<string> {
    const busy = new Set(this.#granted);
    for (const job of this.#jobs.list()) {
      const owner = controllerOf(job);
      // A paused one has no pod.
      if (owner?.kind !== "ReplicationSource" || job.spec.parallelism === 0) continue;
      if (!isFinished(job)) busy.add(`${job.metadata.namespace}/${owner.name}`);
    }
    return busy;
  }
}

function isBefore([a, dueA]: [string, number], [b, dueB]: [string, number]): boolean {
  return dueA === dueB ? a < b : dueA < dueB;
}
