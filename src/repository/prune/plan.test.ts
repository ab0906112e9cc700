// The plan, on random repositories: it never takes away the last copy of what is needed, and its numbers add up.

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { fromHex } from "../../base/bytes.ts";
import { BlobIndexBuilder } from "../blob-index-builder.ts";
import { EntrySet, createEntrySetMemory } from "../entry-set.ts";
import type { RepositoryFile } from "../layout.ts";
import { PackTable } from "../pack-table.ts";
import { planPrune } from "./plan.ts";
import type { MaxUnused, PruneCriteria, PrunePlan } from "./plan.ts";

interface Blob {
  id: number;
  tree: boolean;
  length: number;
  compressed: boolean;
}

/** Ids of the first bytes that differ, so that lookups have something to do. */
const id = (n: number): string => (n * 2_654_435_761).toString(16).padStart(16, "0").repeat(4);

interface Example {
  table: PackTable;
  used: EntrySet;
  files: RepositoryFile[];
}

/** A repository of these packs, in which the blobs with these ids are needed. */
function makeExample(packs: readonly (readonly Blob[])[], needed: ReadonlySet<number>): Example {
  const builder = new BlobIndexBuilder();
  for (const [number, blobs] of packs.entries()) {
    builder.pack(id(1000 + number));
    let offset = 0;
    for (const { id: blob, tree, length, compressed } of blobs) {
      builder.blob(tree, fromHex(id(blob)), offset, length, compressed ? 2 * length : 0);
      offset += length;
    }
  }
  const index = builder.build();
  const table = new PackTable(index);
  const used = new EntrySet(createEntrySetMemory(index.count));
  for (const blobs of packs) {
    for (const { id: blob, tree } of blobs) {
      if (needed.has(blob)) used.add(index.find(tree ? "tree" : "data", fromHex(id(blob))));
    }
  }
  const files = table.packs.map((pack) => ({
    id: index.packs[pack]!,
    size: table.fileBytes(pack),
  }));
  return { table, used, files };
}

const CRITERIA: PruneCriteria = {
  maxUnused: { kind: "percent", percent: 5 },
  maxRepackBytes: Infinity,
  smallPackBytes: undefined,
  repackCacheableOnly: false,
  repackUncompressed: false,
};

const plan = (
  example: Example,
  criteria: Partial<PruneCriteria> = {},
  version: 1 | 2 = 2,
): PrunePlan => planPrune({ ...example, version, criteria: { ...CRITERIA, ...criteria } });

const blobs = fc.record({
  id: fc.integer({ min: 1, max: 30 }),
  tree: fc.constant(false),
  length: fc.integer({ min: 33, max: 5_000_000 }),
  compressed: fc.boolean(),
});
const trees = fc.record({
  id: fc.integer({ min: 31, max: 45 }),
  tree: fc.constant(true),
  length: fc.integer({ min: 33, max: 100_000 }),
  compressed: fc.constant(true),
});
const repositories = fc.array(fc.array(fc.oneof(blobs, trees), { minLength: 1, maxLength: 6 }), {
  minLength: 1,
  maxLength: 25,
});
const limits: fc.Arbitrary<MaxUnused> = fc.oneof(
  fc.constant<MaxUnused>({ kind: "unlimited" }),
  fc.record({ kind: fc.constant("percent" as const), percent: fc.integer({ min: 0, max: 99 }) }),
  fc.record({ kind: fc.constant("bytes" as const), bytes: fc.integer({ min: 0, max: 1e7 }) }),
);
const criteria = fc.record({
  maxUnused: limits,
  maxRepackBytes: fc.oneof(fc.constant(Infinity), fc.integer({ min: 0, max: 2e7 })),
  smallPackBytes: fc.oneof(fc.constant(undefined), fc.integer({ min: 1, max: 1e7 })),
  repackCacheableOnly: fc.boolean(),
  repackUncompressed: fc.boolean(),
});

test("every needed blob is in a pack that stays, or is copied out of one that is read", () => {
  const needs = fc.uniqueArray(fc.integer({ min: 1, max: 45 }));
  fc.assert(
    fc.property(repositories, needs, criteria, (packs, needed, chosen) => {
      const example = makeExample(packs, new Set(needed));
      const { table, used } = example;
      const { repack, remove, copy, firsts, statistics } = plan(example, chosen);
      const leaving = new Set([...repack, ...remove]);
      assert.equal(leaving.size, repack.length + remove.length);
      const kept = new Set<number>();
      const readable = new Set<number>();
      for (const pack of table.packs) {
        for (const entry of table.entries(pack)) {
          if (!leaving.has(pack)) kept.add(firsts[entry]!);
          if (repack.includes(pack)) readable.add(firsts[entry]!);
        }
      }
      table.forEachBlob((first) => {
        assert.equal(firsts[first], first);
        const isCopied = copy.has(first);
        if (used.has(first)) assert.ok(kept.has(first) !== isCopied, "once, not twice");
        else assert.ok(!isCopied);
        if (isCopied) assert.ok(readable.has(first));
      });
      const { blobs: counts, bytes, packs: files } = statistics;
      assert.equal(files.keep + files.repack + files.remove, table.packs.length);
      assert.equal(counts.used, new Set(usedFirsts(example, firsts)).size);
      assert.equal(counts.remaining + counts.removeTotal, counts.total);
      assert.ok(bytes.remainingUnused >= 0 && bytes.remaining >= bytes.used - 1);
      assert.ok(bytes.repack <= chosen.maxRepackBytes);
    }),
  );
});

function usedFirsts({ table, used }: Example, firsts: Uint32Array): number[] {
  return [...firsts.keys()]
    .map((entry) => firsts[entry]!)
    .filter((first) => used.has(first) && table.index.count > 0);
}

test("with no limit nothing unneeded stays, but in packs that are not touched", () => {
  const needs = fc.uniqueArray(fc.integer({ min: 1, max: 45 }));
  fc.assert(
    fc.property(repositories, needs, (packs, needed) => {
      const example = makeExample(packs, new Set(needed));
      const { statistics } = plan(example, { maxUnused: { kind: "bytes", bytes: 0 } });
      assert.equal(statistics.bytes.remainingUnused, 0);
    }),
  );
});

const file = (n: number, length: number, fields: Partial<Blob> = {}): Blob => ({
  id: n,
  tree: false,
  length,
  compressed: true,
  ...fields,
});

test("packs that hold nothing but copies are preferred: an interrupted prune left them", () => {
  const example = makeExample(
    [
      [file(1, 6e6), file(2, 6e6)],
      [file(3, 6e6), file(4, 6e6)],
      [file(1, 6e6), file(3, 6e6)],
    ],
    new Set([1, 3]),
  );
  const { remove, repack } = plan(example);
  assert.deepEqual([remove, repack], [[0, 1], []]);
});

test("small packs are left alone until there are ten of them", () => {
  const packs = Array.from({ length: 9 }, (_, i) => [file(i, 1000 + i)]);
  const needed = new Set(Array.from({ length: 10 }, (_, i) => i));
  assert.equal(plan(makeExample(packs, needed)).repack.length, 0);
  assert.equal(plan(makeExample([...packs, [file(9, 2000)]], needed)).repack.length, 10);
});

test("listings that are not compressed are written anew where the format can", () => {
  const example = makeExample([[file(1, 6e6, { tree: true, compressed: false })]], new Set([1]));
  assert.equal(plan(example).repack.length, 1);
  assert.equal(plan(example, {}, 1).repack.length, 0);
});

test("a pack that is not as the index says stops it, unless nobody needs it", () => {
  const example = makeExample([[file(1, 6e6)], [file(2, 6e6)]], new Set([1]));
  const resized = (n: number): Example => ({
    ...example,
    files: example.files.map((each, i) => (i === n ? { ...each, size: each.size + 1 } : each)),
  });
  const without = (n: number): Example => ({
    ...example,
    files: example.files.filter((_, i) => i !== n),
  });
  for (const broken of [resized(0), without(0)]) {
    assert.throws(() => plan(broken), { code: "PRUNE_REFUSED" });
  }
  assert.deepEqual(plan(resized(1)).remove, [1]);
  assert.deepEqual([plan(without(1)).remove, plan(without(1)).missing], [[], [1]]);
});
