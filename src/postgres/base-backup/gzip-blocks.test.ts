import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { gunzipSync } from "node:zlib";
import fc from "fast-check";
import { seededBytes } from "../../../test/seeded-bytes.ts";
import { gzipBlocks } from "./gzip-blocks.ts";

async function* pieces(content: Buffer, length: number): AsyncGenerator<Uint8Array, void> {
  for (let at = 0; at < content.length; at += length)
    yield await Promise.resolve(content.subarray(at, at + length));
}

async function compressed(
  content: Buffer,
  { piece = 70_000, level = 1, lanes = 3 } = {},
): Promise<Buffer> {
  const made: Uint8Array[] = [];
  for await (const bytes of gzipBlocks(pieces(content, piece), { level, lanes })) made.push(bytes);
  return Buffer.concat(made);
}

/** What compresses and what does not, in turns. */
function mixed(length: number): Buffer {
  const content = Buffer.alloc(length);
  for (let at = 0; at < length; at += 300_000) {
    const part = content.subarray(at, at + 300_000);
    if ((at / 300_000) % 2 === 0) part.set(seededBytes(`mixed ${at}`, part.length));
    else part.fill("the same text over and over, ");
  }
  return content;
}

const BLOCK = 1 << 20;

for (const length of [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK, 9 * BLOCK + 12_345]) {
  test(`${length} bytes come back, whatever the number of lanes`, async () => {
    const content = mixed(length);
    const made = await Promise.all(
      [1, 2, 5].map(async (lanes) => await compressed(content, { lanes })),
    );
    for (const each of made) {
      assert.ok(gunzipSync(each).equals(content));
      assert.ok(each.equals(made[0]!));
    }
  });
}

test("any content in any pieces comes back", async () => {
  const source = mixed(4 * BLOCK);
  await fc.assert(
    fc.asyncProperty(
      fc.nat(4 * BLOCK),
      fc.integer({ min: 1000, max: 3_000_000 }),
      fc.integer({ min: 1, max: 9 }),
      async (length, piece, level) => {
        const content = source.subarray(0, length);
        assert.ok(gunzipSync(await compressed(content, { piece, level })).equals(content));
      },
    ),
    { numRuns: 15 },
  );
});

test("it is one member, and the system's gzip and Python's streaming reader take all of it", async () => {
  const content = mixed(3 * BLOCK + 99);
  const bytes = await compressed(content);
  execFileSync("gzip", ["--test"], { input: bytes });
  const script = `
import sys, zlib
reader = zlib.decompressobj(31)
content = reader.decompress(sys.stdin.buffer.read()) + reader.flush()
assert reader.eof and reader.unused_data == b"", "more than one member"
print(len(content))`;
  const said = execFileSync("python3", ["-c", script], { input: bytes, encoding: "utf8" });
  assert.equal(said.trim(), String(content.length));
});

test("what fails while it is read is passed on, and nothing is left running", async () => {
  const failing = async function* (): AsyncGenerator<Uint8Array, void> {
    yield mixed(2 * BLOCK);
    await Promise.resolve();
    throw new Error("the source broke");
  };
  const read = async (): Promise<void> => {
    for await (const bytes of gzipBlocks(failing(), { level: 1, lanes: 3 })) assert.ok(bytes);
  };
  await assert.rejects(read(), /the source broke/);
});

test("one who stops reading stops it", async () => {
  let isAsked = 0;
  const endless = async function* (): AsyncGenerator<Uint8Array, void> {
    try {
      for (;;) {
        isAsked++;
        yield await Promise.resolve(mixed(BLOCK));
      }
    } finally {
      isAsked = -1;
    }
  };
  for await (const bytes of gzipBlocks(endless(), { level: 1, lanes: 2 })) {
    if (bytes.length > 100) break;
  }
  assert.equal(isAsked, -1);
});
