// The memory-hard part of scrypt (RFC 7914 §3 to §5) for two independent blocks at once: one chain of Salsa20/8 waits for its
// own additions most of the time, a second one fills the gaps. Words of a 64-byte block stand in the order of their diagonals,
// so that a quarter round of all four columns is one operation on vectors.
//
// Of the table V (§5) every second entry is kept; the others are computed anew when they are needed, which half of the steps
// do. So two lanes take the memory of one, and a quarter more time.

import { SCRATCH } from "./layout";

/** Bytes of a Salsa20/8 block. */
const BLOCK: usize = 64;

/** Words of a diagonal order in the order of RFC 7914: 4·k+lane -> 0,5,10,15, 4,9,14,3, 8,13,2,7, 12,1,6,11. */
function diagonal(place: usize): usize {
  const lane = place & 3;
  return (((place & 12) + 4 * lane) & 12) + lane;
}

/** Copies `length` bytes from `from` to `to`, each 64 of them from the order of RFC 7914 into diagonals. */
function toDiagonals(from: usize, to: usize, length: usize): void {
  for (let at: usize = 0; at < length; at += BLOCK) {
    for (let place: usize = 0; place < 16; place++) {
      store<u32>(to + at + 4 * place, load<u32>(from + at + 4 * diagonal(place)));
    }
  }
}

/** The reverse of toDiagonals. */
function fromDiagonals(from: usize, to: usize, length: usize): void {
  for (let at: usize = 0; at < length; at += BLOCK) {
    for (let place: usize = 0; place < 16; place++) {
      store<u32>(to + at + 4 * diagonal(place), load<u32>(from + at + 4 * place));
    }
  }
}

function turn(target: v128, sum: v128, bits: i32): v128 {
  return v128.xor(v128.xor(target, i32x4.shl(sum, bits)), i32x4.shr_u(sum, 32 - bits));
}

function left(x: v128): v128 {
  return v128.shuffle<u32>(x, x, 1, 2, 3, 0);
}

function half(x: v128): v128 {
  return v128.shuffle<u32>(x, x, 2, 3, 0, 1);
}

function right(x: v128): v128 {
  return v128.shuffle<u32>(x, x, 3, 0, 1, 2);
}

/**
 * scryptBlockMix (§4) of `from` XOR `also` into `to`, which is neither of them; and the same for a second chain. `length`:
 * 128·r bytes.
 */
function blockMix(
  from: usize,
  also: usize,
  to: usize,
  from2: usize,
  also2: usize,
  to2: usize,
  length: usize,
): void {
  const last = length - BLOCK;
  let a0 = v128.load(from + last);
  let a1 = v128.load(from + last, 16);
  let a2 = v128.load(from + last, 32);
  let a3 = v128.load(from + last, 48);
  let b0 = v128.load(from2 + last);
  let b1 = v128.load(from2 + last, 16);
  let b2 = v128.load(from2 + last, 32);
  let b3 = v128.load(from2 + last, 48);
  a0 = v128.xor(a0, v128.load(also + last));
  a1 = v128.xor(a1, v128.load(also + last, 16));
  a2 = v128.xor(a2, v128.load(also + last, 32));
  a3 = v128.xor(a3, v128.load(also + last, 48));
  b0 = v128.xor(b0, v128.load(also2 + last));
  b1 = v128.xor(b1, v128.load(also2 + last, 16));
  b2 = v128.xor(b2, v128.load(also2 + last, 32));
  b3 = v128.xor(b3, v128.load(also2 + last, 48));
  for (let at: usize = 0; at < length; at += BLOCK) {
    a0 = v128.xor(a0, v128.load(from + at));
    a1 = v128.xor(a1, v128.load(from + at, 16));
    a2 = v128.xor(a2, v128.load(from + at, 32));
    a3 = v128.xor(a3, v128.load(from + at, 48));
    b0 = v128.xor(b0, v128.load(from2 + at));
    b1 = v128.xor(b1, v128.load(from2 + at, 16));
    b2 = v128.xor(b2, v128.load(from2 + at, 32));
    b3 = v128.xor(b3, v128.load(from2 + at, 48));
    a0 = v128.xor(a0, v128.load(also + at));
    a1 = v128.xor(a1, v128.load(also + at, 16));
    a2 = v128.xor(a2, v128.load(also + at, 32));
    a3 = v128.xor(a3, v128.load(also + at, 48));
    b0 = v128.xor(b0, v128.load(also2 + at));
    b1 = v128.xor(b1, v128.load(also2 + at, 16));
    b2 = v128.xor(b2, v128.load(also2 + at, 32));
    b3 = v128.xor(b3, v128.load(also2 + at, 48));
    // Even blocks into the first half, odd ones into the second (§4, step 3).
    const place = ((at >> 1) & ~(BLOCK - 1)) + (at & BLOCK ? length >> 1 : 0);
    const out = to + place;
    const out2 = to2 + place;
    v128.store(out, a0);
    v128.store(out, a1, 16);
    v128.store(out, a2, 32);
    v128.store(out, a3, 48);
    v128.store(out2, b0);
    v128.store(out2, b1, 16);
    v128.store(out2, b2, 32);
    v128.store(out2, b3, 48);
    for (let round = 0; round < 4; round++) {
      a1 = turn(a1, i32x4.add(a0, a3), 7);
      b1 = turn(b1, i32x4.add(b0, b3), 7);
      a2 = turn(a2, i32x4.add(a1, a0), 9);
      b2 = turn(b2, i32x4.add(b1, b0), 9);
      a3 = turn(a3, i32x4.add(a2, a1), 13);
      b3 = turn(b3, i32x4.add(b2, b1), 13);
      a0 = turn(a0, i32x4.add(a3, a2), 18);
      b0 = turn(b0, i32x4.add(b3, b2), 18);
      a1 = right(a1);
      b1 = right(b1);
      a2 = half(a2);
      b2 = half(b2);
      a3 = left(a3);
      b3 = left(b3);
      a3 = turn(a3, i32x4.add(a0, a1), 7);
      b3 = turn(b3, i32x4.add(b0, b1), 7);
      a2 = turn(a2, i32x4.add(a3, a0), 9);
      b2 = turn(b2, i32x4.add(b3, b0), 9);
      a1 = turn(a1, i32x4.add(a2, a3), 13);
      b1 = turn(b1, i32x4.add(b2, b3), 13);
      a0 = turn(a0, i32x4.add(a1, a2), 18);
      b0 = turn(b0, i32x4.add(b1, b2), 18);
      a1 = left(a1);
      b1 = left(b1);
      a2 = half(a2);
      b2 = half(b2);
      a3 = right(a3);
      b3 = right(b3);
    }
    a0 = i32x4.add(a0, v128.load(out));
    a1 = i32x4.add(a1, v128.load(out, 16));
    a2 = i32x4.add(a2, v128.load(out, 32));
    a3 = i32x4.add(a3, v128.load(out, 48));
    b0 = i32x4.add(b0, v128.load(out2));
    b1 = i32x4.add(b1, v128.load(out2, 16));
    b2 = i32x4.add(b2, v128.load(out2, 32));
    b3 = i32x4.add(b3, v128.load(out2, 48));
    v128.store(out, a0);
    v128.store(out, a1, 16);
    v128.store(out, a2, 32);
    v128.store(out, a3, 48);
    v128.store(out2, b0);
    v128.store(out2, b1, 16);
    v128.store(out2, b2, 32);
    v128.store(out2, b3, 48);
  }
}

// A chain's state in memory, unsigned numbers of 32 bits.
/** Where its entries 0, 2, 4, … of V are. */
const TABLE: usize = 0;
const X: usize = 4;
const Y: usize = 8;
/** Where an odd entry is computed anew. */
const ODD: usize = 12;
/** Steps that are left. */
const LEFT: usize = 16;
/** Whether the odd entry that the next step needs has been computed. */
const READY: usize = 20;
/** What blockMix is to do next. */
const FROM: usize = 24;
const ALSO: usize = 28;
const TO: usize = 32;
const CHAIN_BYTES: usize = 64;

function get(chain: usize, field: usize): usize {
  return load<u32>(chain + field) as usize;
}

function set(chain: usize, field: usize, value: usize): void {
  store<u32>(chain + field, value as u32);
}

/** Zeros, for what is not XORed with anything. */
function clear(at: usize, length: usize): void {
  for (let end = at + length; at < end; at += 8) store<u64>(at, 0);
}

/** Decides what blockMix does next for a chain; one that is done does it for nothing. */
function plan(chain: usize, n: u32, length: usize, zeros: usize): void {
  const x = get(chain, X);
  // Integerify reads the first word of the last 64 bytes, which is the first in either order.
  const j = load<u32>(x + length - BLOCK) & (n - 1);
  const even = get(chain, TABLE) + ((j >> 1) as usize) * length;
  const lacks = (j & 1) !== 0 && get(chain, READY) === 0;
  const isIdle = lacks || get(chain, LEFT) === 0;
  set(chain, FROM, isIdle ? even : x);
  set(chain, ALSO, isIdle ? zeros : (j & 1) !== 0 ? get(chain, ODD) : even);
  set(chain, TO, isIdle ? get(chain, ODD) : get(chain, Y));
}

/** Takes note of what blockMix did. */
function advance(chain: usize): void {
  if (get(chain, LEFT) === 0) return;
  const to = get(chain, TO);
  const isStep = to !== get(chain, ODD);
  set(chain, READY, isStep ? 0 : 1);
  if (!isStep) return;
  set(chain, Y, get(chain, X));
  set(chain, X, to);
  set(chain, LEFT, get(chain, LEFT) - 1);
}

/**
 * scryptROMix (§5) of the two blocks of `length` = 128·r bytes that follow each other at `blocks`, in place. At `memory`
 * (n + 7)·length bytes are overwritten. n: a power of two, at least 2.
 */
export function romixPair(blocks: usize, memory: usize, n: u32, length: usize): void {
  const half = ((n >> 1) as usize) * length;
  const zeros = memory + 2 * half;
  clear(zeros, length);
  const a = SCRATCH;
  const b = SCRATCH + CHAIN_BYTES;
  for (let i: usize = 0; i < 2; i++) {
    const chain = a + i * CHAIN_BYTES;
    const table = memory + i * half;
    const own = zeros + length + i * 3 * length;
    set(chain, TABLE, table);
    set(chain, X, own);
    set(chain, Y, own + length);
    set(chain, ODD, own + 2 * length);
    set(chain, LEFT, n as usize);
    set(chain, READY, 0);
    toDiagonals(blocks + i * length, table, length);
  }
  const odd = get(a, ODD);
  const odd2 = get(b, ODD);
  for (let at: usize = 0; at < half; at += length) {
    const even = memory + at;
    blockMix(even, zeros, odd, even + half, zeros, odd2, length);
    const isLast = at + length === half;
    const to = isLast ? get(a, X) : even + length;
    const to2 = isLast ? get(b, X) : even + half + length;
    blockMix(odd, zeros, to, odd2, zeros, to2, length);
  }
  while (get(a, LEFT) !== 0 || get(b, LEFT) !== 0) {
    plan(a, n, length, zeros);
    plan(b, n, length, zeros);
    blockMix(
      get(a, FROM),
      get(a, ALSO),
      get(a, TO),
      get(b, FROM),
      get(b, ALSO),
      get(b, TO),
      length,
    );
    advance(a);
    advance(b);
  }
  fromDiagonals(get(a, X), blocks, length);
  fromDiagonals(get(b, X), blocks + length, length);
}
