// Small calls to the file system, made in this thread. Node hands every asynchronous call to another thread, and waking that
// costs several times what opening, reading or looking up a small file does when the kernel has it in memory: thousands of
// snapshot files take four times as long. But a thread that waits for a slow disk or a network mount keeps everything else
// waiting, so after a call that took long the next ones go the usual way.
//
// Must never: decide how a call failed. Whatever is not plainly done here is done again, and told, by the usual way.

import { closeSync, constants, fstatSync, openSync, readSync, statSync } from "node:fs";
import type { Stats } from "node:fs";
import { setImmediate as turn } from "node:timers/promises";
import type { Clock } from "../../base/clock.ts";

/** Larger reads take so long that another thread is worth its waking. */
const BYTES_MAX = 128 << 10;
/** Milliseconds after which a call was slow, and the calls that then go the usual way. */
const SLOW_MS = 1;
const PAUSE_CALLS = 64;
/** Others get their turn after so many milliseconds. */
const TURN_MS = 10;

export class QuickCalls {
  readonly #clock: Pick<Clock, "monotonic">;
  #pause = 0;
  #spent = 0;

  constructor(clock: Pick<Clock, "monotonic">) {
    this.#clock = clock;
  }

  /** What the file at `path` has from `offset` on, `length` bytes or to its end; undefined: ask the usual way. */
  read(path: string, offset: number, length: number | undefined): Buffer | undefined {
    if (length !== undefined && (length > BYTES_MAX || length === 0)) return undefined;
    return this.#call(() => {
      // O_NONBLOCK: a pipe of that name must not hold the process up.
      const descriptor = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
      try {
        return readFrom(descriptor, offset, length);
      } finally {
        closeSync(descriptor);
      }
    });
  }

  /** What is known of the file at `path`, through links; undefined: ask the usual way. */
  stat(path: string): Stats | undefined {
    return this.#call(() => statSync(path));
  }

  /** Lets others have their turn when it is time. */
  async rest(): Promise<void> {
    if (this.#spent < TURN_MS) return;
    this.#spent = 0;
    await turn();
  }

  #call<T>(work: () => T): T | undefined {
    if (this.#pause > 0) {
      this.#pause--;
      return undefined;
    }
    const begun = this.#clock.monotonic();
    try {
      return work();
    } catch {
      return undefined;
    } finally {
      const took = this.#clock.monotonic() - begun;
      this.#spent += took;
      if (took > SLOW_MS) this.#pause = PAUSE_CALLS;
    }
  }
}

function readFrom(
  descriptor: number,
  offset: number,
  wanted: number | undefined,
): Buffer | undefined {
  let length = wanted;
  if (length === undefined) {
    const stats = fstatSync(descriptor);
    length = stats.size - offset;
    if (!stats.isFile() || length <= 0 || length > BYTES_MAX) return undefined;
  }
  const memory = Buffer.allocUnsafeSlow(length);
  return readSync(descriptor, memory, 0, length, offset) === length ? memory : undefined;
}
