// Poly1305 (RFC 8439 §2.5) over memory, four blocks at once: each of the four lanes evaluates every
// fourth block with the key's fourth power, and the lanes are joined at the end. Numbers mod 2^130 - 5
// are five limbs of 26 bits. The twin in TypeScript is src/restic/poly1305.ts.

import { SCRATCH } from "./layout";

const LIMB: u64 = 0x3ffffff;
/** Bit 128, set above every whole block, as it stands in the highest limb. */
const HIGH_BIT: u32 = 1 << 24;

/** Powers of r, five u32 limbs each, in the order r^4, r^3, r^2, r: the lanes of the last step. */
const POWERS: usize = SCRATCH;
/** The last, partial block, padded. */
const TAIL: usize = SCRATCH + 0x80;
/** A number of five u32 limbs. */
const SUM: usize = SCRATCH + 0xa0;

function power(exponent: usize, limb: usize): u64 {
  return load<u32>(POWERS + limb * 16 + (4 - exponent) * 4);
}

function setPower(exponent: usize, limb: usize, value: u64): void {
  store<u32>(POWERS + limb * 16 + (4 - exponent) * 4, value as u32);
}

/** SUM = SUM · r^exponent. */
function multiplySum(exponent: usize): void {
  const r0 = power(exponent, 0);
  const r1 = power(exponent, 1);
  const r2 = power(exponent, 2);
  const r3 = power(exponent, 3);
  const r4 = power(exponent, 4);
  const h0: u64 = load<u32>(SUM);
  const h1: u64 = load<u32>(SUM, 4);
  const h2: u64 = load<u32>(SUM, 8);
  const h3: u64 = load<u32>(SUM, 12);
  const h4: u64 = load<u32>(SUM, 16);
  let d0 = h0 * r0 + 5 * (h1 * r4 + h2 * r3 + h3 * r2 + h4 * r1);
  let d1 = h0 * r1 + h1 * r0 + 5 * (h2 * r4 + h3 * r3 + h4 * r2);
  let d2 = h0 * r2 + h1 * r1 + h2 * r0 + 5 * (h3 * r4 + h4 * r3);
  let d3 = h0 * r3 + h1 * r2 + h2 * r1 + h3 * r0 + 5 * (h4 * r4);
  let d4 = h0 * r4 + h1 * r3 + h2 * r2 + h3 * r1 + h4 * r0;
  d1 += d0 >> 26;
  d2 += d1 >> 26;
  d3 += d2 >> 26;
  d4 += d3 >> 26;
  d0 = (d0 & LIMB) + 5 * (d4 >> 26);
  d1 = (d1 & LIMB) + (d0 >> 26);
  store<u32>(SUM, (d0 & LIMB) as u32);
  store<u32>(SUM, d1 as u32, 4);
  store<u32>(SUM, (d2 & LIMB) as u32, 8);
  store<u32>(SUM, (d3 & LIMB) as u32, 12);
  store<u32>(SUM, (d4 & LIMB) as u32, 16);
}

/** SUM += the 16 bytes at `block`, with `highBit` above them. */
function addBlock(block: usize, highBit: u32): void {
  const low = load<u64>(block);
  const high = load<u64>(block, 8);
  store<u32>(SUM, load<u32>(SUM) + ((low & LIMB) as u32));
  store<u32>(SUM, load<u32>(SUM, 4) + (((low >> 26) & LIMB) as u32), 4);
  store<u32>(SUM, load<u32>(SUM, 8) + ((((low >> 52) | (high << 12)) & LIMB) as u32), 8);
  store<u32>(SUM, load<u32>(SUM, 12) + (((high >> 14) & LIMB) as u32), 12);
  store<u32>(SUM, load<u32>(SUM, 16) + (((high >> 40) as u32) | highBit), 16);
}

/** Clamps r and fills POWERS. */
function initPowers(key: usize): void {
  const low = load<u64>(key) & 0x0ffffffc0fffffff;
  const high = load<u64>(key, 8) & 0x0ffffffc0ffffffc;
  setPower(1, 0, low & LIMB);
  setPower(1, 1, (low >> 26) & LIMB);
  setPower(1, 2, ((low >> 52) | (high << 12)) & LIMB);
  setPower(1, 3, (high >> 14) & LIMB);
  setPower(1, 4, high >> 40);
  for (let limb: usize = 0; limb < 5; limb++) store<u32>(SUM + limb * 4, power(1, limb) as u32);
  for (let exponent: usize = 2; exponent <= 4; exponent++) {
    multiplySum(1);
    for (let limb: usize = 0; limb < 5; limb++) {
      setPower(exponent, limb, load<u32>(SUM + limb * 4));
    }
  }
}

function low(a: v128, b: v128): v128 {
  return i64x2.extmul_low_i32x4_u(a, b);
}

function high(a: v128, b: v128): v128 {
  return i64x2.extmul_high_i32x4_u(a, b);
}

function add5(a: v128, b: v128, c: v128, d: v128, e: v128): v128 {
  return i64x2.add(i64x2.add(i64x2.add(a, b), i64x2.add(c, d)), e);
}

/** The low halves of the 64-bit lanes of `a` and `b`, cut to limbs. */
function join(a: v128, b: v128): v128 {
  const limbs = v128.shuffle<i32>(a, b, 0, 2, 4, 6);
  return v128.and(limbs, i32x4.splat(LIMB as i32));
}

/** SUM = the blocks of `length` bytes (a multiple of 64, at least 64), the lanes joined. */
function sumLanes(from: usize, length: usize): void {
  const mask = i64x2.splat(LIMB);
  const mask32 = i32x4.splat(LIMB as i32);
  const bit = i32x4.splat(HIGH_BIT);
  let r0 = v128.load32_splat(POWERS);
  let r1 = v128.load32_splat(POWERS, 16);
  let r2 = v128.load32_splat(POWERS, 32);
  let r3 = v128.load32_splat(POWERS, 48);
  let r4 = v128.load32_splat(POWERS, 64);
  let s1 = i32x4.add(r1, i32x4.shl(r1, 2));
  let s2 = i32x4.add(r2, i32x4.shl(r2, 2));
  let s3 = i32x4.add(r3, i32x4.shl(r3, 2));
  let s4 = i32x4.add(r4, i32x4.shl(r4, 2));
  let h0 = i32x4.splat(0);
  let h1 = i32x4.splat(0);
  let h2 = i32x4.splat(0);
  let h3 = i32x4.splat(0);
  let h4 = i32x4.splat(0);
  const last = from + length - 64;
  for (let at = from; ; at += 64) {
    // Transpose four blocks into their four 32-bit words.
    const b0 = v128.load(at);
    const b1 = v128.load(at, 16);
    const b2 = v128.load(at, 32);
    const b3 = v128.load(at, 48);
    const t0 = v128.shuffle<i32>(b0, b1, 0, 4, 1, 5);
    const t1 = v128.shuffle<i32>(b2, b3, 0, 4, 1, 5);
    const t2 = v128.shuffle<i32>(b0, b1, 2, 6, 3, 7);
    const t3 = v128.shuffle<i32>(b2, b3, 2, 6, 3, 7);
    const w0 = v128.shuffle<i64>(t0, t1, 0, 2);
    const w1 = v128.shuffle<i64>(t0, t1, 1, 3);
    const w2 = v128.shuffle<i64>(t2, t3, 0, 2);
    const w3 = v128.shuffle<i64>(t2, t3, 1, 3);
    h0 = i32x4.add(h0, v128.and(w0, mask32));
    h1 = i32x4.add(h1, v128.and(v128.or(i32x4.shr_u(w0, 26), i32x4.shl(w1, 6)), mask32));
    h2 = i32x4.add(h2, v128.and(v128.or(i32x4.shr_u(w1, 20), i32x4.shl(w2, 12)), mask32));
    h3 = i32x4.add(h3, v128.and(v128.or(i32x4.shr_u(w2, 14), i32x4.shl(w3, 18)), mask32));
    h4 = i32x4.add(h4, v128.or(i32x4.shr_u(w3, 8), bit));
    if (at == last) {
      // The first lane's blocks are the earliest: they take r^4, the last lane's take r.
      r0 = v128.load(POWERS);
      r1 = v128.load(POWERS, 16);
      r2 = v128.load(POWERS, 32);
      r3 = v128.load(POWERS, 48);
      r4 = v128.load(POWERS, 64);
      s1 = i32x4.add(r1, i32x4.shl(r1, 2));
      s2 = i32x4.add(r2, i32x4.shl(r2, 2));
      s3 = i32x4.add(r3, i32x4.shl(r3, 2));
      s4 = i32x4.add(r4, i32x4.shl(r4, 2));
    }
    let a0 = add5(low(h0, r0), low(h1, s4), low(h2, s3), low(h3, s2), low(h4, s1));
    let c0 = add5(high(h0, r0), high(h1, s4), high(h2, s3), high(h3, s2), high(h4, s1));
    let a1 = add5(low(h0, r1), low(h1, r0), low(h2, s4), low(h3, s3), low(h4, s2));
    let c1 = add5(high(h0, r1), high(h1, r0), high(h2, s4), high(h3, s3), high(h4, s2));
    let a2 = add5(low(h0, r2), low(h1, r1), low(h2, r0), low(h3, s4), low(h4, s3));
    let c2 = add5(high(h0, r2), high(h1, r1), high(h2, r0), high(h3, s4), high(h4, s3));
    let a3 = add5(low(h0, r3), low(h1, r2), low(h2, r1), low(h3, r0), low(h4, s4));
    let c3 = add5(high(h0, r3), high(h1, r2), high(h2, r1), high(h3, r0), high(h4, s4));
    let a4 = add5(low(h0, r4), low(h1, r3), low(h2, r2), low(h3, r1), low(h4, r0));
    let c4 = add5(high(h0, r4), high(h1, r3), high(h2, r2), high(h3, r1), high(h4, r0));
    a1 = i64x2.add(a1, i64x2.shr_u(a0, 26));
    c1 = i64x2.add(c1, i64x2.shr_u(c0, 26));
    a4 = i64x2.add(a4, i64x2.shr_u(a3, 26));
    c4 = i64x2.add(c4, i64x2.shr_u(c3, 26));
    a2 = i64x2.add(a2, i64x2.shr_u(a1, 26));
    c2 = i64x2.add(c2, i64x2.shr_u(c1, 26));
    const ta = i64x2.shr_u(a4, 26);
    const tc = i64x2.shr_u(c4, 26);
    a0 = i64x2.add(v128.and(a0, mask), i64x2.add(ta, i64x2.shl(ta, 2)));
    c0 = i64x2.add(v128.and(c0, mask), i64x2.add(tc, i64x2.shl(tc, 2)));
    a3 = i64x2.add(v128.and(a3, mask), i64x2.shr_u(a2, 26));
    c3 = i64x2.add(v128.and(c3, mask), i64x2.shr_u(c2, 26));
    a1 = i64x2.add(v128.and(a1, mask), i64x2.shr_u(a0, 26));
    c1 = i64x2.add(v128.and(c1, mask), i64x2.shr_u(c0, 26));
    a4 = i64x2.add(v128.and(a4, mask), i64x2.shr_u(a3, 26));
    c4 = i64x2.add(v128.and(c4, mask), i64x2.shr_u(c3, 26));
    h0 = join(a0, c0);
    h1 = v128.shuffle<i32>(a1, c1, 0, 2, 4, 6);
    h2 = join(a2, c2);
    h3 = join(a3, c3);
    h4 = v128.shuffle<i32>(a4, c4, 0, 2, 4, 6);
    if (at == last) break;
  }
  storeLanes(0, h0);
  storeLanes(4, h1);
  storeLanes(8, h2);
  storeLanes(12, h3);
  storeLanes(16, h4);
}

/** One limb of SUM = the sum of the lanes (below 2^29, which the next multiplication takes). */
function storeLanes(offset: usize, lanes: v128): void {
  const pairs = i32x4.add(lanes, v128.shuffle<i32>(lanes, lanes, 2, 3, 0, 1));
  const sum = i32x4.add(pairs, v128.shuffle<i32>(pairs, pairs, 1, 0, 3, 2));
  store<i32>(SUM + offset, i32x4.extract_lane(sum, 0));
}

/** tag = (SUM mod 2^130 - 5) + s mod 2^128. */
function finish(key: usize, tag: usize): void {
  let h0: u64 = load<u32>(SUM);
  let h1: u64 = load<u32>(SUM, 4);
  let h2: u64 = load<u32>(SUM, 8);
  let h3: u64 = load<u32>(SUM, 12);
  let h4: u64 = load<u32>(SUM, 16);
  // Two rounds leave every limb below 2^26: the first may carry out of the top and back into the lowest.
  for (let round = 0; round < 2; round++) {
    h1 += h0 >> 26;
    h2 += h1 >> 26;
    h3 += h2 >> 26;
    h4 += h3 >> 26;
    const over = 5 * (h4 >> 26);
    h0 = (h0 & LIMB) + over;
    h1 &= LIMB;
    h2 &= LIMB;
    h3 &= LIMB;
    h4 &= LIMB;
  }
  // h + 5 reaches 2^130 exactly when h is not reduced yet.
  let g0 = h0 + 5;
  let g1 = h1 + (g0 >> 26);
  let g2 = h2 + (g1 >> 26);
  let g3 = h3 + (g2 >> 26);
  let g4 = h4 + (g3 >> 26);
  const reduced: u64 = 0 - (g4 >> 26);
  h0 = (h0 & ~reduced) | (g0 & LIMB & reduced);
  h1 = (h1 & ~reduced) | (g1 & LIMB & reduced);
  h2 = (h2 & ~reduced) | (g2 & LIMB & reduced);
  h3 = (h3 & ~reduced) | (g3 & LIMB & reduced);
  h4 = (h4 & ~reduced) | (g4 & LIMB & reduced);
  const lowWord = h0 | (h1 << 26) | (h2 << 52);
  const highWord = (h2 >> 12) | (h3 << 14) | (h4 << 40);
  const lowSum = lowWord + load<u64>(key, 16);
  const carry: u64 = lowSum < lowWord ? 1 : 0;
  store<u64>(tag, lowSum);
  store<u64>(tag, highWord + load<u64>(key, 24) + carry, 8);
}

/**
 * Writes the 16-byte tag of `length` bytes at `message` to `tag`. `key` is 32 bytes r ‖ s; r may be
 * raw, it is clamped here. Any alignment; `tag` must not overlap the message or the key.
 */
export function poly1305(message: usize, length: usize, key: usize, tag: usize): void {
  initPowers(key);
  memory.fill(SUM, 0, 20);
  const bulk = length & ~63;
  if (bulk != 0) sumLanes(message, bulk);
  let at = message + bulk;
  const blocks = message + (length & ~15);
  for (; at < blocks; at += 16) {
    addBlock(at, HIGH_BIT);
    multiplySum(1);
  }
  const rest = length & 15;
  if (rest != 0) {
    memory.fill(TAIL, 0, 16);
    memory.copy(TAIL, at, rest);
    store<u8>(TAIL + rest, 1);
    addBlock(TAIL, 0);
    multiplySum(1);
  }
  finish(key, tag);
}
