// Rabin content-defined chunking as restic does it (docs/formats/restic.md#chunker). The twin in
// TypeScript is src/restic/chunker.ts; both must cut at exactly the same places, or deduplication
// against existing repositories is lost.

import { MOD_TABLE, OUT_TABLE } from "./layout";
import { LANES, scanLanes, setNibble, setReduction } from "./rabin-lanes";

const WINDOW: i32 = 64;
const MIN_BYTES: usize = 512 * 1024;
const MAX_BYTES: usize = 8 * 1024 * 1024;
const CUT_MASK: u64 = (1 << 20) - 1;
const DEGREE: u64 = 53;
const INDEX_SHIFT: u64 = DEGREE - 8;
/** Each lane reads a window of its own first, so shorter stretches are not worth dividing. */
const LANE_BYTES_MIN: usize = 256;
/**
 * Longer ones waste more when a cut comes early. An odd multiple of 64, so that sixteen lanes do not
 * fall into the same sets of the processor's cache.
 */
const LANE_BYTES_MAX: usize = 45 * 64;

/** value · x^count mod polynomial, for a value below x^53. */
function timesPower(value: u64, count: i32, polynomial: u64): u64 {
  for (let i = 0; i < count; i++) {
    value <<= 1;
    if (value >> DEGREE != 0) value ^= polynomial;
  }
  return value;
}

/** Fills the tables for a polynomial of degree 53. Must run before the first findCut. */
export function initChunker(polynomial: u64): void {
  for (let byte: usize = 0; byte < 256; byte++) {
    const value = byte as u64;
    store<u64>(OUT_TABLE + byte * 8, timesPower(value, 8 * (WINDOW - 1), polynomial));
    const reduced = timesPower(value, DEGREE as i32, polynomial);
    store<u64>(MOD_TABLE + byte * 8, reduced | (value << DEGREE));
  }
  for (let nibble: usize = 0; nibble < 16; nibble++) {
    const value = nibble as u64;
    setNibble(0, nibble, timesPower(value, 56, polynomial));
    setNibble(1, nibble, timesPower(value, 60, polynomial));
    setNibble(2, nibble, timesPower(value, 8 * WINDOW, polynomial));
    setNibble(3, nibble, timesPower(value, 8 * WINDOW + 4, polynomial));
    setReduction(nibble, timesPower(value >> 1, DEGREE as i32, polynomial));
  }
}

function append(digest: u64, byte: u64): u64 {
  return ((digest << 8) | byte) ^ load<u64>(MOD_TABLE + ((digest >> INDEX_SHIFT) as usize) * 8);
}

/** Digest of the WINDOW bytes before `end`. */
function prime(end: usize): u64 {
  let digest: u64 = 0;
  for (let at = end - WINDOW; at < end; at++) digest = append(digest, load<u8>(at));
  return digest;
}

/** First address in (from, end] after which the content says cut, or 0. The window precedes `from`. */
function scan(from: usize, end: usize): usize {
  while (end - from >= LANES * LANE_BYTES_MIN) {
    const laneBytes = min(LANE_BYTES_MAX, ((end - from) / LANES) & ~15);
    const cut = scanLanes(from, laneBytes);
    if (cut != i32.MAX_VALUE) return from + cut;
    from += LANES * laneBytes;
  }
  return scanOne(from, end);
}

/** The same for a stretch too short for sixteen lanes. */
function scanOne(from: usize, end: usize): usize {
  let digest = prime(from);
  for (let at = from; at < end; at++) {
    digest ^= load<u64>(OUT_TABLE + (load<u8>(at - WINDOW) as usize) * 8);
    digest = append(digest, load<u8>(at));
    if ((digest & CUT_MASK) == 0) return at + 1;
  }
  return 0;
}

/**
 * Length of the chunk that begins at `start`, or -1 when its end is not among the `available` bytes.
 * The first `scanned` of them are known to hold no cut. No state is kept between calls: the digest
 * depends on the last 64 bytes only.
 */
export function findCut(start: usize, scanned: usize, available: usize): i32 {
  const from = max(scanned, MIN_BYTES - 1);
  const end = min(available, MAX_BYTES);
  if (from >= end) return available >= MAX_BYTES ? (MAX_BYTES as i32) : -1;
  const cut = scan(start + from, start + end);
  if (cut != 0) return (cut - start) as i32;
  return end == MAX_BYTES ? (MAX_BYTES as i32) : -1;
}
