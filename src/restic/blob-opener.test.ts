import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { suite, test } from "node:test";
import { isHoldfastError } from "../base/errors.ts";
import { BlobOpener, KEYSTREAM_BYTES, OPENER_BYTES } from "./blob-opener.ts";
import { compressZstd } from "./compression.ts";
import { SEAL_BYTES, seal, splitKey } from "./crypto.ts";
import { createKernels } from "./kernels.ts";

const KEY = splitKey(randomBytes(64));
const BLOB_MAX = (1 << 20) + 64;
const SCRATCH_BYTES = 1 << 20;

const kernels = createKernels({ bytes: 2 * BLOB_MAX + KEYSTREAM_BYTES + SCRATCH_BYTES });
const keystream = kernels.base + OPENER_BYTES;
const scratch = { at: keystream + KEYSTREAM_BYTES, bytes: SCRATCH_BYTES };
/** Blobs begin anywhere in a pack. */
const BLOB_AT = scratch.at + scratch.bytes + 3;
const opener = new BlobOpener({ kernels, key: KEY, at: kernels.base, keystream, scratch });

const idOf = (plain: Uint8Array): Buffer => createHash("sha256").update(plain).digest();

/** Opens stored bytes, and verifies them first; a copy of the plaintext. */
function open(sealed: Uint8Array, uncompressed: number, id: Uint8Array): Buffer | undefined {
  kernels.bytes.set(sealed, BLOB_AT);
  const sound = opener.verify(BLOB_AT, sealed.length, uncompressed, id);
  kernels.bytes.set(sealed, BLOB_AT);
  const opened = opener.open(BLOB_AT, sealed.length, uncompressed, id);
  assert.equal(sound, opened !== undefined, "verify and open disagree");
  if (opened === undefined) return undefined;
  return Buffer.from(kernels.bytes.slice(opened.at, opened.at + opened.length));
}

test("opens what crypto.ts sealed, at every size around a block and a piece", () => {
  const sizes = [...Array(201).keys()];
  for (const piece of [1 << 16, 1 << 17]) sizes.push(piece - 1, piece, piece + 1, piece + 16);
  sizes.push((1 << 20) + 5);
  for (const size of sizes) {
    const plain = randomBytes(size);
    const sealed = seal(KEY, plain, randomBytes(16));
    assert.deepEqual(open(sealed, 0, idOf(plain)), plain, `${size} bytes`);
  }
});

test("opens nonces whose counter carries through any number of bytes", () => {
  const plain = randomBytes(70_000);
  for (let bytes = 1; bytes <= 16; bytes++) {
    for (const last of [0xff, 0xfe, 0xf0]) {
      const nonce = Buffer.alloc(16, 0x5a).fill(0xff, 16 - bytes);
      nonce[15] = last;
      assert.deepEqual(open(seal(KEY, plain, nonce), 0, idOf(plain)), plain, nonce.toString("hex"));
    }
  }
});

test("opens compressed blobs", () => {
  for (const size of [1, 100, 65_536, SCRATCH_BYTES]) {
    const plain = Buffer.alloc(size, "filestore ");
    const sealed = seal(KEY, compressZstd(plain), randomBytes(16));
    assert.deepEqual(open(sealed, size, idOf(plain)), plain);
    assert.equal(open(sealed, size - 1, idOf(plain)), undefined, "shorter than stated");
    if (size < SCRATCH_BYTES)
      assert.equal(open(sealed, size + 1, idOf(plain)), undefined, "longer");
  }
});

test("a bit that turned anywhere in the stored bytes is noticed", () => {
  const plain = Buffer.alloc(300, "content that compresses ");
  const id = idOf(plain);
  const large = randomBytes(KEYSTREAM_BYTES + 100);
  const sealedLarge = seal(KEY, large, randomBytes(16));
  for (const byte of [0, 15, 16, 1000, KEYSTREAM_BYTES + 100, sealedLarge.length - 1]) {
    const damaged = Buffer.from(sealedLarge);
    damaged[byte]! ^= 0x10;
    assert.equal(open(damaged, 0, idOf(large)), undefined, `byte ${byte} of a large blob`);
  }
  for (const content of [plain, compressZstd(plain)]) {
    const uncompressed = content === plain ? 0 : plain.length;
    const sealed = seal(KEY, content, randomBytes(16));
    for (let byte = 0; byte < sealed.length; byte++) {
      const damaged = Buffer.from(sealed);
      damaged[byte]! ^= 1 << (byte % 8);
      assert.equal(open(damaged, uncompressed, id), undefined, `byte ${byte}`);
    }
    for (const length of [0, 1, SEAL_BYTES - 1, SEAL_BYTES, sealed.length - 1]) {
      assert.equal(
        open(sealed.subarray(0, length), uncompressed, id),
        undefined,
        `cut at ${length}`,
      );
    }
  }
});

test("content under a sound tag that is not what the id says is noticed", () => {
  const plain = randomBytes(5000);
  const sealed = seal(KEY, plain, randomBytes(16));
  assert.equal(open(sealed, 0, randomBytes(32)), undefined);
  const large = seal(KEY, randomBytes(100_000), randomBytes(16));
  assert.equal(open(large, 0, randomBytes(32)), undefined);
  assert.equal(open(sealed, 6000, idOf(plain)), undefined, "not zstd");
  const junk = Buffer.concat([compressZstd(plain).subarray(0, 4), randomBytes(500)]);
  assert.equal(open(seal(KEY, junk, randomBytes(16)), 5000, idOf(plain)), undefined);
  // And the opener is none the worse for it.
  const text = Buffer.alloc(5000, "sound");
  assert.deepEqual(open(seal(KEY, compressZstd(text), randomBytes(16)), 5000, idOf(text)), text);
});

test("sealed by another key, it does not open", () => {
  const plain = randomBytes(100);
  const other = splitKey(randomBytes(64));
  assert.equal(open(seal(other, plain, randomBytes(16)), 0, idOf(plain)), undefined);
});

suite("prepared for several blobs", () => {
  interface Placed {
    at: number;
    length: number;
    plain: Buffer;
    uncompressed: number;
  }

  /** Lays sealed blobs of these sizes side by side; every third one is compressed. */
  function place(sizes: readonly number[]): Placed[] {
    let at = BLOB_AT;
    return sizes.map((size, i) => {
      const plain = i % 3 === 2 && size > 0 ? Buffer.alloc(size, `${i} `) : randomBytes(size);
      const uncompressed = i % 3 === 2 ? size : 0;
      const sealed = seal(KEY, uncompressed > 0 ? compressZstd(plain) : plain, randomBytes(16));
      kernels.bytes.set(sealed, at);
      const placed = { at, length: sealed.length, plain, uncompressed };
      at += sealed.length;
      return placed;
    });
  }

  function assertOpens({ at, length, plain, uncompressed }: Placed): void {
    const opened = opener.open(at, length, uncompressed, idOf(plain));
    assert.ok(opened !== undefined, `${plain.length} bytes at ${at - BLOB_AT}`);
    const content = Buffer.from(kernels.bytes.slice(opened.at, opened.at + opened.length));
    assert.ok(content.equals(plain));
  }

  test("it opens them in order, whatever their sizes", () => {
    const sizes = [0, 1, 15, 16, 17, 5000, 65_536, 65_537, 40, 200_000, 3, 60_000, 60_000, 0, 9];
    const blobs = place([...sizes, ...Array.from({ length: 3000 }, (_, i) => i % 90)]);
    let calls = 0;
    for (let ready = 0; ready < blobs.length; calls++) {
      const from = ready;
      ready = opener.prepare(blobs, from);
      assert.ok(ready > from);
      for (const blob of blobs.slice(from, ready)) assertOpens(blob);
    }
    assert.ok(calls < 20);
  });

  test("it opens them in any other order too, and others in between", () => {
    const blobs = place(Array.from({ length: 40 }, (_, i) => i * 37));
    for (const order of [[...blobs].reverse(), blobs.filter((_, i) => i % 2 === 0)]) {
      const again = place(Array.from({ length: 40 }, (_, i) => i * 37));
      opener.prepare(again, 0);
      for (const { at } of order) assertOpens(again.find((blob) => blob.at === at)!);
    }
  });

  test("it notices when other blobs lie there by then", () => {
    const sizes = Array.from({ length: 30 }, () => 100);
    opener.prepare(place(sizes), 0);
    for (const blob of place(sizes)) assertOpens(blob);
    // Also when it stopped half-way.
    const half = place(sizes);
    opener.prepare(half, 0);
    for (const blob of half.slice(0, 10)) assertOpens(blob);
    for (const blob of place(sizes).slice(10)) assertOpens(blob);
  });

  test("damage is noticed as ever, and harms no other", () => {
    const blobs = place(Array.from({ length: 50 }, () => 200));
    for (const [i, { at, length }] of blobs.entries()) {
      if (i % 5 === 0) kernels.bytes[at + ((i * 7) % length)]! ^= 1;
    }
    opener.prepare(blobs, 0);
    for (const [i, blob] of blobs.entries()) {
      if (i % 5 !== 0) assertOpens(blob);
      else
        assert.equal(
          opener.open(blob.at, blob.length, blob.uncompressed, idOf(blob.plain)),
          undefined,
        );
    }
  });
});

test("a plaintext larger than the scratch memory is refused, not called damaged", () => {
  const attempt = (): unknown => opener.open(BLOB_AT, 100, SCRATCH_BYTES + 1, randomBytes(32));
  assert.throws(attempt, (error) => isHoldfastError(error, "BUG"));
});
