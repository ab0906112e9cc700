// Times with microseconds, as Leases and Events have them: RFC 3339 with exactly six digits.

import type { Clock } from "../../base/clock.ts";

/** Now. */
export function microTime(clock: Clock): string {
  const nanoseconds = clock.nowNanoseconds();
  const seconds = nanoseconds / 1_000_000_000n;
  const micro = (nanoseconds % 1_000_000_000n) / 1000n;
  const whole = new Date(Number(seconds) * 1000).toISOString().slice(0, 19);
  return `${whole}.${micro.toString().padStart(6, "0")}Z`;
}
