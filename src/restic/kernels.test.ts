// The kernels' memory, and the test for data that will not compress. Poly1305 and the chunker are tested beside their
// plain twins.

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { Worker } from "node:worker_threads";
import { brotliCompressSync, deflateRawSync, gzipSync, zstdCompressSync } from "node:zlib";
import { seededBytes } from "../../test/seeded-bytes.ts";
import { isHoldfastError } from "../base/errors.ts";
import { createKernels } from "./kernels.ts";

const MEBIBYTE = 1024 * 1024;

suite("the kernels' memory", () => {
  test("has the bytes asked for above its base, on a page boundary", () => {
    for (const bytes of [0, 1, 65536, 3 * MEBIBYTE + 1, 64 * MEBIBYTE]) {
      const kernels = createKernels({ bytes });
      assert.equal(kernels.base % 4096, 0);
      assert.ok(kernels.bytes.length - kernels.base >= bytes);
      assert.ok(kernels.bytes.length - kernels.base < bytes + 65536);
      assert.ok(kernels.memory.buffer instanceof SharedArrayBuffer);
      assert.equal(kernels.bytes.buffer, kernels.memory.buffer);
    }
  });

  test("is not written above the base but where asked", () => {
    const kernels = createKernels({ bytes: 2 * MEBIBYTE });
    const { base, bytes } = kernels;
    const content = seededBytes("untouched", bytes.length - base);
    bytes.set(content, base);
    kernels.initChunker(0x3da3358b4dc173n);
    kernels.findCut(base, 0, 2 * MEBIBYTE);
    kernels.looksIncompressible(base, MEBIBYTE);
    kernels.poly1305(base + 32, 5000, base, base + 8192);
    content.set(bytes.subarray(base + 8192, base + 8192 + 16), 8192);
    assert.equal(Buffer.compare(bytes.subarray(base), content), 0);
  });

  test("is apart from other kernels' memory, tables included", () => {
    const [first, second] = [createKernels({ bytes: 0 }), createKernels({ bytes: 0 })];
    first.initChunker(0x3da3358b4dc173n);
    assert.throws(
      () => second.findCut(second.base, 0, 10),
      (error) => isHoldfastError(error, "BUG"),
    );
  });

  test("can be seen by another thread", async () => {
    const kernels = createKernels({ bytes: 4096 });
    const worker = new Worker("require('node:worker_threads').workerData[16384] = 7", {
      eval: true,
      workerData: kernels.bytes,
    });
    await new Promise((resolve) => worker.once("exit", resolve));
    assert.equal(kernels.bytes[kernels.base], 7);
  });

  test("ends where it ends", () => {
    const kernels = createKernels({ bytes: 4096 });
    assert.throws(() => kernels.looksIncompressible(kernels.bytes.length - 10, 5000), /bounds/);
    assert.throws(() => kernels.initChunker(0x11bn), RangeError);
  });
});

const kernels = createKernels({ bytes: 4 * MEBIBYTE });

function looksIncompressible(data: Uint8Array): boolean {
  kernels.bytes.set(data, kernels.base);
  return kernels.looksIncompressible(kernels.base, data.length);
}

function numbers(
  count: number,
  write: (target: Buffer, index: number) => void,
  size: number,
): Buffer {
  const target = Buffer.alloc(count * size);
  for (let index = 0; index < count; index++) write(target, index);
  return target;
}

const SIZES = [1024, 1500, 4096, 6143, 6144, 6145, 8192, 30_000, 200_000];

/** Text with a few thousand different words, as prose has. */
function prose(length: number): Buffer {
  const words = Array.from({ length: 3000 }, (_, i) => {
    const letters = [...seededBytes(`word ${i}`, 3 + (i % 7))];
    return letters.map((byte) => "etaoinshrdlucmfwypvbgkjqxz"[(byte * byte) >> 11] ?? "e").join("");
  });
  const picks = seededBytes("picks", length);
  let text = "";
  for (let i = 0; text.length < length; i += 2) {
    text += `${words[picks.readUInt16LE(i % (length - 1)) % 3000]} `;
  }
  return Buffer.from(text.slice(0, length));
}

const bytesAsText = (length: number, encoding: "base64" | "hex"): Buffer =>
  Buffer.from(seededBytes(encoding, length).toString(encoding)).subarray(0, length);

/** Everything here compresses by a tenth at the least; none may be called incompressible. */
const COMPRESSIBLE: Readonly<Record<string, (length: number) => Buffer>> = {
  prose,
  "prose as UTF-16": (length) =>
    Buffer.from(prose(length).toString(), "utf16le").subarray(0, length),
  "random bytes as base64": (length) => bytesAsText(length, "base64"),
  "random bytes as hex": (length) => bytesAsText(length, "hex"),
  "base64 with a line break every 76": (length) =>
    Buffer.from(bytesAsText(length, "base64").toString().replace(/.{76}/g, "$&\r\n")).subarray(
      0,
      length,
    ),
  zeros: (length) => Buffer.alloc(length),
  "every byte value in turn": (length) => numbers(length, (b, i) => (b[i] = i & 255), 1),
  "a 32-bit counter": (length) =>
    numbers(length >> 2, (b, i) => b.writeUInt32LE(i * 977, i * 4), 4),
  "a 24-bit gradient": (length) => numbers(length, (b, i) => (b[i] = Math.floor(i / 3) & 255), 1),
  "16-bit sound": (length) =>
    numbers(length >> 1, (b, i) => b.writeInt16LE(Math.round(9000 * Math.sin(i / 40)), i * 2), 2),
  doubles: (length) => numbers(length >> 3, (b, i) => b.writeDoubleLE(Math.sqrt(i), i * 8), 8),
  "a repeated 300-byte record": (length) => Buffer.alloc(length, seededBytes("record", 300)),
};

suite("data that will not compress", () => {
  test("is told from data that will, at every size", () => {
    for (const [name, make] of Object.entries(COMPRESSIBLE)) {
      for (const size of SIZES) {
        const data = make(size);
        assert.equal(looksIncompressible(data), false, `${name}, ${size} bytes`);
      }
      const data = make(30_000);
      assert.ok(zstdCompressSync(data).length < data.length * 0.9, `${name} does compress`);
    }
  });

  test("a file partly of text is compressible, when a sample shows the text", () => {
    const text = prose(100_000);
    const noise = seededBytes("noise", 400_000);
    for (const size of [8192, 65_536, noise.length]) {
      const part = size >> 2;
      for (const position of [0, (size - part) >> 1, size - part]) {
        const data = Buffer.from(noise.subarray(0, size));
        data.set(text.subarray(0, part), position);
        assert.equal(looksIncompressible(data), false, `text at ${position} of ${size}`);
      }
    }
  });

  test("short data is always worth a try", () => {
    for (let length = 0; length < 1024; length++) {
      assert.equal(looksIncompressible(seededBytes("short", length)), false);
    }
  });

  test("is recognised when random, at every size and alignment", () => {
    for (let round = 0; round < 300; round++) {
      const size = SIZES[round % (SIZES.length - 1)] ?? 1024;
      assert.equal(looksIncompressible(seededBytes(`random ${round}`, size + (round % 7))), true);
    }
  });

  test("is recognised when compressed before", () => {
    const text = prose(MEBIBYTE);
    const packed = {
      gzip: gzipSync(text),
      deflate: deflateRawSync(text, { level: 9 }),
      zstd: zstdCompressSync(text),
      brotli: brotliCompressSync(text.subarray(0, 300_000)),
    };
    for (const [name, data] of Object.entries(packed)) {
      assert.equal(looksIncompressible(data), true, name);
      for (let at = 0; at + 20_000 <= data.length; at += 20_000) {
        assert.equal(looksIncompressible(data.subarray(at, at + 20_000)), true, `${name} at ${at}`);
      }
    }
  });

  test("an image's header does not hide that the rest is compressed", () => {
    for (const signature of ["ffd8ffe000104a464946", "89504e470d0a1a0a"]) {
      const header = Buffer.alloc(3000, Buffer.from("Photograph taken by a camera. "));
      header.write(signature, "hex");
      const image = Buffer.concat([header, seededBytes("image", 40_000)]);
      assert.equal(looksIncompressible(image), true);
      image.write("other", 0);
      assert.equal(looksIncompressible(image), false, "only for an image");
      header.write(signature, "hex");
      assert.equal(looksIncompressible(Buffer.concat([header, prose(40_000)])), false);
    }
  });
});
