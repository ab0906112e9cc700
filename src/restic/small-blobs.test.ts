import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { test } from "node:test";
import { seededBytes } from "../../test/seeded-bytes.ts";
import { compressZstd } from "./compression.ts";
import { SEAL_BYTES, seal, splitKey } from "./crypto.ts";
import { createKernels } from "./kernels.ts";
import { SMALL_BLOBS_BYTES, SMALL_BLOB_BYTES, SmallBlobs } from "./small-blobs.ts";

const KEY = splitKey(randomBytes(64));
const SCRATCH_BYTES = SMALL_BLOB_BYTES + (1 << 20);
const PACK_BYTES = 8 << 20;
const kernels = createKernels({ bytes: 4096 + SCRATCH_BYTES + PACK_BYTES });
const scratch = { at: kernels.base + 4096, bytes: SCRATCH_BYTES };
/** Blobs begin anywhere in a pack. */
const PACK_AT = scratch.at + scratch.bytes + 5;
const small = new SmallBlobs({ kernels, key: KEY, at: kernels.base, scratch });
assert.ok(SMALL_BLOBS_BYTES <= 4096);

interface Blob {
  sealed: Uint8Array;
  uncompressed: number;
  id: Uint8Array;
}

const idOf = (plain: Uint8Array): Buffer => createHash("sha256").update(plain).digest();

function blobOf(plain: Uint8Array, nonce: Uint8Array = randomBytes(16)): Blob {
  return { sealed: seal(KEY, plain, nonce), uncompressed: 0, id: idOf(plain) };
}

function compressedOf(plain: Uint8Array): Blob {
  const sealed = seal(KEY, compressZstd(plain), randomBytes(16));
  return { sealed, uncompressed: plain.length, id: idOf(plain) };
}

/** Numbers of the blobs that are found damaged; none may have been changed. */
function damagedOf(blobs: readonly Blob[]): number[] {
  const places: number[] = [];
  let at = PACK_AT;
  for (const { sealed } of blobs) {
    places.push(at);
    kernels.bytes.set(sealed, at);
    at += sealed.length;
  }
  const before = Buffer.from(kernels.bytes.slice(PACK_AT, at));
  const found = small.findDamaged([...blobs.keys()], {
    at: (blob) => places[blob]!,
    length: (blob) => blobs[blob]!.sealed.length,
    uncompressedLength: (blob) => blobs[blob]!.uncompressed,
    id: (blob) => blobs[blob]!.id,
  });
  assert.deepEqual(Buffer.from(kernels.bytes.slice(PACK_AT, at)), before, "blobs stay as they are");
  return found;
}

test("blobs of every small size are sound, many at once", () => {
  const blobs: Blob[] = [];
  for (let size = 0; size <= SMALL_BLOB_BYTES - SEAL_BYTES; size += size < 100 ? 1 : 37) {
    blobs.push(blobOf(seededBytes(size, size)));
    if (size > 0) blobs.push(compressedOf(Buffer.alloc(size * 20, `content ${size} `)));
  }
  // More than go through the cipher together, in blobs and in blocks.
  for (let i = 0; i < 1500; i++) blobs.push(blobOf(seededBytes(i, i % 50)));
  assert.deepEqual(damagedOf(blobs), []);
  assert.deepEqual(damagedOf([]), []);
});

test("nonces whose counter carries through any number of bytes", () => {
  const blobs: Blob[] = [];
  for (let bytes = 1; bytes <= 16; bytes++) {
    for (const last of [0xff, 0xfe, 0xf0]) {
      const nonce = Buffer.alloc(16, 0x5a).fill(0xff, 16 - bytes);
      nonce[15] = last;
      blobs.push(blobOf(seededBytes(bytes, 2000), nonce));
    }
  }
  assert.deepEqual(damagedOf(blobs), []);
});

test("a bit that turned anywhere is noticed, and the neighbours stay sound", () => {
  const text = Buffer.alloc(300, "content that compresses ");
  for (const make of [blobOf, compressedOf]) {
    const whole = make(text);
    for (let byte = 0; byte < whole.sealed.length; byte++) {
      const sealed = Buffer.from(whole.sealed);
      sealed[byte]! ^= 1 << (byte % 8);
      const found = damagedOf([whole, { ...whole, sealed }, whole]);
      assert.deepEqual(found, [1], `byte ${byte}`);
    }
    for (const length of [0, 1, SEAL_BYTES - 1, SEAL_BYTES, whole.sealed.length - 1]) {
      const cut = { ...whole, sealed: whole.sealed.subarray(0, length) };
      assert.deepEqual(damagedOf([cut, whole]), [0], `cut at ${length}`);
    }
  }
});

test("content under a sound tag that is not what was promised is noticed", () => {
  const text = Buffer.alloc(5000, "text ");
  const whole = compressedOf(text);
  const junk = seal(KEY, randomBytes(200), randomBytes(16));
  assert.deepEqual(
    damagedOf([
      { ...whole, id: randomBytes(32) },
      { ...whole, uncompressed: 4999 },
      { ...whole, uncompressed: 5001 },
      { ...whole, uncompressed: 0 },
      { ...whole, uncompressed: SCRATCH_BYTES },
      { sealed: junk, uncompressed: 5000, id: whole.id },
      {
        sealed: seal(splitKey(randomBytes(64)), text, randomBytes(16)),
        uncompressed: 0,
        id: idOf(text),
      },
      whole,
    ]).toSorted((a, b) => a - b),
    [0, 1, 2, 3, 4, 5, 6],
  );
});
