// What took how long within the last day: exact quantiles of a bounded number of values, as the summary of VolSync's
// volsync_sync_duration_seconds has them (p50, p90 and p99 over 24 hours). Sum and count are of all values there ever were.

const WINDOW = 24 * 3_600_000;
/** More runs in a day than one every minute: the oldest go first. */
const VALUES_MAX = 1500;

export class DurationWindow {
  readonly #values: { readonly at: number; readonly seconds: number }[] = [];
  #count = 0;
  #sum = 0;

  get count(): number {
    return this.#count;
  }

  get sum(): number {
    return this.#sum;
  }

  /** Something that took `seconds` ended at `at`, milliseconds since 1970. */
  add(at: number, seconds: number): void {
    this.#count += 1;
    this.#sum += seconds;
    this.#values.push({ at, seconds });
    if (this.#values.length > VALUES_MAX) this.#values.shift();
  }

  /** The quantiles of what ended within 24 hours before `now`; NaN when that is nothing. */
  quantiles(now: number, wanted: readonly number[]): number[] {
    while (this.#values.length > 0 && this.#values[0]!.at < now - WINDOW) this.#values.shift();
    const sorted = this.#values.map(({ seconds }) => seconds).sort((a, b) => a - b);
    return wanted.map((quantile) => sorted[Math.ceil(quantile * sorted.length) - 1] ?? NaN);
  }
}
