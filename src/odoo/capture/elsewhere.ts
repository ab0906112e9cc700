// Whether older snapshots have a good copy of what is missing or corrupt at the source. Looking through them all takes a while,
// so it is done for names that nobody has looked for yet, and no more often than it costs little. What was not looked for, or
// could not be proved, counts as not there.

import type { Clock } from "../../base/clock.ts";
import type { Repository } from "../../repository/repository.ts";
import { openPool } from "../pool.ts";
import { Sha1Set } from "../sha1-set.ts";

/** Part of the time that looking may take: a fiftieth. */
const FACTOR = 50;
/** Names that are looked for at once: each that is found is read. */
const NAMES_MAX = 1000;

export interface ElsewhereOptions {
  readonly main: Repository;
  readonly captures: Repository;
  readonly clock: Clock;
  readonly onNotice: (text: string) => void;
}

export class Elsewhere {
  readonly #options: ElsewhereOptions;
  readonly #looked = new Map<string, boolean>();
  #due = -Infinity;

  constructor(options: ElsewhereOptions) {
    this.#options = options;
  }

  /** True when a good copy was found. */
  has(sha1: string): boolean {
    return this.#looked.get(sha1) === true;
  }

  /** Forgets what was found and what was not: there may be other snapshots now, and some may be gone. */
  reset(): void {
    this.#looked.clear();
    this.#due = -Infinity;
  }

  /** Looks for those of these names that were not looked for. Throws what the storages throw, CANCELLED. */
  async look(names: Iterable<string>, signal: AbortSignal): Promise<void> {
    const { main, captures, clock, onNotice } = this.#options;
    const began = clock.monotonic();
    if (began < this.#due) return;
    const wanted = new Sha1Set(100);
    for (const sha1 of names) {
      if (!this.#looked.has(sha1) && wanted.size < NAMES_MAX) wanted.add(sha1);
    }
    if (wanted.size === 0) return;
    const pool = await openPool({
      sources: [
        { repository: main, kind: "snapshots" },
        { repository: captures, kind: "captures" },
      ],
      wanted,
      onDamage: (what, error) => onNotice(`${what}: ${error.message}`),
      signal,
    });
    for (const sha1 of wanted) {
      const { status } = await pool.read(sha1, { signal });
      this.#looked.set(sha1, status === "found");
    }
    const now = clock.monotonic();
    this.#due = now + (now - began) * FACTOR;
  }
}
