import assert from "node:assert/strict";
import { readFileSync, globSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { toHex } from "../base/bytes.ts";
import { isHoldfastError } from "../base/errors.ts";
import { BLOCK_BYTES, NonceCounter, blocksOf } from "./nonce-counter.ts";

const MODULUS = 1n << 128n;

function valueOf(counter: NonceCounter): bigint {
  const bytes = Buffer.alloc(20, 0xa5);
  counter.write(bytes, 2);
  assert.deepEqual([bytes[1], bytes[18]], [0xa5, 0xa5], "wrote outside its 16 bytes");
  return BigInt(`0x${toHex(bytes.subarray(2, 18))}`);
}

/** Starts whose last bytes are all ones, so that carries of every length happen. */
const starts = fc
  .tuple(fc.uint8Array({ minLength: 16, maxLength: 16 }), fc.integer({ min: 0, max: 16 }))
  .map(([bytes, ones]) => bytes.fill(0xff, 16 - ones));

const blobSizes = fc.array(
  fc.oneof(fc.nat(100), fc.nat(8 << 20), fc.constantFrom(0, 1, 15, 16, 17, 0xffffffff * 16)),
  { maxLength: 50 },
);

test("each blob's interval begins where the last one ended, with carry through all 128 bits", () => {
  const property = fc.property(starts, blobSizes, (start, sizes) => {
    const counter = new NonceCounter(start);
    let expected = BigInt(`0x${toHex(start)}`);
    for (const size of sizes) {
      assert.equal(valueOf(counter), expected);
      counter.advance(blocksOf(size));
      expected = (expected + BigInt(blocksOf(size))) % MODULUS;
    }
    assert.equal(valueOf(counter), expected);
  });
  fc.assert(property, { numRuns: 500 });
});

test("no two blobs share a counter block, not even empty ones", () => {
  const property = fc.property(starts, blobSizes, (start, sizes) => {
    const counter = new NonceCounter(start);
    const intervals = sizes.map((size) => {
      const first = valueOf(counter);
      counter.advance(blocksOf(size));
      return { first, blocks: BigInt(blocksOf(size)) };
    });
    for (const [i, a] of intervals.entries()) {
      for (const b of intervals.slice(i + 1)) {
        // How far b begins after a, going round at 2^128: not before a has ended, and b ends before a begins.
        const distance = (b.first - a.first + MODULUS) % MODULUS;
        assert.ok(distance >= a.blocks, "b begins inside a");
        assert.ok(distance + b.blocks <= MODULUS, "b reaches into a");
      }
    }
  });
  fc.assert(property);
});

test("a blob takes the blocks that its bytes touch, and one at least", () => {
  const sizes = [0, 1, 15, 16, 17, 32, 33, 8 << 20];
  assert.deepEqual(sizes.map(blocksOf), [1, 1, 1, 1, 2, 2, 3, (8 << 20) / BLOCK_BYTES]);
});

test("knows the one value that readers refuse", () => {
  assert.equal(new NonceCounter(Buffer.alloc(16)).isZero, true);
  for (let byte = 0; byte < 16; byte++) {
    const start = Buffer.alloc(16);
    start[byte] = 1;
    assert.equal(new NonceCounter(start).isZero, false);
  }
  const last = new NonceCounter(Buffer.alloc(16, 0xff));
  last.advance(1);
  assert.equal(last.isZero, true);
});

test("takes exactly 16 bytes, and keeps no hold of them", () => {
  for (const length of [0, 12, 15, 17]) {
    const make = (): unknown => new NonceCounter(Buffer.alloc(length));
    assert.throws(make, (error) => isHoldfastError(error, "BUG"));
  }
  const start = Buffer.alloc(16, 1);
  const counter = new NonceCounter(start);
  start.fill(9);
  assert.equal(valueOf(counter), BigInt(`0x${"01".repeat(16)}`));
});

test("its state cannot be copied or saved", () => {
  const counter = new NonceCounter(Buffer.alloc(16, 1));
  assert.deepEqual(Object.getOwnPropertyNames(counter), []);
  assert.equal(JSON.stringify(counter), "{}");
  const copy: unknown = structuredClone(counter);
  assert.equal(copy instanceof NonceCounter, false);
});

test("every sealer in the product starts at new random bytes", () => {
  const root = join(import.meta.dirname, "..");
  const sources = globSync("**/*.ts", { cwd: root }).filter((path) => !path.endsWith(".test.ts"));
  const uses: string[] = [];
  for (const path of sources) {
    const text = readFileSync(join(root, path), "utf8");
    if (/new (NonceCounter|CounterStream)\(/.test(text)) uses.push(path);
    for (const [, options] of text.matchAll(/new BlobSealer\(\{([^}]*)/g)) {
      assert.match(
        options!,
        /\bstart: ([\w.]*\.random|random|randomBytes|systemRandom)\(16\)/,
        path,
      );
      uses.push(`${path} seals`);
    }
  }
  // Whoever makes a counter or a stream decides where it starts: no more places than these. (The opener's stream
  // starts at the nonce of a blob that it reads.)
  assert.deepEqual(uses.filter((use) => !use.endsWith(" seals")).sort(), [
    "restic/blob-opener.ts",
    "restic/blob-sealer.ts",
  ]);
  assert.ok(uses.filter((use) => use.endsWith(" seals")).length >= 2);
});
