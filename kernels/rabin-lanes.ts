// The chunker's digest at sixteen positions at once, one per SIMD lane: lane i scans the i-th of sixteen
// adjacent stretches. Multiplying by x^8 mod the polynomial is linear, so each byte of the product is an
// XOR of two table lookups per nibble of what leaves at the top; sixteen entries of a table are one
// register, sixteen lookups one swizzle.
//
// A digest is seven vectors, one per byte, kept below x^56 and not reduced to x^53 until it is tested.

import { NIBBLE_TABLES, SCRATCH } from "./layout";

export const LANES: usize = 16;
const WINDOW: usize = 64;
/** Positions every lane advances between two transpositions. */
const GROUP: usize = 16;
const GROUP_BYTES: usize = GROUP * LANES;

/** Transposed bytes: the group that enters and the four before it, of which the first leaves. */
const RING: usize = SCRATCH;
const RING_MASK: usize = 8 * GROUP_BYTES - 1;
/** The seven vectors between two groups. */
const DIGEST: usize = SCRATCH + 8 * GROUP_BYTES;
/** A group half transposed. */
const SPARE: usize = DIGEST + 7 * 16;

/** Per digest byte: lookups by the top byte's low and high nibble, then by the leaving byte's. */
const TABLES_PER_BYTE: usize = 4;
const REDUCTION: usize = NIBBLE_TABLES + 7 * TABLES_PER_BYTE * 16;

/** Splits table entry `nibble` of kind `kind`, a polynomial below x^53, over the digest's bytes. */
export function setNibble(kind: usize, nibble: usize, value: u64): void {
  for (let byte: usize = 0; byte < 7; byte++) {
    store<u8>(NIBBLE_TABLES + (byte * TABLES_PER_BYTE + kind) * 16 + nibble, value >> (8 * byte));
  }
}

/** What the three bits above x^53 add to the lowest three bytes; `nibble` holds the bits from x^52. */
export function setReduction(nibble: usize, value: u64): void {
  for (let byte: usize = 0; byte < 3; byte++) {
    store<u8>(REDUCTION + byte * 16 + nibble, value >> (8 * byte));
  }
}

function lookUp(table: usize, nibbles: v128): v128 {
  return i8x16.relaxed_swizzle(v128.load(table), nibbles);
}

/** The digest's byte number `byte` after one step; `shifted` is what the shift brings there. */
function mix(byte: usize, shifted: v128, t0: v128, t1: v128, l0: v128, l1: v128): v128 {
  const table = NIBBLE_TABLES + byte * TABLES_PER_BYTE * 16;
  const top = v128.xor(lookUp(table, t0), lookUp(table + 16, t1));
  const leaving = v128.xor(lookUp(table + 32, l0), lookUp(table + 48, l1));
  return v128.xor(shifted, v128.xor(top, leaving));
}

function interleaveLow(a: v128, b: v128): v128 {
  return i8x16.shuffle(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
}

function interleaveHigh(a: v128, b: v128): v128 {
  return i8x16.shuffle(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
}

/** Half of a transposition of a 16 × 16 matrix of bytes: interleaves rows i and i + 8, twice. */
function interleaveRows(from: usize, stride: usize, to: usize): void {
  for (let i: usize = 0; i < 4; i++) {
    const row0 = v128.load(from + i * stride);
    const row4 = v128.load(from + (i + 4) * stride);
    const row8 = v128.load(from + (i + 8) * stride);
    const row12 = v128.load(from + (i + 12) * stride);
    const even0 = interleaveLow(row0, row8);
    const even1 = interleaveLow(row4, row12);
    const odd0 = interleaveHigh(row0, row8);
    const odd1 = interleaveHigh(row4, row12);
    v128.store(to + i * 64, interleaveLow(even0, even1));
    v128.store(to + i * 64, interleaveHigh(even0, even1), 16);
    v128.store(to + i * 64, interleaveLow(odd0, odd1), 32);
    v128.store(to + i * 64, interleaveHigh(odd0, odd1), 48);
  }
}

/**
 * Advances all lanes by one group: slides in the transposed bytes at `entering`, slides out those at
 * `leaving`. Returns the least `lane · laneBytes + position` after which a lane may be cut, position
 * counting from `done` + 1, or `best` when none is less.
 */
function advance(entering: usize, leaving: usize, laneBytes: i32, done: i32, best: i32): i32 {
  const low = i8x16.splat(15);
  let d0 = v128.load(DIGEST);
  let d1 = v128.load(DIGEST, 16);
  let d2 = v128.load(DIGEST, 32);
  let d3 = v128.load(DIGEST, 48);
  let d4 = v128.load(DIGEST, 64);
  let d5 = v128.load(DIGEST, 80);
  let d6 = v128.load(DIGEST, 96);
  let t1 = i8x16.shr_u(d6, 4);
  for (let at: usize = 0; at < GROUP_BYTES; at += LANES) {
    const t0 = v128.and(d6, low);
    const out = v128.load(leaving + at);
    const l0 = v128.and(out, low);
    const l1 = i8x16.shr_u(out, 4);
    d6 = mix(6, d5, t0, t1, l0, l1);
    d5 = mix(5, d4, t0, t1, l0, l1);
    d4 = mix(4, d3, t0, t1, l0, l1);
    d3 = mix(3, d2, t0, t1, l0, l1);
    d2 = mix(2, d1, t0, t1, l0, l1);
    d1 = mix(1, d0, t0, t1, l0, l1);
    d0 = mix(0, v128.load(entering + at), t0, t1, l0, l1);
    t1 = i8x16.shr_u(d6, 4);
    const r0 = v128.xor(d0, lookUp(REDUCTION, t1));
    const r1 = v128.xor(d1, lookUp(REDUCTION + 16, t1));
    const zero16 = i8x16.eq(v128.or(r0, r1), i8x16.splat(0));
    if (v128.any_true(zero16)) {
      const r2 = v128.and(v128.xor(d2, lookUp(REDUCTION + 32, t1)), low);
      const zero20 = v128.and(zero16, i8x16.eq(r2, i8x16.splat(0)));
      const lanes = i8x16.bitmask(zero20);
      if (lanes != 0) best = min(best, ctz(lanes) * laneBytes + done + ((at / LANES) as i32) + 1);
    }
  }
  v128.store(DIGEST, d0);
  v128.store(DIGEST, d1, 16);
  v128.store(DIGEST, d2, 32);
  v128.store(DIGEST, d3, 48);
  v128.store(DIGEST, d4, 64);
  v128.store(DIGEST, d5, 80);
  v128.store(DIGEST, d6, 96);
  return best;
}

/**
 * The first place in the LANES · laneBytes bytes at `from` after which the content says cut, counted
 * from `from`, or i32.MAX_VALUE. `laneBytes` is a multiple of 16; the window precedes `from`.
 */
export function scanLanes(from: usize, laneBytes: usize): i32 {
  // Zero digest and nothing leaving until the window is full, as for a window of zeros.
  memory.fill(RING, 0, 8 * GROUP_BYTES + 7 * 16);
  let best = i32.MAX_VALUE;
  let slot: usize = 0;
  let at = from - WINDOW;
  for (let done: i32 = -(WINDOW as i32); done < (laneBytes as i32); done += GROUP as i32) {
    const entering = RING + slot;
    interleaveRows(at, laneBytes, SPARE);
    interleaveRows(SPARE, 16, entering);
    const leaving = RING + ((slot + 4 * GROUP_BYTES) & RING_MASK);
    const found = advance(entering, leaving, laneBytes as i32, done, best);
    if (done >= 0) {
      best = found;
      if (best <= (laneBytes as i32)) return best;
    }
    slot = (slot + GROUP_BYTES) & RING_MASK;
    at += GROUP;
  }
  return best;
}
