import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inflateRawSync } from "node:zlib";
import { after, test } from "node:test";
import assert from "node:assert/strict";
import { seededBytes } from "../../../test/seeded-bytes.ts";
import { deflateBlocks } from "./deflate-blocks.ts";
import { isPacked } from "./packed-formats.ts";
import { ZipWriter } from "./zip-writer.ts";

const folder = mkdtempSync(join(tmpdir(), "holdfast-zip-writer-"));

after(() => rmSync(folder, { recursive: true, force: true }));

async function* inPieces(content: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < content.length; at += size) yield content.subarray(at, at + size);
  await Promise.resolve();
}

test("pieces that were compressed each by itself are one stream, whatever their sizes", async () => {
  for (const [length, size] of [
    [0, 1],
    [1, 1],
    [1 << 20, 1 << 20],
    [(1 << 20) + 1, 100_000],
    [3_500_000, 1_300_000],
  ] as const) {
    const content = Buffer.alloc(length, "so many words, again and again; ");
    const parts: Uint8Array[] = [];
    for await (const part of deflateBlocks(inPieces(content, size), { level: 6, lanes: 3 }))
      parts.push(part);
    assert.ok(inflateRawSync(Buffer.concat(parts)).equals(content), `${length}`);
  }
});

test("a failing source fails the stream, and nothing of it goes on behind", async () => {
  const failing = (async function* (): AsyncGenerator<Uint8Array> {
    yield await Promise.resolve(Buffer.alloc(3 << 20));
    throw new Error("the source broke");
  })();
  await assert.rejects(async () => {
    for await (const part of deflateBlocks(failing, { level: 1, lanes: 2 })) assert.ok(part);
  }, /the source broke/);
});

test("what is compressed already is told by its beginning, and never by a part of it", () => {
  const jpeg = Buffer.from([0xff, 0xd8, 0xff, 0xe0]);
  assert.ok(isPacked(jpeg));
  assert.ok(isPacked(Buffer.from("%PDF-1.7")));
  assert.ok(isPacked(Buffer.from("RIFF\0\0\0\0WEBPVP8 ")));
  assert.ok(!isPacked(jpeg.subarray(0, 2)));
  assert.ok(!isPacked(Buffer.from("RIFF\0\0\0\0WAVE")));
  assert.ok(!isPacked(Buffer.alloc(0)));
});

test("more entries than a plain zip can count, names of every kind: any reader finds them", async () => {
  const pieces: Buffer[] = [];
  const writer = new ZipWriter({
    write: async (bytes) => {
      pieces.push(Buffer.from(bytes));
      await Promise.resolve();
    },
    now: Date.UTC(2026, 10, 26, 12, 0, 0),
    lanes: 2,
  });
  const large = seededBytes("large", 3 << 20);
  const told = await writer.addStream("a/ström.bin", inPieces(large, 65_536), { packed: true });
  assert.deepEqual(told, {
    sha1: createHash("sha1").update(large).digest("hex"),
    size: large.length,
  });
  const small = await writer.prepare("small", Buffer.from("x"));
  for (let i = 0; i < 66_000; i++) {
    const { entry, content } = small;
    await writer.add({ entry: { ...entry, name: `n/${i}` }, content });
  }
  await writer.end();
  assert.equal(writer.entries, 66_001);
  const path = join(folder, "many.zip");
  const zip = Buffer.concat(pieces);
  assert.equal(writer.bytes, zip.length);
  writeFileSync(path, zip);
  const code = `
import sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as z:
    i = z.infolist()
    assert i[0].filename == 'a/str\\u00f6m.bin' and len(z.read(i[0])) == 3 << 20, i[0]
    assert z.read('n/65999') == b'x'
    print(len(i), i[0].date_time)`;
  let said: string;
  try {
    said = execFileSync("python3", ["-c", code, path], { encoding: "utf8" });
  } catch (error) {
    if ((error as { code?: string }).code === "ENOENT") return;
    throw error;
  }
  assert.equal(said, "66001 (2026, 11, 26, 12, 0, 0)\n");
});
