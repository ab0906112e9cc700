import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ChunkReader } from "./chunks.ts";
import { BadAnswer } from "./head.ts";

function readAll(pieces: readonly Uint8Array[]): { content: Buffer; used: number; done: boolean } {
  const reader = new ChunkReader();
  const content: Uint8Array[] = [];
  let used = 0;
  for (const piece of pieces)
    used += reader.read(piece, (part) => content.push(Uint8Array.from(part)));
  return { content: Buffer.concat(content), used, done: reader.isDone };
}

test("the content comes out however the chunks and the reads are cut", () => {
  const bytes = fc.uint8Array({ minLength: 1, maxLength: 40 });
  fc.assert(
    fc.property(fc.array(bytes), fc.array(fc.nat(9)), fc.boolean(), (chunks, cuts, extended) => {
      const extension = extended ? ";name=value" : "";
      const encoded = Buffer.concat([
        ...chunks.flatMap((chunk) => [
          Buffer.from(`${chunk.length.toString(16)}${extension}\r\n`),
          chunk,
          Buffer.from("\r\n"),
        ]),
        Buffer.from("0\r\nTrailer: x\r\n\r\n"),
        Buffer.from("next"),
      ]);
      const pieces: Buffer[] = [];
      for (let at = 0, i = 0; at < encoded.length; i++) {
        const length = 1 + (cuts[i % Math.max(1, cuts.length)] ?? 100);
        pieces.push(encoded.subarray(at, at + length));
        at += length;
      }
      const { content, used, done } = readAll(pieces);
      assert.ok(content.equals(Buffer.concat(chunks)));
      assert.ok(done);
      assert.equal(used, encoded.length - 4);
    }),
  );
});

test("what is no chunk is refused", () => {
  for (const text of ["x\r\n", "5\n", "3\r\nabcd\r\n", "-1\r\n", "\r\n", "1000000000000000\r\n"]) {
    assert.throws(() => readAll([Buffer.from(text)]), BadAnswer, text);
  }
  assert.throws(() => readAll([Buffer.alloc(9000, "1")]), BadAnswer);
  assert.equal(readAll([Buffer.from("3\r\nabc")]).done, false);
});
