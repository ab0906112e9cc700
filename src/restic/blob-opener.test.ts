import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { test } from "node:test";
import { isHoldfastError } from "../base/errors.ts";
import { BlobOpener, OPENER_BYTES } from "./blob-opener.ts";
import { compressZstd } from "./compression.ts";
import { SEAL_BYTES, seal, splitKey, unseal } from "./crypto.ts";
import { createKernels } from "./kernels.ts";

const KEY = splitKey(randomBytes(64));
const BLOB_MAX = (1 << 20) + 64;
const PIECE_BYTES = 64 << 10;
const SCRATCH_BYTES = 1 << 20;

const kernels = createKernels({ bytes: 2 * BLOB_MAX + SCRATCH_BYTES + 4096 });
const scratch = { at: kernels.base + OPENER_BYTES, bytes: SCRATCH_BYTES };
/** Blobs begin anywhere in a pack. */
const BLOB_AT = scratch.at + scratch.bytes + 3;
const UNWRAPPED_AT = BLOB_AT + BLOB_MAX;
const opener = new BlobOpener({ kernels, key: KEY, at: kernels.base, scratch });

const idOf = (plain: Uint8Array): Buffer => createHash("sha256").update(plain).digest();

/** Opens stored bytes, verifies and unwraps them first; a copy of the plaintext. */
function open(sealed: Uint8Array, uncompressed: number, id: Uint8Array): Buffer | undefined {
  kernels.bytes.set(sealed, BLOB_AT);
  const sound = opener.verify(BLOB_AT, sealed.length, uncompressed, id);
  kernels.bytes.set(sealed, BLOB_AT);
  const bytes = opener.unwrap(BLOB_AT, sealed.length, uncompressed, id, UNWRAPPED_AT);
  assert.equal(sound, bytes !== undefined, "verify and unwrap disagree");
  if (bytes !== undefined) {
    const unwrapped = kernels.bytes.slice(UNWRAPPED_AT, UNWRAPPED_AT + bytes);
    assert.deepEqual(Buffer.from(unwrapped), unseal(KEY, sealed), "what was sealed");
  }
  const opened = opener.open(BLOB_AT, sealed.length, uncompressed, id);
  assert.equal(sound, opened !== undefined, "verify and open disagree");
  if (opened === undefined) return undefined;
  return Buffer.from(Uint8Array.from(opened));
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
  const large = randomBytes(PIECE_BYTES + 100);
  const sealedLarge = seal(KEY, large, randomBytes(16));
  for (const byte of [0, 15, 16, 1000, PIECE_BYTES + 100, sealedLarge.length - 1]) {
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

test("where the id suffices, only the tag of what was compressed is looked at", () => {
  const options = { kernels, key: KEY, at: kernels.base, scratch, idSuffices: true };
  const restoring = new BlobOpener(options);
  const attempt = (sealed: Uint8Array, uncompressed: number, id: Uint8Array): boolean => {
    kernels.bytes.set(sealed, BLOB_AT);
    return restoring.open(BLOB_AT, sealed.length, uncompressed, id) !== undefined;
  };
  const plain = Buffer.alloc(3000, "content that compresses ");
  const id = idOf(plain);
  for (const content of [plain, compressZstd(plain)]) {
    const uncompressed = content === plain ? 0 : plain.length;
    const sealed = seal(KEY, content, randomBytes(16));
    assert.ok(attempt(sealed, uncompressed, id));
    sealed[sealed.length - 1]! ^= 1;
    assert.equal(attempt(sealed, uncompressed, id), uncompressed === 0, "damaged tag");
    sealed[sealed.length - 1]! ^= 1;
    sealed[40]! ^= 1;
    assert.equal(attempt(sealed, uncompressed, id), false, "damaged content");
    assert.equal(attempt(sealed.subarray(0, SEAL_BYTES - 1), uncompressed, id), false, "cut");
  }
});

test("sealed by another key, it does not open", () => {
  const plain = randomBytes(100);
  const other = splitKey(randomBytes(64));
  assert.equal(open(seal(other, plain, randomBytes(16)), 0, idOf(plain)), undefined);
});

test("a plaintext larger than the scratch memory is refused, not called damaged", () => {
  const attempt = (): unknown => opener.open(BLOB_AT, 100, SCRATCH_BYTES + 1, randomBytes(32));
  assert.throws(attempt, (error) => isHoldfastError(error, "BUG"));
});
