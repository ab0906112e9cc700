import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { HoldfastError } from "../base/errors.ts";
import type { Compression } from "../barman/wal-name.ts";
import { COMPRESSED_EXAMPLES, compressedContent } from "../../test/fixtures/compressed.ts";
import {
  compressWhole,
  decompressStream,
  decompressWhole,
  GZIP_FAST,
  parseWalCompression,
} from "./wal-codec.ts";

const content = compressedContent();
const EXAMPLES = [
  ...COMPRESSED_EXAMPLES,
  {
    title: "gzip",
    compression: "gzip" as const,
    stored: Buffer.from(await compressWhole(content, GZIP_FAST)),
  },
];

async function read(
  stored: Uint8Array,
  compression: Compression,
  limit = content.length,
): Promise<Buffer> {
  return Buffer.from(await decompressWhole(stored, { compression, limit, source: "x.test" }));
}

async function stream(pieces: Iterable<Uint8Array>, compression: Compression): Promise<Buffer> {
  const found: Uint8Array[] = [];
  for await (const piece of decompressStream(pieces, { compression })) found.push(piece);
  return Buffer.concat(found);
}

function* cut(bytes: Uint8Array, lengths: readonly number[]): Generator<Uint8Array> {
  let at = 0;
  for (let i = 0; at < bytes.length; i++) {
    const end = at + lengths[i % lengths.length]!;
    yield bytes.slice(at, end);
    at = end;
  }
}

for (const { title, compression, stored } of EXAMPLES) {
  test(`${title} is read as its own library reads it, in one piece and in any others`, async () => {
    assert.deepEqual(await read(stored, compression), content);
    const lengths = fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1, maxLength: 8 });
    await fc.assert(
      fc.asyncProperty(lengths, async (each) => {
        assert.deepEqual(await stream(cut(stored, each), compression), content);
      }),
      { numRuns: 25 },
    );
  });

  test(`${title}: several behind one another are one content`, async () => {
    assert.deepEqual(
      await read(Buffer.concat([stored, stored]), compression, 2 * content.length),
      Buffer.concat([content, content]),
    );
  });

  test(`${title}: more than the limit is refused`, async () => {
    await assert.rejects(read(stored, compression, content.length - 1), {
      code: "WAL_INVALID",
      message: new RegExp(`^x.test is no sound ${compression}: it holds more than`),
    });
  });

  test(`${title}: what is cut short is never content`, async () => {
    const lengths = Array.from({ length: 40 }, (_, i) => Math.floor((i * stored.length) / 40));
    for (const length of [...lengths, stored.length - 1]) {
      await assert.rejects(read(stored.subarray(0, length), compression), { code: "WAL_INVALID" });
    }
  });

  test(`${title}: damage ends in one kind of error`, async () => {
    const flip = fc.tuple(fc.nat(stored.length - 1), fc.integer({ min: 1, max: 255 }));
    await fc.assert(
      fc.asyncProperty(fc.array(flip, { minLength: 1, maxLength: 4 }), async (flips) => {
        const copy = Buffer.from(stored);
        for (const [at, bits] of flips) copy[at]! ^= bits;
        await endsWell(copy, compression);
      }),
      { numRuns: 200 },
    );
  });

  test(`${compression}: noise behind a good beginning ends in one kind of error`, async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(40), fc.uint8Array({ maxLength: 400 }), async (length, noise) => {
        await endsWell(Buffer.concat([stored.subarray(0, length), noise]), compression);
      }),
      { numRuns: 200 },
    );
  });
}

/** Content of at most a megabyte, or WAL_INVALID. */
async function endsWell(stored: Uint8Array, compression: Compression): Promise<void> {
  try {
    assert.ok((await read(stored, compression, 1 << 20)).length <= 1 << 20);
  } catch (error) {
    assert.ok(error instanceof HoldfastError && error.code === "WAL_INVALID", String(error));
  }
}

test("checksums find damage wherever there are any", async () => {
  for (const { title, compression, stored } of EXAMPLES) {
    // Barman's lz4 and zstd store none of the content.
    if (title === "lz4" || title === "zstd") continue;
    for (let at = 0; at < stored.length; at++) {
      const copy = Buffer.from(stored);
      copy[at]! ^= 1 << (at % 8);
      const found = await read(copy, compression).catch(() => content);
      assert.deepEqual(found, content, `${title}, byte ${at}`);
    }
  }
});

test("what we write has a checksum, is read back, and is the same each time", async () => {
  for (const text of ["none", "gzip", "gzip:6", "zstd", "zstd:1"]) {
    const compression = parseWalCompression(text, "--wal-compression");
    const stored = await compressWhole(content, compression);
    assert.deepEqual(stored, await compressWhole(content, compression));
    if (compression.kind === null) continue;
    assert.deepEqual(await read(stored, compression.kind), content);
    const copy = Buffer.from(stored);
    copy[copy.length - 1]! ^= 1;
    await assert.rejects(read(copy, compression.kind), { code: "WAL_INVALID" });
  }
});

test("a compression that is none is refused", () => {
  for (const text of ["", "gz", "gzip:0", "gzip:10", "zstd:20", "lz4", "gzip:1:2"]) {
    assert.throws(() => parseWalCompression(text, "--x"), { code: "USAGE", message: /^--x: / });
  }
});

test("an error of the input passes through as it is, and has the stream closed", async () => {
  for (const { compression, stored } of EXAMPLES) {
    let closed = false;
    async function* failing(): AsyncGenerator<Uint8Array> {
      try {
        yield await Promise.resolve(stored.subarray(0, 10));
        throw new HoldfastError("STORAGE_UNAVAILABLE", "gone", { retryable: true });
      } finally {
        closed = true;
      }
    }
    await assert.rejects(
      async () => {
        for await (const _ of decompressStream(failing(), { compression }));
      },
      { code: "STORAGE_UNAVAILABLE" },
    );
    assert.ok(closed);
  }
});

test("who stops reading has the input closed", async () => {
  for (const { compression, stored } of EXAMPLES) {
    let closed = false;
    async function* input(): AsyncGenerator<Uint8Array> {
      try {
        yield await Promise.resolve(stored);
        for (;;) yield await Promise.resolve(stored);
      } finally {
        closed = true;
      }
    }
    for await (const _ of decompressStream(input(), { compression })) break;
    assert.ok(closed, compression);
  }
});

test("damage of a tar has a code of its own", async () => {
  await assert.rejects(
    async () => {
      const options = { compression: "snappy", code: "BACKUP_DAMAGED" } as const;
      for await (const _ of decompressStream([Buffer.from("nothing")], options));
    },
    { code: "BACKUP_DAMAGED" },
  );
});
