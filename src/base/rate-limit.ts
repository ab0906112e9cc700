// A limit on bytes per second: a bucket that fills at the rate and holds a fraction of a second, so that a limited line
// stays usable for others between two pieces.

import { throwIfCancelled } from "./cancellation.ts";
import type { Clock } from "./clock.ts";
import { HoldfastError } from "./errors.ts";

/** What may pass at once after a pause, in milliseconds of the rate. */
const BURST_MS = 250;
/** Pieces are no smaller than this, or the waiting would cost more than the sending. */
const PIECE_BYTES_MIN = 4096;
const PIECE_BYTES_MAX = 64 * 1024;

export class RateLimit {
  readonly #perMs: number;
  readonly #clock: Clock;
  /** Milliseconds of the clock at which everything granted so far will have passed. */
  #paidUntil: number;

  /** `bytesPerSecond` above 0. */
  constructor(bytesPerSecond: number, clock: Clock) {
    if (!(bytesPerSecond > 0)) throw new HoldfastError("BUG", `a rate of ${bytesPerSecond}`);
    this.#perMs = bytesPerSecond / 1000;
    this.#clock = clock;
    this.#paidUntil = clock.monotonic();
  }

  /** Bytes that a caller should ask for at once. */
  get pieceBytes(): number {
    const bytes = Math.floor((this.#perMs * BURST_MS) / 2);
    return Math.min(PIECE_BYTES_MAX, Math.max(PIECE_BYTES_MIN, bytes));
  }

  /** Waits until `bytes` more may pass. Callers are served as they ask. CANCELLED when aborted. */
  async take(bytes: number, signal?: AbortSignal): Promise<void> {
    const now = this.#clock.monotonic();
    const from = Math.max(this.#paidUntil, now - BURST_MS);
    this.#paidUntil = from + bytes / this.#perMs;
    if (this.#paidUntil <= now) return;
    try {
      await this.#clock.sleep(this.#paidUntil - now, signal);
    } catch (error) {
      throwIfCancelled(signal);
      throw error;
    }
  }
}
