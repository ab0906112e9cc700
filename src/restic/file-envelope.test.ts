import assert from "node:assert/strict";
import test from "node:test";
import { compressZstd } from "./compression.ts";
import { unwrapFile, wrapFile } from "./file-envelope.ts";

const JSON_BYTES = Buffer.from('{"a":1}');
const CODE = { code: "INDEX_DAMAGED" } as const;

test("format 1 stores JSON as it is", () => {
  assert.equal(wrapFile(JSON_BYTES, 1), JSON_BYTES);
  assert.equal(unwrapFile(JSON_BYTES, { version: 1, ...CODE }), JSON_BYTES);
});

test("format 2 stores the byte 2 and zstd, and reads plain JSON too", () => {
  const wrapped = wrapFile(JSON_BYTES, 2);
  assert.equal(wrapped[0], 2);
  assert.deepEqual([...unwrapFile(wrapped, { version: 2, ...CODE })], [...JSON_BYTES]);
  assert.equal(unwrapFile(JSON_BYTES, { version: 2, ...CODE }), JSON_BYTES);
  const list = Buffer.from("[]");
  assert.equal(unwrapFile(list, { version: 2, ...CODE }), list);
});

test("an unknown or damaged wrapping has the code of its kind of file", () => {
  const large = Buffer.concat([Buffer.of(2), compressZstd(Buffer.alloc(10_000))]);
  for (const bytes of [Buffer.of(1, 2, 3), Buffer.of(2), Buffer.of(2, 0x28, 0xb5), large]) {
    assert.throws(() => unwrapFile(bytes, { version: 2, maxBytes: 9_999, ...CODE }), CODE);
  }
});
