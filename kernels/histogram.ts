// Tells data that will not compress (already compressed, encrypted, random) by its byte histogram, so
// that no time is spent on compressing it. docs/decisions/kernels.md derives the threshold. Wrong
// answers cost time or space, never correctness.

import { SCRATCH } from "./layout";

/** Below this a histogram over 256 values says too little. */
const BYTES_MIN: usize = 1024;
const SAMPLE_BYTES: usize = 2048;
const COUNTERS: usize = SCRATCH;
const COUNTERS_BYTES: usize = 256 * 4;

/** True when the bytes of one sample are spread as evenly as compressed data's. */
function isUniform(from: usize, length: usize): bool {
  memory.fill(COUNTERS, 0, COUNTERS_BYTES);
  const end = from + length;
  for (let at = from; at < end; at++) {
    const counter = COUNTERS + (load<u8>(at) as usize) * 4;
    store<u32>(counter, load<u32>(counter) + 1);
  }
  let squares: u32 = 0;
  for (let counter = COUNTERS; counter < COUNTERS + COUNTERS_BYTES; counter += 4) {
    const count = load<u32>(counter);
    squares += count * count;
  }
  // Chi-square against the uniform distribution, times the sample's length to stay with integers.
  const n = length as i64;
  return 256 * (squares as i64) - n * n <= n * (391 + n / 5);
}

/** True when compressing the `length` bytes at `pointer` is not worth the time. */
export function looksIncompressible(pointer: usize, length: usize): bool {
  if (length < BYTES_MIN) return false;
  if (length <= 3 * SAMPLE_BYTES) return isUniform(pointer, length);
  const middle = pointer + ((length - SAMPLE_BYTES) >> 1);
  return (
    isUniform(pointer, SAMPLE_BYTES) &&
    isUniform(middle, SAMPLE_BYTES) &&
    isUniform(pointer + length - SAMPLE_BYTES, SAMPLE_BYTES)
  );
}
