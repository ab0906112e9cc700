import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { mock, suite, test } from "node:test";
import zlib from "node:zlib";
import { seededBytes } from "../../test/seeded-bytes.ts";
import { isHoldfastError } from "../base/errors.ts";
import {
  ZstdContext,
  compressZstd,
  compressionLevel,
  decompressFile,
  decompressZstd,
} from "./compression.ts";

const TEXT = Buffer.alloc(300_000, "Invoice 2026/0042, two pages, paid. ");

/** A context of a Node whose handle is not the one this program knows. */
function withoutHandle(stream: () => object): ZstdContext {
  const create = mock.method(zlib, "createZstdCompress", stream as never);
  try {
    return new ZstdContext(3);
  } finally {
    create.mock.restore();
  }
}

/** How a handle may turn out to be something else, each noticed by the constructor. */
const STRANGE_STREAMS: Record<string, () => object> = {
  "no handle": () => ({}),
  "no write state": () => ({ _handle: { writeSync() {}, reset() {} } }),
  "writes nothing": () => ({
    _handle: { writeSync() {}, reset() {} },
    _writeState: new Uint32Array(2),
  }),
  throws: () => ({
    _handle: {
      reset() {},
      writeSync() {
        throw new Error("no");
      },
    },
    _writeState: new Uint32Array(2),
  }),
};

test("this Node's handle is reused", () => {
  assert.equal(new ZstdContext(3).reuses, true);
});

for (const [what, stream] of Object.entries(STRANGE_STREAMS)) {
  test(`a Node whose zlib streams are different is served by the documented functions: ${what}`, () => {
    assert.equal(withoutHandle(stream).reuses, false);
  });
}

for (const [kind, create] of [
  ["reused", () => new ZstdContext(3)],
  ["documented functions", () => withoutHandle(() => ({}))],
] as const) {
  suite(`a zstd context: ${kind}`, () => {
    const context = create();
    const output = Buffer.alloc(TEXT.length + 1000);

    test("gives back what it was given, again and again", () => {
      for (const size of [1, 2, 100, 4096, 65_537, TEXT.length]) {
        for (const plain of [TEXT.subarray(0, size), seededBytes(size, size)]) {
          const length = context.compress(plain, output);
          assert.ok(length > 0);
          const frame = Buffer.from(output.subarray(0, length));
          assert.ok(Buffer.from(decompressZstd(frame, plain.length)).equals(plain));
          const back = Buffer.alloc(plain.length);
          assert.equal(context.decompress(frame, back), true);
          assert.ok(back.equals(plain));
        }
      }
    });

    test("makes the frames of the one-shot function, also after one that found no room", () => {
      const expected = Buffer.from(compressZstd(TEXT));
      for (const room of [output.length, 100, output.length, 0, expected.length, output.length]) {
        const length = context.compress(TEXT, output.subarray(0, room));
        assert.equal(length, room > expected.length ? expected.length : 0);
        assert.ok(output.subarray(0, length).equals(expected.subarray(0, length)));
      }
    });

    test("says so when the output has no room, and works on", () => {
      const random = seededBytes("room", 5000);
      for (const room of [0, 1, 100, 4999, 5000]) {
        assert.equal(context.compress(random, output.subarray(0, room)), 0);
      }
      assert.ok(context.compress(TEXT, output) > 0);
    });

    test("calls what is damaged, shorter or longer than stated false, and works on", () => {
      const frame = Buffer.from(compressZstd(TEXT));
      const back = Buffer.alloc(TEXT.length);
      const truncated = [0, 1, 8, frame.length >> 1, frame.length - 1];
      for (const length of truncated) {
        assert.equal(
          context.decompress(frame.subarray(0, length), back),
          false,
          `cut at ${length}`,
        );
      }
      assert.equal(context.decompress(seededBytes("junk", 500), back), false);
      assert.equal(context.decompress(frame, Buffer.alloc(TEXT.length + 1)), false);
      assert.equal(context.decompress(frame, Buffer.alloc(TEXT.length - 1)), false);
      const checksum = Buffer.from(frame);
      checksum[4]! ^= 4;
      assert.equal(context.decompress(checksum, back), false, "announces a checksum and has none");
      assert.equal(context.decompress(frame, back), true);
      assert.ok(back.equals(TEXT));
    });

    test("reads frames that state no size, and is ready for the next whatever they hold", () => {
      const params = { [zlib.constants.ZSTD_c_contentSizeFlag]: 0 };
      const frame = Buffer.from(compressZstd(TEXT));
      const back = Buffer.alloc(TEXT.length);
      for (const size of [1, 40, 65_535, 65_536, 65_537, TEXT.length]) {
        const plain = TEXT.subarray(0, size);
        const silent = zlib.zstdCompressSync(plain, { params });
        for (const room of [size, size - 1, 0, size + 1, size + 70_000, size]) {
          const read = Buffer.alloc(room);
          assert.equal(
            context.decompress(silent, read),
            room === size,
            `${size} bytes into ${room}`,
          );
          if (room === size) assert.ok(read.equals(plain));
          assert.equal(context.decompress(frame, back.fill(0)), true);
          assert.ok(back.equals(TEXT));
        }
      }
    });

    test("writes only into the output it was given", () => {
      output.fill(0x66);
      const length = context.compress(TEXT, output.subarray(10, 5000));
      assert.ok(length > 0);
      assert.ok(output.subarray(0, 10).every((byte) => byte === 0x66));
      assert.ok(output.subarray(5000).every((byte) => byte === 0x66));
    });
  });
}

suite("the one-shot functions", () => {
  test("bound what they decompress", () => {
    const frame = compressZstd(Buffer.alloc(1 << 20));
    const open = (): unknown => decompressZstd(frame, (1 << 20) - 1);
    assert.throws(open, (error) => isHoldfastError(error, "FILE_DAMAGED"));
    assert.equal(decompressZstd(frame, 1 << 20).length, 1 << 20);
    assert.equal(decompressZstd(frame).length, 1 << 20);
  });

  test("call damaged data damaged", () => {
    for (const bytes of [
      Buffer.alloc(0),
      Buffer.from("plain"),
      compressZstd(TEXT).subarray(0, 40),
    ]) {
      assert.throws(
        () => decompressZstd(bytes),
        (error) => isHoldfastError(error, "FILE_DAMAGED"),
      );
    }
  });

  test("read frames that state no size, and several in a row", () => {
    const unknown = zlib.zstdCompressSync(TEXT, {
      params: { [zlib.constants.ZSTD_c_contentSizeFlag]: 0 },
    });
    assert.ok(Buffer.from(decompressZstd(unknown)).equals(TEXT));
    const two = Buffer.concat([compressZstd(TEXT), compressZstd(TEXT)]);
    assert.ok(Buffer.from(decompressZstd(two)).equals(Buffer.concat([TEXT, TEXT])));
  });

  test("add no checksum: restic adds none", () => {
    assert.equal(compressZstd(TEXT)[4]! & 4, 0);
    const output = Buffer.alloc(TEXT.length);
    new ZstdContext(3).compress(TEXT, output);
    assert.equal(output[4]! & 4, 0);
  });
});

test("each level is kept, for every blob", () => {
  // Text in which levels differ, and enough of it for several blocks.
  const source = readFileSync(import.meta.filename);
  const words = Buffer.concat(
    Array.from({ length: 60 }, (_, i) => Buffer.from(source.map((b) => b ^ (i & 3)))),
  );
  const output = Buffer.alloc(words.length);
  const sizes = [1, 3, 6, 15].map((level) => {
    const context = new ZstdContext(level);
    const lengths = [1, 2, 3].map(() => context.compress(words, output));
    assert.ok(Buffer.from(decompressZstd(output.subarray(0, lengths[0]))).equals(words));
    assert.equal(new Set(lengths).size, 1);
    const expected = compressZstd(words, level).length;
    assert.ok(Math.abs(lengths[0]! - expected) < expected / 33, `level ${level}`);
    return lengths[0]!;
  });
  assert.deepEqual(
    sizes,
    [...new Set(sizes)].sort((a, b) => b - a),
    "each smaller than the one before",
  );
  assert.ok(sizes[0]! > sizes[1]! * 1.02);
});

test("levels go by restic's names", () => {
  const levels = (["off", "fastest", "auto", "better", "max"] as const).map(compressionLevel);
  assert.equal(levels[0], 0);
  assert.ok(levels[1]! <= levels[2]! && levels[2]! < levels[3]! && levels[3]! < levels[4]!);
});

test("files of a repository, few or many, sound or damaged", () => {
  for (let i = 0; i < 40; i++) {
    const plain = Buffer.from(`{"number":${i}}`.repeat(1 + i * 40));
    const frame = compressZstd(plain);
    assert.deepEqual(Buffer.from(decompressFile(frame)), plain);
    const damaged = Buffer.from(frame);
    damaged[damaged.length - 1]! ^= 0x55;
    let content: Uint8Array | undefined;
    try {
      content = decompressFile(damaged);
    } catch (error) {
      assert.ok(isHoldfastError(error, "FILE_DAMAGED"));
    }
    // Without a checksum some damage decompresses; whoever reads has a MAC and a hash.
    if (content !== undefined) assert.equal(content.length, plain.length);
    for (const end of [0, 3, frame.length - 1]) {
      assert.throws(
        () => decompressFile(frame.subarray(0, end)),
        (error) => isHoldfastError(error, "FILE_DAMAGED"),
      );
    }
  }
});
