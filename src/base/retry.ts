// Trying again after passing failures: exponential backoff with jitter, limited by elapsed time and attempts.
// The defaults are restic's: first pause 1 s, doubled up to 60 s, each ± 50 %, given up after 15 minutes but
// never before the second attempt. A longer pause that the other side asked for is kept. It decides from `retryable`
// alone and must never retry a permanent error.

import { cancelled, throwIfCancelled } from "./cancellation.ts";
import type { Clock, Random } from "./clock.ts";
import { isHoldfastError } from "./errors.ts";

export interface RetryEvent {
  readonly error: unknown;
  /** Which attempt failed, from 1. */
  readonly attempt: number;
  /** Milliseconds until the next one. */
  readonly delay: number;
}

export interface RetryLimits {
  /** How many attempts in all; no limit by default. */
  attemptsMax?: number;
  /** Milliseconds from the first attempt after which no further one starts; 15 minutes by default. */
  elapsedMax?: number;
  /** Milliseconds of the first pause; 1,000 by default. */
  delayFirst?: number;
  /** Milliseconds of the longest pause before jitter; 60,000 by default. */
  delayMax?: number;
}

export interface RetryOptions extends RetryLimits {
  clock: Clock;
  /** Source of the jitter; without it pauses are exact. */
  random?: Random | undefined;
  /** Which failures pass; by default HoldfastErrors with `retryable`. */
  isRetryable?: ((error: unknown) => boolean) | undefined;
  /** Told before each pause. */
  onRetry?: ((event: RetryEvent) => void) | undefined;
  signal?: AbortSignal | undefined;
}

const ELAPSED_MAX = 15 * 60_000;
const DELAY_FIRST = 1_000;
const DELAY_MAX = 60_000;
const JITTER = 0.5;

/** The pauses of one retried operation; for loops that are more than one function call. */
export class Backoff {
  readonly #options: RetryOptions;
  #attempt = 1;
  #started: number;

  constructor(options: RetryOptions) {
    this.#options = options;
    this.#started = options.clock.monotonic();
  }

  /** Forgets earlier failures: called when an operation of many steps has made progress. */
  reset(): void {
    this.#attempt = 1;
    this.#started = this.#options.clock.monotonic();
  }

  /**
   * Waits until the next attempt may start. Rethrows `error` when it is permanent or a limit is reached;
   * throws CANCELLED when the signal is aborted, also while waiting.
   */
  async pause(error: unknown): Promise<void> {
    const {
      clock,
      signal,
      onRetry,
      attemptsMax = Infinity,
      elapsedMax = ELAPSED_MAX,
    } = this.#options;
    const isRetryable = this.#options.isRetryable ?? isRetryableError;
    if (!isRetryable(error)) throw error;
    throwIfCancelled(signal);
    const attempt = this.#attempt;
    const asked = isHoldfastError(error) ? (error.retryAfter ?? 0) : 0;
    const delay = Math.max(this.#delay(attempt), asked);
    const late = clock.monotonic() - this.#started + delay > elapsedMax;
    // One slow failure may use up the whole time; it still deserves one second attempt.
    if (attempt >= attemptsMax || (late && attempt > 1)) throw error;
    this.#attempt += 1;
    onRetry?.({ error, attempt, delay });
    try {
      await clock.sleep(delay, signal);
    } catch (failure) {
      throw signal?.aborted ? cancelled(signal) : failure;
    }
  }

  #delay(attempt: number): number {
    const { delayFirst = DELAY_FIRST, delayMax = DELAY_MAX, random } = this.#options;
    const exact = Math.min(delayMax, delayFirst * 2 ** (attempt - 1));
    return Math.round(exact * (1 + JITTER * (2 * fraction(random) - 1)));
  }
}

/** Runs `work` until it succeeds, fails permanently or a limit of `options` is reached. `attempt` counts from 1. */
export async function retry<T>(
  work: (attempt: number) => Promise<T>,
  options: RetryOptions,
): Promise<T> {
  const backoff = new Backoff(options);
  for (let attempt = 1; ; attempt += 1) {
    throwIfCancelled(options.signal);
    try {
      return await work(attempt);
    } catch (error) {
      await backoff.pause(error);
    }
  }
}

function isRetryableError(error: unknown): boolean {
  return isHoldfastError(error) && error.retryable;
}

/** A number in [0, 1); the middle without a random source. */
function fraction(random: Random | undefined): number {
  if (random === undefined) return 0.5;
  const bytes = random(4);
  return new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0) / 2 ** 32;
}
