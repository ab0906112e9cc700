// Keys to be worked on: each by one worker at a time, several keys at once, and the same key added many times is one piece of work.
//
// A key that is added while its work runs is worked on once more afterwards. Work decides anew about everything, so its begin ends
// a timer that was set for the key before, and its result sets the next one. Work that throws is tried again after a pause that
// doubles; a change of the cluster (`add`) is answered at once all the same, but for a key that keeps failing at most once a second.

import type { Clock, Random } from "../../base/clock.ts";
import { isHoldfastError } from "../../base/errors.ts";
import { backoff } from "./jitter.ts";
import { longSleep } from "./long-sleep.ts";

export interface WorkQueueOptions {
  /** `recheck`: milliseconds after which the key is worked on again though nobody adds it. */
  readonly work: (
    key: string,
    signal: AbortSignal,
  ) => Promise<{ readonly recheck?: number | undefined } | void>;
  /** Keys worked on at once. */
  readonly parallel: number;
  readonly clock: Clock;
  readonly random: Random;
  /** Aborted: nothing new begins, and running work is told. */
  readonly signal: AbortSignal;
  /** Told of each failure of work; `failures` in a row, `delay` until the next attempt. */
  readonly onError?: (failure: {
    readonly key: string;
    readonly error: unknown;
    readonly failures: number;
    readonly delay: number;
  }) => void;
  /** Milliseconds of the first pause after a failure, and of the longest one; 1,000 and 300,000 by default. */
  readonly delayFirst?: number;
  readonly delayMax?: number;
}

interface Entry {
  /** In line, and since it may have been added twice: only once. */
  isQueued: boolean;
  isRunning: boolean;
  /** Added while it ran. */
  isAgain: boolean;
  failures: number;
  /** When its work began last, by the monotonic clock. */
  began: number;
  timer: { readonly at: number; readonly stop: AbortController } | undefined;
}

/** The pause after somebody else wrote first: the watch brings what they wrote within moments. */
const CONFLICT_DELAY = 50;
/** From so many failures in a row on, changes do not begin work more often than once in the time below. */
const FAILURES_SLOWED = 3;
const SLOWED = 1_000;

export class WorkQueue {
  readonly #options: WorkQueueOptions;
  readonly #entries = new Map<string, Entry>();
  /** Keys in line, in the order in which they came. */
  readonly #line = new Set<string>();
  #running = 0;
  #idle: (() => void)[] = [];

  constructor(options: WorkQueueOptions) {
    this.#options = options;
    options.signal.addEventListener("abort", () => this.#stop(), { once: true });
  }

  /** Works on `key` as soon as a worker is free. */
  add(key: string): void {
    if (this.#options.signal.aborted) return;
    const entry = this.#entryOf(key);
    const due = entry.began + SLOWED - this.#options.clock.monotonic();
    if (entry.failures >= FAILURES_SLOWED && !entry.isRunning && due > 0) {
      this.#setTimer(key, entry, due);
      return;
    }
    this.#enqueue(key, entry);
  }

  /** Works on `key` after `milliseconds`, or before, when something else asks for it. */
  addAfter(key: string, milliseconds: number): void {
    if (this.#options.signal.aborted) return;
    if (milliseconds <= 0) return this.add(key);
    this.#setTimer(key, this.#entryOf(key), milliseconds);
  }

  /** Forgets timer, failures and place in line: the object is gone. Work that runs is not touched. */
  forget(key: string): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    this.#stopTimer(entry);
    this.#line.delete(key);
    entry.isQueued = false;
    entry.isAgain = false;
    entry.failures = 0;
    this.#drop(key, entry);
    this.#tellIdle();
  }

  /** Keys in line, not counting those that are worked on or wait for their time. */
  get length(): number {
    return this.#line.size;
  }

  /** Keys that are worked on. */
  get running(): number {
    return this.#running;
  }

  /** Resolves when nothing is in line and nothing runs; keys may still wait for their time. */
  idle(): Promise<void> {
    return new Promise((resolve) => {
      this.#idle.push(resolve);
      this.#tellIdle();
    });
  }

  #entryOf(key: string): Entry {
    let entry = this.#entries.get(key);
    if (entry === undefined) {
      entry = {
        isQueued: false,
        isRunning: false,
        isAgain: false,
        failures: 0,
        began: -Infinity,
        timer: undefined,
      };
      this.#entries.set(key, entry);
    }
    return entry;
  }

  #enqueue(key: string, entry: Entry): void {
    if (entry.isRunning) {
      entry.isAgain = true;
      return;
    }
    if (entry.isQueued) return;
    entry.isQueued = true;
    this.#line.add(key);
    this.#next();
  }

  #next(): void {
    while (this.#running < this.#options.parallel && !this.#options.signal.aborted) {
      const first = this.#line.values().next();
      if (first.done) return;
      const key = first.value;
      this.#line.delete(key);
      const entry = this.#entryOf(key);
      entry.isQueued = false;
      void this.#run(key, entry);
    }
  }

  /** Never rejects. */
  async #run(key: string, entry: Entry): Promise<void> {
    const { work, clock, signal } = this.#options;
    this.#running += 1;
    entry.isRunning = true;
    entry.began = clock.monotonic();
    this.#stopTimer(entry);
    try {
      // Not at once inside `add`: whoever adds must not find the work half done.
      await Promise.resolve();
      const result = await work(key, signal);
      entry.failures = 0;
      const recheck = result?.recheck;
      if (recheck !== undefined) this.#setTimer(key, entry, recheck);
    } catch (error) {
      if (!signal.aborted) this.#fail(key, entry, error);
    }
    entry.isRunning = false;
    this.#running -= 1;
    if (entry.isAgain) {
      entry.isAgain = false;
      this.add(key);
    }
    this.#drop(key, entry);
    this.#next();
    this.#tellIdle();
  }

  #fail(key: string, entry: Entry, error: unknown): void {
    const { random, onError, delayFirst = 1_000, delayMax = 300_000 } = this.#options;
    entry.failures += 1;
    const { failures } = entry;
    const first = isHoldfastError(error, "CLUSTER_CONFLICT") ? CONFLICT_DELAY : delayFirst;
    const asked = isHoldfastError(error) ? (error.retryAfter ?? 0) : 0;
    const delay = Math.max(backoff(failures, { first, max: delayMax, random }), asked);
    this.#setTimer(key, entry, delay);
    onError?.({ key, error, failures, delay });
  }

  /** Of two times the earlier one counts. */
  #setTimer(key: string, entry: Entry, milliseconds: number): void {
    const { clock, signal } = this.#options;
    if (signal.aborted) return;
    const at = clock.monotonic() + milliseconds;
    if (entry.timer !== undefined && entry.timer.at <= at) return;
    this.#stopTimer(entry);
    const stop = new AbortController();
    entry.timer = { at, stop };
    longSleep(clock, milliseconds, stop.signal).then(
      () => {
        // Stopped or replaced in the very moment in which it was due.
        if (entry.timer?.stop !== stop) return;
        entry.timer = undefined;
        this.#enqueue(key, entry);
      },
      // Stopped.
      () => {},
    );
  }

  #stopTimer(entry: Entry): void {
    entry.timer?.stop.abort();
    entry.timer = undefined;
  }

  /** Nothing is to be remembered of a key that is done. */
  #drop(key: string, entry: Entry): void {
    const isDone =
      !entry.isQueued && !entry.isRunning && entry.timer === undefined && entry.failures === 0;
    if (isDone && this.#entries.get(key) === entry) this.#entries.delete(key);
  }

  #stop(): void {
    this.#line.clear();
    for (const entry of this.#entries.values()) {
      this.#stopTimer(entry);
      entry.isQueued = false;
      entry.isAgain = false;
    }
    this.#tellIdle();
  }

  #tellIdle(): void {
    if (this.#running > 0 || this.#line.size > 0) return;
    const waiting = this.#idle;
    this.#idle = [];
    for (const resolve of waiting) resolve();
  }
}
