// How fast an amount grows, over the last two minutes: steady enough for an estimate of the time left, quick enough
// to follow a change. Sampled when somebody looks, so that counting costs nothing.

const WINDOW_SECONDS = 120;
/** A slow link moves in bursts: keep at least this many looks, however old. */
const SAMPLES_MIN = 20;
/** Below this many bytes a second an estimate says nothing. */
const RATE_MIN = 1024;

/** Measures one growing amount. */
export class Throughput {
  readonly #samples: { seconds: number; amount: number }[] = [{ seconds: 0, amount: 0 }];

  /** The amount is now this much, `seconds` after the start. Returns the growth in a second, 0 when unknown. */
  sample(seconds: number, amount: number): number {
    const samples = this.#samples;
    const newest = samples.at(-1);
    // More looks than one a second would only fill the memory.
    if (newest === undefined || seconds - newest.seconds >= 1) samples.push({ seconds, amount });
    while (samples.length > SAMPLES_MIN && samples[1]!.seconds <= seconds - WINDOW_SECONDS) {
      samples.shift();
    }
    const oldest = samples[0]!;
    const elapsed = seconds - oldest.seconds;
    return elapsed > 0 ? (amount - oldest.amount) / elapsed : 0;
  }
}

/** Whole seconds until `left` bytes have passed at this rate; 0 when nobody can tell. */
export function secondsLeft(left: number, bytesPerSecond: number): number {
  return bytesPerSecond > RATE_MIN ? Math.trunc(Math.max(0, left) / bytesPerSecond) : 0;
}
