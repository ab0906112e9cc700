// The kernels of counter mode (kernels/keystream.ts) against Node's own counter mode and plain XOR.

import assert from "node:assert/strict";
import { createCipheriv, randomBytes } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { createKernels } from "./kernels.ts";

const kernels = createKernels({ bytes: 1 << 18 });
const NONCE_AT = kernels.base + 5;
const TARGET_AT = kernels.base + 4096;
const SOURCE_AT = TARGET_AT + (1 << 17);

/** A nonce whose last bytes are all ones, so that the counter carries soon. */
const nonces = fc
  .tuple(fc.uint8Array({ minLength: 16, maxLength: 16 }), fc.integer({ min: 0, max: 16 }))
  .map(([bytes, ones]) => bytes.fill(0xff, 16 - ones));

test("counter blocks encrypted with AES are counter mode's keystream", () => {
  const key = randomBytes(32);
  const property = fc.property(nonces, fc.integer({ min: 0, max: 700 }), (nonce, blocks) => {
    kernels.bytes.set(nonce, NONCE_AT);
    kernels.bytes.fill(0xa5, TARGET_AT, TARGET_AT + 16 * (blocks + 1));
    kernels.fillCounters(NONCE_AT, TARGET_AT, blocks);
    const counters = kernels.bytes.slice(TARGET_AT, TARGET_AT + 16 * blocks);
    const ecb = createCipheriv("aes-256-ecb", key, null).setAutoPadding(false);
    const expected = createCipheriv("aes-256-ctr", key, nonce).update(Buffer.alloc(16 * blocks));
    assert.deepEqual(ecb.update(counters), expected);
    assert.deepEqual(kernels.bytes.slice(NONCE_AT, NONCE_AT + 16), new Uint8Array(nonce));
    assert.equal(kernels.bytes[TARGET_AT + 16 * blocks], 0xa5, "wrote beyond the end");
  });
  fc.assert(property);
});

test("xor changes exactly the bytes it is told to", () => {
  const places = fc.tuple(fc.nat(20), fc.nat(20), fc.nat(300));
  const property = fc.property(places, ([targetShift, sourceShift, length]) => {
    const [target, source] = [TARGET_AT + targetShift, SOURCE_AT + sourceShift];
    const before = randomBytes(400);
    const mask = randomBytes(400);
    kernels.bytes.set(before, TARGET_AT);
    kernels.bytes.set(mask, SOURCE_AT);
    kernels.xor(target, source, length);
    const expected = before.map((byte, i) => {
      const at = i - targetShift;
      return at >= 0 && at < length ? byte ^ mask[at + sourceShift]! : byte;
    });
    assert.deepEqual(Buffer.from(kernels.bytes.slice(TARGET_AT, TARGET_AT + 400)), expected);
    assert.deepEqual(Buffer.from(kernels.bytes.slice(SOURCE_AT, SOURCE_AT + 400)), mask);
  });
  fc.assert(property);
});
