// Tells data that will not compress (already compressed, encrypted, random) by its byte histogram, so
// that no time is spent on compressing it. docs/decisions/kernels.md derives the limits. A wrong answer
// costs time or space, never correctness.

import { SCRATCH } from "./layout";

/** Shorter data cannot be told apart, and costs little to compress. */
const BYTES_MIN: usize = 1024;
/** The samples of longer data: its beginning, middle and end. */
const SAMPLE_BYTES: usize = 2048;

/** How these files begin, as little-endian numbers. */
const JPEG: u32 = 0xffd8ff;
const PNG: u32 = 0x474e5089;

/** Counters of 256 values, u32 each: of one sample, and of all. */
const COUNTERS: usize = SCRATCH;
const TOTALS: usize = SCRATCH + 1024;
const COUNTERS_BYTES: usize = 1024;

/** Chi-square of 256 uniform values: 255 expected, and six standard deviations of 22.6 above. */
const CHANCE: u32 = 391;

function count(byte: u32): void {
  const counter = COUNTERS + (byte as usize) * 4;
  store<u32>(counter, load<u32>(counter) + 1);
}

/** Counts the bytes of a sample. */
function countBytes(from: usize, length: usize): void {
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
}

/** Counts the differences of neighbouring bytes, which show ramps and smooth images for what they are. */
function countDifferences(from: usize, length: usize): void {
  let previous: u32 = load<u8>(from + length - 1);
  for (let at = from; at < from + length; at++) {
    const byte: u32 = load<u8>(at);
    count((byte - previous) & 255);
    previous = byte;
  }
}

/** Sum of the squares of `counters`. */
function sumSquares(counters: usize): u32 {
  let squares = i32x4.splat(0);
  for (let offset: usize = 0; offset < COUNTERS_BYTES; offset += 16) {
    const counts = v128.load(counters + offset);
    squares = i32x4.add(squares, i32x4.mul(counts, counts));
  }
  return (
    i32x4.extract_lane(squares, 0) +
    i32x4.extract_lane(squares, 1) +
    i32x4.extract_lane(squares, 2) +
    i32x4.extract_lane(squares, 3)
  );
}

/**
 * True when the `length` values counted in `counters` are as good as uniform: their chi-square,
 * 256 · squares / length - length, is within chance and `tenths` tenths of the length more.
 */
function isUniform(counters: usize, length: u32, tenths: u32): bool {
  const squares = sumSquares(counters) as u64;
  return 256 * squares <= (length as u64) * (length + CHANCE + (length * tenths) / 10);
}

function isUniformSample(from: usize): bool {
  memory.fill(COUNTERS, 0, COUNTERS_BYTES);
  countBytes(from, SAMPLE_BYTES);
  for (let offset: usize = 0; offset < COUNTERS_BYTES; offset += 16) {
    const sum = i32x4.add(v128.load(TOTALS + offset), v128.load(COUNTERS + offset));
    v128.store(TOTALS + offset, sum);
  }
  return isUniform(COUNTERS, SAMPLE_BYTES, 5);
}

function areUniformDifferences(from: usize, length: usize): bool {
  memory.fill(COUNTERS, 0, COUNTERS_BYTES);
  countDifferences(from, length);
  return isUniform(COUNTERS, length as u32, 5);
}

/** True for JPEG and PNG, whose headers hold tables, metadata and profiles: their beginning says little. */
function isImage(pointer: usize): bool {
  const signature = load<u32>(pointer);
  return (signature & 0xffffff) == JPEG || signature == PNG;
}

/** True when compressing the `length` bytes at `pointer` is not worth the time. */
export function looksIncompressible(pointer: usize, length: usize): bool {
  if (length < BYTES_MIN) return false;
  if (length <= 3 * SAMPLE_BYTES) {
    memory.fill(COUNTERS, 0, COUNTERS_BYTES);
    countBytes(pointer, length);
    return isUniform(COUNTERS, length as u32, 2) && areUniformDifferences(pointer, length);
  }
  memory.fill(TOTALS, 0, COUNTERS_BYTES);
  const middle = pointer + ((length - SAMPLE_BYTES) >> 1);
  let samples: u32 = 2;
  if (!isImage(pointer)) {
    if (!isUniformSample(pointer)) return false;
    samples = 3;
  }
  return (
    isUniformSample(middle) &&
    isUniformSample(pointer + length - SAMPLE_BYTES) &&
    isUniform(TOTALS, samples * (SAMPLE_BYTES as u32), 2) &&
    areUniformDifferences(middle, SAMPLE_BYTES)
  );
}
