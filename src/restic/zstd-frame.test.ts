import assert from "node:assert/strict";
import { test } from "node:test";
import zlib from "node:zlib";
import { seededBytes } from "../../test/seeded-bytes.ts";
import { toHex } from "../base/bytes.ts";
import { compressZstd } from "./compression.ts";
import { splitFrames, statedContentBytes } from "./zstd-frame.ts";

/** Frames of every form that zstd writes: sizes known and not, checksums, raw, RLE and compressed blocks. */
function frames(): Buffer[] {
  const plains = [0, 1, 255, 256, 65_791, 65_792, 300_000].flatMap((size) => [
    seededBytes(size, size),
    Buffer.alloc(size),
    Buffer.alloc(size, "words to compress "),
  ]);
  const { ZSTD_c_checksumFlag, ZSTD_c_contentSizeFlag, ZSTD_c_windowLog } = zlib.constants;
  const settings = [
    {},
    { [ZSTD_c_checksumFlag]: 1 },
    { [ZSTD_c_contentSizeFlag]: 0, [ZSTD_c_windowLog]: 17 },
    { [ZSTD_c_checksumFlag]: 1, [ZSTD_c_contentSizeFlag]: 0 },
  ];
  return plains.flatMap((plain) => [
    Buffer.from(compressZstd(plain)),
    ...settings.map((params) => zlib.zstdCompressSync(plain, { params })),
  ]);
}

test("a frame is one, several are several", () => {
  for (const frame of frames()) assert.deepEqual(splitFrames(frame), [frame]);
  const [first, second] = [compressZstd(seededBytes(1, 100)), compressZstd(seededBytes(2, 100))];
  const skippable = Buffer.from("5a2a4d1803000000616263", "hex");
  const three = [first, skippable, second];
  assert.deepEqual(splitFrames(Buffer.concat(three))?.map(toHex), three.map(toHex));
});

test("a frame states its size, or that it does not", () => {
  const { ZSTD_c_contentSizeFlag } = zlib.constants;
  for (const size of [0, 1, 255, 256, 257, 65_791, 65_792, 65_793, 300_000, 17 << 20]) {
    const plain = Buffer.alloc(size, "some text ");
    assert.equal(statedContentBytes(compressZstd(plain)), size);
    const silent = zlib.zstdCompressSync(plain, { params: { [ZSTD_c_contentSizeFlag]: 0 } });
    assert.equal(statedContentBytes(silent), undefined);
  }
  for (const length of [0, 4, 5, 6]) {
    assert.equal(
      statedContentBytes(compressZstd(Buffer.alloc(300)).subarray(0, length)),
      undefined,
    );
  }
});

test("frames that lack their end, or have more after it, are not", () => {
  for (const frame of frames()) {
    const cuts = [0, 1, 4, 5, 6, 7, 8, frame.length >> 1, frame.length - 4, frame.length - 1];
    for (const length of cuts) {
      if (length < frame.length) assert.equal(splitFrames(frame.subarray(0, length)), undefined);
    }
    assert.equal(splitFrames(Buffer.concat([frame, Buffer.from([0])])), undefined);
    assert.equal(splitFrames(Buffer.concat([frame, frame.subarray(0, -1)])), undefined);
  }
});

test("what is no frame is not", () => {
  assert.equal(splitFrames(Buffer.alloc(0)), undefined);
  assert.equal(splitFrames(Buffer.alloc(100)), undefined);
  assert.equal(splitFrames(seededBytes("junk", 1000)), undefined);
});
