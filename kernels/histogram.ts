// Tells data that will not compress (already compressed, encrypted, random) by its byte histogram, so
// that no time is spent on compressing it. docs/decisions/kernels.md derives the limits. A wrong answer
// costs time or space, never correctness.

import { SCRATCH } from "./layout";

/** Shorter data cannot be told apart, and costs little to compress. */
const BYTES_MIN: usize = 1024;
/** The samples of longer data: its beginning, middle and end. */
const SAMPLE_BYTES: usize = 2048;

/** Counters of 256 values, u32 each: of one sample, and of all. */
const COUNTERS: usize = SCRATCH;
const TOTALS: usize = SCRATCH + 1024;
const COUNTERS_BYTES: usize = 1024;

/** Chi-square of 256 uniform values: 255 expected, and six standard deviations of 22.6 above. */
const CHANCE: u32 = 391;

function count(byte: usize): void {
  const counter = COUNTERS + byte * 4;
  store<u32>(counter, load<u32>(counter) + 1);
}

/** Counts a sample, adds it to the totals; returns the sum of its squared counts. */
function countSample(from: usize, length: usize): u32 {
  memory.fill(COUNTERS, 0, COUNTERS_BYTES);
  const end = from + length;
  let at = from;
  for (; at + 4 <= end; at += 4) {
    const bytes = load<u32>(at);
    count(bytes & 255);
    count((bytes >> 8) & 255);
    count((bytes >> 16) & 255);
    count(bytes >> 24);
  }
  for (; at < end; at++) count(load<u8>(at));
  let squares = i32x4.splat(0);
  for (let offset: usize = 0; offset < COUNTERS_BYTES; offset += 16) {
    const counts = v128.load(COUNTERS + offset);
    squares = i32x4.add(squares, i32x4.mul(counts, counts));
    v128.store(TOTALS + offset, i32x4.add(v128.load(TOTALS + offset), counts));
  }
  return sumLanes(squares);
}

function sumLanes(lanes: v128): u32 {
  return (
    i32x4.extract_lane(lanes, 0) +
    i32x4.extract_lane(lanes, 1) +
    i32x4.extract_lane(lanes, 2) +
    i32x4.extract_lane(lanes, 3)
  );
}

function sumTotals(): u32 {
  let squares = i32x4.splat(0);
  for (let offset: usize = 0; offset < COUNTERS_BYTES; offset += 16) {
    const counts = v128.load(TOTALS + offset);
    squares = i32x4.add(squares, i32x4.mul(counts, counts));
  }
  return sumLanes(squares);
}

/**
 * True when `length` values whose squared counts sum to `squares` are as good as uniform: their chi-square,
 * 256 · squares / length - length, is within chance and `tenths` tenths of the length more.
 */
function isUniform(squares: u32, length: u32, tenths: u32): bool {
  return 256 * (squares as u64) <= (length as u64) * (length + CHANCE + (length * tenths) / 10);
}

function isUniformSample(from: usize): bool {
  return isUniform(countSample(from, SAMPLE_BYTES), SAMPLE_BYTES, 5);
}

/** True when compressing the `length` bytes at `pointer` is not worth the time. */
export function looksIncompressible(pointer: usize, length: usize): bool {
  if (length < BYTES_MIN) return false;
  memory.fill(TOTALS, 0, COUNTERS_BYTES);
  if (length <= 3 * SAMPLE_BYTES) return isUniform(countSample(pointer, length), length, 2);
  return (
    isUniformSample(pointer) &&
    isUniformSample(pointer + ((length - SAMPLE_BYTES) >> 1)) &&
    isUniformSample(pointer + length - SAMPLE_BYTES) &&
    isUniform(sumTotals(), 3 * SAMPLE_BYTES, 2)
  );
}
