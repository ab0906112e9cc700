import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { fromHex } from "../base/bytes.ts";
import { IndexFileBuilder } from "./index-file-builder.ts";
import { encodeIndexFile } from "./index-file.ts";
import { decodePackHeader, encodePackHeader } from "./pack-header.ts";

const id = fc
  .uint8Array({ minLength: 32, maxLength: 32 })
  .map((b) => Buffer.from(b).toString("hex"));
const blob = fc.record({
  type: fc.constantFrom("data" as const, "tree" as const),
  id,
  length: fc.nat(2 ** 24),
  uncompressedLength: fc.oneof(fc.constant(0), fc.nat(2 ** 24)),
});

test("builds the same bytes from headers as are encoded from entries", () => {
  const packs = fc.array(fc.tuple(id, fc.array(blob, { minLength: 1, maxLength: 40 })));
  fc.assert(
    fc.property(packs, (given) => {
      const builder = new IndexFileBuilder();
      const entries = given.map(([pack, blobs]) => {
        const header = encodePackHeader(blobs);
        builder.addPack(fromHex(pack), header);
        return { id: pack, blobs: decodePackHeader(header) };
      });
      assert.equal(builder.blobs, given.flatMap(([, blobs]) => blobs).length);
      assert.equal(builder.finish().toString(), encodeIndexFile(entries).toString());
    }),
  );
});

test("grows far beyond its first buffer", () => {
  const builder = new IndexFileBuilder();
  const one = { type: "data" as const, id: "ab".repeat(32), length: 1000, uncompressedLength: 9 };
  const header = encodePackHeader(Array.from({ length: 3000 }, () => one));
  for (let pack = 0; pack < 4; pack++) builder.addPack(Buffer.alloc(32, pack), header);
  const value = JSON.parse(builder.finish().toString()) as { packs: { blobs: unknown[] }[] };
  assert.deepEqual(
    value.packs.map(({ blobs }) => blobs.length),
    [3000, 3000, 3000, 3000],
  );
});
