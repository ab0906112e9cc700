// Time and randomness as arguments: below src/cli nothing reads the machine's clock or random source on its own.

import { randomBytes } from "node:crypto";
import { setTimeout as sleepTimer } from "node:timers/promises";

export interface Clock {
  /** Milliseconds since 1970-01-01T00:00:00Z. */
  now(): number;
  /** Nanoseconds since 1970-01-01T00:00:00Z, as fine as the machine tells. */
  nowNanoseconds(): bigint;
  /** Monotonic milliseconds, for durations. */
  monotonic(): number;
  sleep(milliseconds: number, signal?: AbortSignal): Promise<void>;
}

/** Fills and returns `length` random bytes. */
export type Random = (length: number) => Uint8Array;

/** The machine's own clock. */
export const systemClock: Clock = {
  now: () => Date.now(),
  nowNanoseconds: () =>
    BigInt(Math.round((performance.timeOrigin + performance.now()) * 1e3)) * 1000n,
  monotonic: () => performance.now(),
  sleep: (milliseconds, signal) => sleepTimer(milliseconds, undefined, signal ? { signal } : {}),
};

/** The machine's cryptographic random source. */
export const systemRandom: Random = (length) => randomBytes(length);
