import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { gunzipSync } from "node:zlib";
import fc from "fast-check";
import { seededBytes } from "../../../test/seeded-bytes.ts";
import { GzipBlocks } from "./gzip-blocks.ts";

async function compressed(
  content: Buffer,
  { piece = 70_000, level = 1, lanes = 3 } = {},
): Promise<Buffer> {
  const made: Buffer[] = [];
  const output = async (bytes: Uint8Array): Promise<void> => {
    await Promise.resolve();
    made.push(Buffer.from(bytes));
  };
  const gzip = new GzipBlocks({ level, lanes, output });
  const memory = Buffer.alloc(piece);
  for (let at = 0; at < content.length; at += piece) {
    // One and the same memory each time: nothing may look at it later.
    const length = content.copy(memory, 0, at, at + piece);
    await gzip.write(memory.subarray(0, length));
    memory.fill(0xee);
  }
  await gzip.end();
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
      [2, 3, 6].map(async (lanes) => await compressed(content, { lanes })),
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

test("what the output throws is passed on, and nothing is left running", async () => {
  const full = new Error("full");
  const gzip = new GzipBlocks({
    level: 1,
    lanes: 2,
    output: async () => await Promise.reject(full),
  });
  await assert.rejects(gzip.write(mixed(3 * BLOCK)), full);
  await gzip.close();
});

test("a writer waits for a slow output", async () => {
  let [isOpen, taken] = [false, 0];
  const gates: (() => void)[] = [];
  const gzip = new GzipBlocks({
    level: 1,
    lanes: 2,
    output: async (bytes) => {
      if (!isOpen) await new Promise<void>((resolve) => gates.push(resolve));
      taken += bytes.length;
    },
  });
  let isWritten = false;
  const writing = gzip.write(mixed(6 * BLOCK)).then(() => (isWritten = true));
  while (gates.length === 0) await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual([isWritten, taken], [false, 0]);
  isOpen = true;
  gates.forEach((open) => open());
  await writing;
  await gzip.end();
  assert.ok(taken > 0);
});
