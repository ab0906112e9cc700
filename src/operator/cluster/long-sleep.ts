// Sleeping for longer than a timer of Node can: beyond 2^31-1 ms (24.8 days) setTimeout fires at once.

import type { Clock } from "../../base/clock.ts";

const TIMER_MAX = 2 ** 31 - 1;

/** Sleeps in pieces that a timer takes. Rejects when `signal` is aborted. */
export async function longSleep(
  clock: Clock,
  milliseconds: number,
  signal: AbortSignal,
): Promise<void> {
  const until = clock.monotonic() + milliseconds;
  for (;;) {
    const left = until - clock.monotonic();
    if (left <= 0) return;
    await clock.sleep(Math.min(left, TIMER_MAX), signal);
  }
}
