// Poly1305 (RFC 8439 §2.5) in plain TypeScript, for cold paths and as the reference the WASM kernel is
// tested against. r is clamped here, as restic's keys may hold it raw (docs/formats/restic.md#crypto).
// Not constant time: it authenticates files at rest, nobody can time it byte by byte.

/** Bytes of a key: r ‖ s. */
export const POLY1305_KEY_BYTES = 32;

/** Bytes of a tag. */
export const POLY1305_TAG_BYTES = 16;

// Numbers mod 2^130 - 5 are six limbs of 22 bits in doubles: a sum of 6 products of a 23-bit and a 22-bit
// limb, five of them times 20 (2^132 mod 2^130 - 5), stays below 2^53 and is exact.
const LIMBS = 6;
const LIMB_BITS = 22n;
const MASK = 0x3fffff;
const RADIX = 0x400000;
const PRIME = (1n << 130n) - 5n;
const CLAMP = 0x0ffffffc0ffffffc0ffffffc0fffffffn;

/** The tag of `message` under `key` (r ‖ s). Throws RangeError when the key has another length. */
export function poly1305(key: Uint8Array, message: Uint8Array): Uint8Array {
  if (key.length !== POLY1305_KEY_BYTES) throw new RangeError("a Poly1305 key has 32 bytes");
  const multiplier = split(littleEndian(key.subarray(0, 16)) & CLAMP);
  const sum = new Float64Array(LIMBS);
  const whole = message.length - (message.length % 16);
  absorb(sum, multiplier, message.subarray(0, whole), 1);
  if (whole < message.length) {
    const last = new Uint8Array(16);
    last.set(message.subarray(whole));
    last[message.length - whole] = 1;
    absorb(sum, multiplier, last, 0);
  }
  let value = 0n;
  for (let i = LIMBS - 1; i >= 0; i--) value = (value << LIMB_BITS) + BigInt(sum[i] ?? 0);
  const tag = (value % PRIME) + littleEndian(key.subarray(16));
  const bytes = new Uint8Array(POLY1305_TAG_BYTES);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt.asUintN(64, tag), true);
  view.setBigUint64(8, BigInt.asUintN(64, tag >> 64n), true);
  return bytes;
}

function littleEndian(bytes: Uint8Array): bigint {
  const view = new DataView(bytes.buffer, bytes.byteOffset, 16);
  return view.getBigUint64(0, true) | (view.getBigUint64(8, true) << 64n);
}

function split(value: bigint): Float64Array {
  const limbs = new Float64Array(LIMBS);
  for (let i = 0; i < LIMBS; i++)
    limbs[i] = Number((value >> (LIMB_BITS * BigInt(i))) & BigInt(MASK));
  return limbs;
}

/** sum = (sum + block) · r for each 16-byte block, `high` standing at bit 128 above it. */
function absorb(sum: Float64Array, r: Float64Array, blocks: Uint8Array, high: 0 | 1): void {
  const view = new DataView(blocks.buffer, blocks.byteOffset, blocks.length);
  const top = high * 0x40000;
  const [r0 = 0, r1 = 0, r2 = 0, r3 = 0, r4 = 0, r5 = 0] = r;
  const [s1, s2, s3, s4, s5] = [20 * r1, 20 * r2, 20 * r3, 20 * r4, 20 * r5];
  let [h0 = 0, h1 = 0, h2 = 0, h3 = 0, h4 = 0, h5 = 0] = sum;
  for (let at = 0; at < blocks.length; at += 16) {
    const w0 = view.getInt32(at, true);
    const w1 = view.getInt32(at + 4, true);
    const w2 = view.getInt32(at + 8, true);
    const w3 = view.getInt32(at + 12, true);
    h0 += w0 & MASK;
    h1 += ((w0 >>> 22) | (w1 << 10)) & MASK;
    h2 += ((w1 >>> 12) | (w2 << 20)) & MASK;
    h3 += (w2 >>> 2) & MASK;
    h4 += ((w2 >>> 24) | (w3 << 8)) & MASK;
    h5 += (w3 >>> 14) + top;
    const d0 = h0 * r0 + h1 * s5 + h2 * s4 + h3 * s3 + h4 * s2 + h5 * s1;
    const c0 = Math.floor(d0 / RADIX);
    const d1 = h0 * r1 + h1 * r0 + h2 * s5 + h3 * s4 + h4 * s3 + h5 * s2 + c0;
    const c1 = Math.floor(d1 / RADIX);
    const d2 = h0 * r2 + h1 * r1 + h2 * r0 + h3 * s5 + h4 * s4 + h5 * s3 + c1;
    const c2 = Math.floor(d2 / RADIX);
    const d3 = h0 * r3 + h1 * r2 + h2 * r1 + h3 * r0 + h4 * s5 + h5 * s4 + c2;
    const c3 = Math.floor(d3 / RADIX);
    const d4 = h0 * r4 + h1 * r3 + h2 * r2 + h3 * r1 + h4 * r0 + h5 * s5 + c3;
    const c4 = Math.floor(d4 / RADIX);
    const d5 = h0 * r5 + h1 * r4 + h2 * r3 + h3 * r2 + h4 * r1 + h5 * r0 + c4;
    const c5 = Math.floor(d5 / RADIX);
    const low = d0 - c0 * RADIX + 20 * c5;
    const carry = Math.floor(low / RADIX);
    h0 = low - carry * RADIX;
    h1 = d1 - c1 * RADIX + carry;
    h2 = d2 - c2 * RADIX;
    h3 = d3 - c3 * RADIX;
    h4 = d4 - c4 * RADIX;
    h5 = d5 - c5 * RADIX;
  }
  sum.set([h0, h1, h2, h3, h4, h5]);
}
