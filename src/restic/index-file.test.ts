import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { decodeIndexFile, encodeIndexFile, listIndexFile } from "./index-file.ts";
import type { IndexPack } from "./index-file.ts";
import type { BlobType } from "./pack-header.ts";

const A = "a".repeat(64);
const B = "0123456789abcdef".repeat(4);
const C = "c".repeat(64);

const PACKS: IndexPack[] = [
  {
    id: A,
    blobs: [
      { id: B, type: "data", offset: 0, length: 38, uncompressedLength: 0 },
      { id: C, type: "tree", offset: 38, length: 4294967000, uncompressedLength: 4294967295 },
    ],
  },
  { id: C, blobs: [{ id: A, type: "tree", offset: 0, length: 1, uncompressedLength: 0 }] },
];
const TEXT = `{"packs":[{"id":"${A}","blobs":[{"id":"${B}","type":"data","offset":0,"length":38},{"id":"${C}","type":"tree","offset":38,"length":4294967000,"uncompressed_length":4294967295}]},{"id":"${C}","blobs":[{"id":"${A}","type":"tree","offset":0,"length":1}]}]}\n`;

const id = fc
  .uint8Array({ minLength: 32, maxLength: 32 })
  .map((bytes) => Buffer.from(bytes).toString("hex"));
const uint31 = fc.integer({ min: 0, max: 0x7fff_ffff });
const blob = fc
  .tuple(id, fc.constantFrom<BlobType>("data", "tree"), uint31, uint31, fc.integer({ min: 0 }))
  .map(([name, type, offset, length, uncompressedLength]) => {
    return { id: name, type, offset, length, uncompressedLength };
  });
const pack = fc
  .tuple(id, fc.uniqueArray(blob, { selector: ({ offset }) => offset, maxLength: 5 }))
  .map(([name, blobs]) => ({ id: name, blobs }));

const sorted = (packs: readonly IndexPack[]): IndexPack[] =>
  packs.map(({ id: name, blobs }) => {
    return { id: name, blobs: blobs.toSorted((a, b) => a.offset - b.offset) };
  });

test("an index is the text that restic writes, and reads back", () => {
  assert.equal(encodeIndexFile(PACKS).toString("latin1"), TEXT);
  assert.deepEqual(listIndexFile(Buffer.from(TEXT)), PACKS);
  assert.deepEqual(listIndexFile(Buffer.from(TEXT.trimEnd())), PACKS);
  assert.equal(encodeIndexFile([]).toString("latin1"), '{"packs":[]}\n');
  assert.deepEqual(listIndexFile(Buffer.from('{"packs":[]}\n')), []);
});

test("any other JSON of the same meaning reads the same", () => {
  const value = JSON.parse(TEXT) as { packs: { blobs: Record<string, unknown>[] }[] };
  const indented = JSON.stringify(value, undefined, 2);
  const old = JSON.stringify({ supersedes: [A], ...value, packs_to_delete: [{ id: A }] });
  const rustic = JSON.stringify({
    packs: value.packs.map((entry) => ({ time: "now", ...entry, size: 1 })),
  });
  for (const text of [indented, old, rustic]) {
    assert.deepEqual(listIndexFile(Buffer.from(text)), PACKS);
  }
});

test("packs without blobs and repeated packs are kept", () => {
  const packs = [{ id: A, blobs: [] }, PACKS[1]!, { id: A, blobs: PACKS[0]!.blobs }];
  assert.deepEqual(listIndexFile(encodeIndexFile(packs)), packs);
  assert.deepEqual(listIndexFile(Buffer.from(`{"packs":[{"id":"${A}","blobs":null}]}`)), [
    { id: A, blobs: [] },
  ]);
});

test("every index survives, by the scanner and by JSON, in ascending offsets", () => {
  fc.assert(
    fc.property(fc.array(pack, { maxLength: 4 }), (packs) => {
      assert.deepEqual(listIndexFile(encodeIndexFile(packs)), sorted(packs));
      const json = packs.map((entry) => ({
        id: entry.id,
        blobs: entry.blobs.map(({ uncompressedLength, ...rest }) => {
          return { ...rest, uncompressed_length: uncompressedLength };
        }),
      }));
      const text = JSON.stringify({ packs: json });
      assert.deepEqual(listIndexFile(Buffer.from(text)), sorted(packs));
    }),
  );
});

test("blobs in any order are shown in ascending offsets, by the scanner as well", () => {
  const blobs = PACKS[0]!.blobs;
  const [first, second] = [
    ...encodeIndexFile([PACKS[0]!])
      .toString()
      .matchAll(/\{"id":"[^{}]*\}/g),
  ];
  const swapped = `{"packs":[{"id":"${A}","blobs":[${second![0]},${first![0]}]}]}\n`;
  assert.deepEqual(listIndexFile(Buffer.from(swapped)), [{ id: A, blobs }]);
});

test("a damaged index shows nothing at all", () => {
  const entry = `{"id":"${B}","type":"data","offset":0,"length":38}`;
  const file = (blobs: string): string => `{"packs":[{"id":"${A}","blobs":[${entry},${blobs}]}]}`;
  for (const text of [
    "",
    "[]",
    TEXT.slice(0, -3),
    `${TEXT}x`,
    `{"packs":{}}`,
    `{"packs":[1]}`,
    `{"packs":[{"id":"${A.slice(1)}","blobs":[]}]}`,
    `{"packs":[{"id":"${A}","blobs":{}}]}`,
    file("null"),
    file(entry.replace(B, B.toUpperCase())),
    file(entry.replace(B, `${B.slice(1)}g`)),
    file(entry.replace("data", "blob")),
    file(entry.replace('"offset":0', '"offset":-1')),
    file(entry.replace('"offset":0', '"offset":1.5')),
    file(entry.replace('"offset":0', '"offset":4294967296')),
    file(entry.replace('"offset":0', '"offset":00')),
    file(entry.replace('"offset":0', '"offset":4294967295')),
    file(entry.replace("38", '"38"')),
    file(entry.replace("38", '38,"uncompressed_length":99999999999')),
  ]) {
    let calls = 0;
    const visitor = { pack: () => calls++, blob: () => calls++ };
    const decode = (): void => decodeIndexFile(Buffer.from(text), visitor as never);
    assert.throws(decode, { code: "INDEX_DAMAGED" }, text.slice(-120));
    assert.equal(calls, 0);
  }
});
