// The memory-hard part of scrypt (RFC 7914 §3 to §5) for two independent blocks at once: one chain of Salsa20/8 waits for its
// own additions most of the time, a second one fills the gaps. Words of a 64-byte block stand in the order of their diagonals,
// so that a quarter round of all four columns is one operation on vectors.

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
 * scryptBlockMix (§4) of `from`, XOR `also` where that is not `from` itself, into `to`; and the same for a second chain. `to`
 * may be neither of the others. `length`: 128·r bytes.
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
  const mixes = also !== from;
  if (mixes) {
    a0 = v128.xor(a0, v128.load(also + last));
    a1 = v128.xor(a1, v128.load(also + last, 16));
    a2 = v128.xor(a2, v128.load(also + last, 32));
    a3 = v128.xor(a3, v128.load(also + last, 48));
    b0 = v128.xor(b0, v128.load(also2 + last));
    b1 = v128.xor(b1, v128.load(also2 + last, 16));
    b2 = v128.xor(b2, v128.load(also2 + last, 32));
    b3 = v128.xor(b3, v128.load(also2 + last, 48));
  }
  for (let at: usize = 0; at < length; at += BLOCK) {
    a0 = v128.xor(a0, v128.load(from + at));
    a1 = v128.xor(a1, v128.load(from + at, 16));
    a2 = v128.xor(a2, v128.load(from + at, 32));
    a3 = v128.xor(a3, v128.load(from + at, 48));
    b0 = v128.xor(b0, v128.load(from2 + at));
    b1 = v128.xor(b1, v128.load(from2 + at, 16));
    b2 = v128.xor(b2, v128.load(from2 + at, 32));
    b3 = v128.xor(b3, v128.load(from2 + at, 48));
    if (mixes) {
      a0 = v128.xor(a0, v128.load(also + at));
      a1 = v128.xor(a1, v128.load(also + at, 16));
      a2 = v128.xor(a2, v128.load(also + at, 32));
      a3 = v128.xor(a3, v128.load(also + at, 48));
      b0 = v128.xor(b0, v128.load(also2 + at));
      b1 = v128.xor(b1, v128.load(also2 + at, 16));
      b2 = v128.xor(b2, v128.load(also2 + at, 32));
      b3 = v128.xor(b3, v128.load(also2 + at, 48));
    }
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

/**
 * scryptROMix (§5) of the two blocks of `length` = 128·r bytes that follow each other at `blocks`, in place. At `memory`
 * 2·(n + 2)·length bytes are overwritten. n: a power of two, at most 2^31.
 */
export function romixPair(blocks: usize, memory: usize, n: u32, length: usize): void {
  const size = (n as usize) * length;
  const table = memory;
  const table2 = memory + size;
  let x = memory + 2 * size;
  let y = x + 2 * length;
  toDiagonals(blocks, table, length);
  toDiagonals(blocks + length, table2, length);
  for (let at: usize = length; at < size; at += length) {
    const from = table + at - length;
    const from2 = table2 + at - length;
    blockMix(from, from, table + at, from2, from2, table2 + at, length);
  }
  const end = table + size - length;
  const end2 = table2 + size - length;
  blockMix(end, end, x, end2, end2, x + length, length);
  // Integerify reads the first word of the last 64 bytes, which is the first in either order.
  const word = length - BLOCK;
  for (let i: u32 = 0; i < n; i++) {
    const j = (load<u32>(x + word) & (n - 1)) as usize;
    const j2 = (load<u32>(x + length + word) & (n - 1)) as usize;
    blockMix(x, table + j * length, y, x + length, table2 + j2 * length, y + length, length);
    const done = y;
    y = x;
    x = done;
  }
  fromDiagonals(x, blocks, length);
  fromDiagonals(x + length, blocks + length, length);
}
