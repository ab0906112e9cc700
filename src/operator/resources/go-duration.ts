// Durations as Go prints them (time.Duration.String), which is how `status.lastSyncDuration` is written: `1m33.549925697s`.
// Pure.

const MILLISECOND = 1_000_000n;
const SECOND = 1_000_000_000n;

/** `milliseconds`, which may have a fraction down to nanoseconds, such as `1h2m0.5s`, `350ms` or `0s`. */
export function formatGoDuration(milliseconds: number): string {
  const total = BigInt(Math.round(milliseconds * 1e6));
  if (total < 0n) return `-${formatGoDuration(-milliseconds)}`;
  if (total === 0n) return "0s";
  if (total < 1000n) return `${total}ns`;
  if (total < MILLISECOND) return `${fractional(total, 1000n)}µs`;
  if (total < SECOND) return `${fractional(total, MILLISECOND)}ms`;
  const minutes = total / (60n * SECOND);
  const seconds = `${fractional(total % (60n * SECOND), SECOND)}s`;
  if (minutes === 0n) return seconds;
  return minutes < 60n ? `${minutes}m${seconds}` : `${minutes / 60n}h${minutes % 60n}m${seconds}`;
}

/** `value` in units of `unit`, a power of ten, without trailing zeros. */
function fractional(value: bigint, unit: bigint): string {
  const whole = value / unit;
  const rest = value % unit;
  if (rest === 0n) return String(whole);
  const digits = String(rest).padStart(String(unit).length - 1, "0");
  return `${whole}.${digits.replace(/0+$/, "")}`;
}
