import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { suite, test } from "node:test";
import fc from "fast-check";
import { seededBytes } from "../../test/seeded-bytes.ts";
import { toHex } from "../base/bytes.ts";
import type { Id } from "../base/bytes.ts";
import { BlobLookup } from "./blob-index.ts";
import type { BlobIndex, BlobPlace, BlobType } from "./blob-index.ts";
import { BlobIndexBuilder } from "./blob-index-builder.ts";
import { PackTable } from "./pack-table.ts";

interface Entry {
  type: BlobType;
  id: Buffer;
  offset: number;
  length: number;
  uncompressedLength: number;
}

/** Adds packs of entries; what a Map says of them. */
function build(
  packs: Entry[][],
  expected?: number,
): { index: BlobIndex; model: Map<string, BlobPlace[]> } {
  const builder = new BlobIndexBuilder(expected);
  const model = new Map<string, BlobPlace[]>();
  for (const [number, entries] of packs.entries()) {
    const pack = number.toString(16).padStart(64, "0");
    const packNumber = builder.pack(pack);
    for (const { id, type, offset, length, uncompressedLength } of entries) {
      builder.blob(type === "tree", id, offset, length, uncompressedLength);
      const key = `${type} ${toHex(id)}`;
      const place = { type, pack, packNumber, offset, length, uncompressedLength };
      model.set(key, [...(model.get(key) ?? []), place]);
    }
  }
  return { index: builder.build(), model };
}

const byPlace = (a: BlobPlace, b: BlobPlace): number =>
  a.packNumber - b.packNumber || a.offset - b.offset;

function assertEqual(index: BlobIndex, model: Map<string, BlobPlace[]>): void {
  let count = 0;
  for (const [key, places] of model) {
    const [type, id] = key.split(" ") as [BlobType, Id];
    assert.deepEqual(index.places(type, id).sort(byPlace), places.sort(byPlace));
    assert.equal(index.has(type, Buffer.from(id, "hex")), true);
    count += places.length;
  }
  assert.equal(index.count, count);
}

/** Few first bytes and few last bytes, so that buckets fill and ids come twice. */
const ids = fc
  .tuple(fc.constantFrom(0, 0x0100, 0xff00, 0xffff), fc.nat(3), fc.nat(3))
  .map(([bucket, middle, last]) => {
    const id = Buffer.alloc(32);
    id.writeUInt16BE(bucket);
    id[2] = middle;
    id[31] = last;
    return id;
  });

const entries: fc.Arbitrary<Entry> = fc.record({
  type: fc.constantFrom("data" as const, "tree" as const),
  id: ids,
  offset: fc.nat(0xffffffff),
  length: fc.integer({ min: 32, max: 0xffffffff }),
  uncompressedLength: fc.nat(0xffffffff),
});

suite("an index", () => {
  test("answers as a map would, whatever was put in", () => {
    const property = fc.property(
      fc.array(fc.array(entries, { maxLength: 12 }), { maxLength: 12 }),
      ids,
      (packs, other) => {
        const { index, model } = build(packs);
        assertEqual(index, model);
        for (const type of ["data", "tree"] as const) {
          const known = model.has(`${type} ${toHex(other)}`);
          assert.equal(index.has(type, other), known);
          assert.equal(index.places(type, toHex(other)).length > 0, known);
        }
        for (let i = 1; i < index.count; i++) {
          assert.ok(Buffer.compare(index.idBytes(i - 1), index.idBytes(i)) <= 0);
        }
      },
    );
    fc.assert(property, { numRuns: 150 });
  });

  test("of a hundred thousand blobs finds each, and no other", () => {
    const random = seededBytes("ids", 100_000 * 32);
    const packs: Entry[][] = Array.from({ length: 100 }, () => []);
    for (let i = 0; i < 100_000; i++) {
      packs[i % 100]!.push({
        type: i % 10 === 0 ? "tree" : "data",
        id: random.subarray(i * 32, i * 32 + 32),
        offset: i,
        length: 40 + i,
        uncompressedLength: i % 3,
      });
    }
    // Every tenth blob has a second copy, every hundredth a tree of the same id.
    for (let i = 1; i < 100_000; i += 10) packs[99]!.push({ ...packs[i % 100]![0]!, offset: i });
    for (let i = 1; i < 100_000; i += 100) {
      packs[98]!.push({ ...packs[i % 100]![3]!, type: "tree", offset: i });
    }
    const { index, model } = build(packs, 10);
    assertEqual(index, model);
    for (let i = 0; i < 1000; i++) assert.equal(index.has("data", randomBytes(32)), false);
  });

  test("finds an id inside a longer buffer", () => {
    const { index } = build([
      [{ type: "data", id: Buffer.alloc(32, 7), offset: 0, length: 40, uncompressedLength: 0 }],
    ]);
    const buffer = Buffer.concat([Buffer.alloc(5), Buffer.alloc(32, 7), Buffer.alloc(5)]);
    assert.equal(index.find("data", buffer, 5), 0);
    assert.equal(index.find("data", buffer, 4), -1);
  });

  test("that is empty knows nothing", () => {
    const { index } = build([]);
    assert.equal(index.count, 0);
    assert.equal(index.has("data", Buffer.alloc(32)), false);
    assert.deepEqual(index.places("tree", "ff".repeat(32)), []);
  });

  test("tells the plaintext's length", () => {
    const base = { type: "data", id: Buffer.alloc(32, 1), offset: 0, length: 132 } as const;
    const { index } = build([
      [{ ...base, uncompressedLength: 0 }],
      [{ ...base, id: Buffer.alloc(32, 2), uncompressedLength: 5000 }],
    ]);
    assert.deepEqual([index.plainLength(0), index.plainLength(1)], [100, 5000]);
  });

  test("is seen by other threads through its shared memory", () => {
    const { index } = build([
      [{ type: "tree", id: Buffer.alloc(32, 9), offset: 3, length: 50, uncompressedLength: 60 }],
    ]);
    const lookup = new BlobLookup(structuredClone(index.shared));
    assert.equal(lookup.find("tree", Buffer.alloc(32, 9)), 0);
    assert.equal(lookup.find("data", Buffer.alloc(32, 9)), -1);
    assert.equal(lookup.ids.buffer.byteLength, index.ids.buffer.byteLength);
  });

  test("forgets what was added since a mark", () => {
    const builder = new BlobIndexBuilder(1);
    builder.pack("aa".repeat(32));
    builder.blob(false, Buffer.alloc(32, 1), 0, 40, 0);
    const mark = builder.mark();
    builder.pack("bb".repeat(32));
    for (let i = 0; i < 3000; i++) builder.blob(true, randomBytes(32), i, 40, 0);
    builder.rollback(mark);
    builder.pack("cc".repeat(32));
    builder.blob(false, Buffer.alloc(32, 2), 7, 40, 0);
    const index = builder.build();
    assert.equal(index.count, 2);
    assert.deepEqual(index.packs, ["aa".repeat(32), "cc".repeat(32)]);
    assert.equal(index.places("data", "02".repeat(32))[0]!.pack, "cc".repeat(32));
  });
});

suite("the index by packs", () => {
  const entry = (byte: number, offset: number, type: BlobType = "data"): Entry => ({
    type,
    id: Buffer.alloc(32, byte),
    offset,
    length: 50,
    uncompressedLength: byte % 2,
  });

  test("lists each pack's blobs by offset, and the size that the file must have", () => {
    const { index } = build([
      [entry(3, 100), entry(9, 0), entry(4, 50)],
      [entry(1, 0, "tree")],
      [],
      [entry(2, 50), entry(5, 0, "tree")],
    ]);
    const table = new PackTable(index);
    const blobs = (pack: number): number[] =>
      [...table.entries(pack)].map((i) => index.idBytes(i)[0]!);
    assert.deepEqual([0, 1, 2, 3].map(blobs), [[9, 4, 3], [1], [], [5, 2]]);
    // 36 bytes, the blobs, an entry of 37 or, when compressed, 41 bytes for each.
    assert.equal(table.fileBytes(0), 36 + 3 * 50 + 41 + 37 + 41);
    assert.deepEqual(
      table.packs.map((pack) => table.content(pack)),
      ["data", "tree", "data", "mixed"],
    );
    assert.deepEqual([table.duplicates, table.split], [[], []]);
  });

  test("unites listings of one pack, and tells equal ones from split ones", () => {
    const builder = new BlobIndexBuilder();
    const listings: [string, Entry[]][] = [
      ["aa", [entry(1, 0), entry(2, 50)]],
      ["bb", [entry(3, 0)]],
      ["aa", [entry(2, 50), entry(1, 0)]],
      ["cc", [entry(4, 0), entry(5, 50)]],
      ["bb", [entry(6, 50)]],
      ["cc", [entry(4, 0), entry(7, 50)]],
    ];
    for (const [pack, list] of listings) {
      builder.pack(pack.repeat(32));
      for (const { id, offset, length, uncompressedLength } of list) {
        builder.blob(false, id, offset, length, uncompressedLength);
      }
    }
    const table = new PackTable(builder.build());
    assert.deepEqual(table.packs, [0, 1, 3]);
    assert.deepEqual(table.duplicates, [0]);
    assert.deepEqual(table.split, [1, 3]);
    const blobs = (pack: number): number[] =>
      [...table.entries(pack)].map((i) => table.index.idBytes(i)[0]!).sort((a, b) => a - b);
    assert.deepEqual([0, 1, 3].map(blobs), [
      [1, 2],
      [3, 6],
      [4, 5, 7],
    ]);
    assert.deepEqual(table.listings(1), [1, 4]);
    assert.equal(table.canonical(5), 3);
    assert.equal(table.numberOf("cc".repeat(32)), 3);
    assert.equal(table.numberOf("dd".repeat(32)), undefined);
  });

  test("visits each distinct blob once, with the entry that find gives", () => {
    const property = fc.property(
      fc.array(fc.array(entries, { maxLength: 8 }), { maxLength: 8 }),
      (packs) => {
        const { index, model } = build(packs);
        const seen = new Map<string, number>();
        new PackTable(index).forEachBlob((first, all) => {
          const type = index.isTree(first) ? "tree" : "data";
          assert.equal(index.find(type, index.idBytes(first)), first);
          seen.set(`${type} ${index.idAt(first)}`, all.length);
        });
        assert.deepEqual(seen, new Map([...model].map(([key, { length }]) => [key, length])));
      },
    );
    fc.assert(property);
  });
});
