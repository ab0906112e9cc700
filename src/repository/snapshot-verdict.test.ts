import assert from "node:assert/strict";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import {
  damage,
  memoryRepository,
  storeIndex,
  storePack,
  storeSnapshot,
  treeOf,
} from "../../test/memory-repository.ts";
import type { MemoryRepository } from "../../test/memory-repository.ts";
import { sha256Hex } from "../base/bytes.ts";
import type { Id } from "../base/bytes.ts";
import { checkRepository } from "./check.ts";
import type { CheckOptions } from "./check.ts";
import { keyOf } from "./layout.ts";
import type { SnapshotVerdict } from "./snapshot-verdict.ts";
import { VerifiedPacks } from "./verified-packs.ts";

interface Example extends MemoryRepository {
  small: Id;
  large: Id;
  packs: { shared: Id; own: Id; trees: Id };
}

/** Two snapshots: one needs `shared`, the other, through a directory below, `own` as well. */
async function example(): Promise<Example> {
  const made = memoryRepository();
  const { repository } = made;
  const [first, second] = [Buffer.from("first"), Buffer.from("second")];
  const shared = await storePack(repository, [{ type: "data", plain: first }]);
  const own = await storePack(repository, [{ type: "data", plain: second }]);
  const below = treeOf({ b: [sha256Hex(second)] });
  const smallTree = treeOf({ a: [sha256Hex(first)] });
  const largeTree = treeOf({ a: [sha256Hex(first)], d: { tree: sha256Hex(below) } });
  const trees = await storePack(
    repository,
    [below, smallTree, largeTree].map((plain) => ({ type: "tree", plain })),
  );
  await storeIndex(repository, [shared, own, trees]);
  const small = await storeSnapshot(repository, sha256Hex(smallTree));
  const time = "2026-02-02T03:04:05Z";
  const large = await storeSnapshot(repository, sha256Hex(largeTree), { time });
  return { ...made, small, large, packs: { shared: shared.id, own: own.id, trees: trees.id } };
}

async function verdictsOf(
  { repository }: Example,
  options: Partial<CheckOptions> = {},
): Promise<Record<Id, SnapshotVerdict>> {
  const report = await checkRepository(repository, {
    readData: { mode: "none" },
    workers: 1,
    verdicts: true,
    ...options,
  });
  return Object.fromEntries(report.verdicts.map((verdict) => [verdict.id, verdict]));
}

const memory = (): VerifiedPacks => new VerifiedPacks(join(tmpdir(), "never-written"));

test("what nobody has read is not called verified", async () => {
  const made = await example();
  const verdicts = await verdictsOf(made);
  const { state, packs, verifiedPacks, oldest } = verdicts[made.small]!;
  assert.deepEqual(
    { state, packs, verifiedPacks, oldest },
    { state: "partly", packs: 2, verifiedPacks: 0, oldest: undefined },
  );
  assert.equal(verdicts[made.large]!.packs, 3);
});

test("a snapshot is verified when all its packs were read, in this run or an earlier one", async () => {
  const made = await example();
  const read = await verdictsOf(made, { readData: { mode: "all" } });
  assert.deepEqual([read[made.small]!.state, read[made.large]!.state], ["verified", "verified"]);
  assert.ok(read[made.large]!.oldest! > 0);

  const verified = memory();
  verified.prove(made.packs.shared, 5000);
  verified.prove(made.packs.trees, 9000);
  const remembered = await verdictsOf(made, { verified });
  const small = remembered[made.small]!;
  assert.deepEqual([small.state, small.oldest], ["verified", 5000]);
  const large = remembered[made.large]!;
  assert.deepEqual([large.state, large.verifiedPacks, large.packs], ["partly", 2, 3]);
  assert.ok(large.verifiedBytes < large.bytes);
});

test("damage is the business of those snapshots that need it, and is remembered", async () => {
  const made = await example();
  damage(made.objects, keyOf("pack", made.packs.own), 20);
  const verified = memory();
  verified.prove(made.packs.own, 5000);
  const verdicts = await verdictsOf(made, { readData: { mode: "all" }, verified });
  assert.equal(verdicts[made.small]!.state, "verified");
  const { state, damagedPacks } = verdicts[made.large]!;
  assert.deepEqual({ state, damagedPacks }, { state: "damaged", damagedPacks: [made.packs.own] });
  assert.equal(verified.at(made.packs.own), undefined);
  assert.ok(verified.at(made.packs.shared)! > 5000);
});

test("a pack that is gone damages its snapshots without being read", async () => {
  const made = await example();
  made.objects.delete(keyOf("pack", made.packs.own));
  const verdicts = await verdictsOf(made);
  assert.deepEqual(
    [verdicts[made.small]!.state, verdicts[made.large]!.state],
    ["partly", "damaged"],
  );
});

test("so do a listing that cannot be read, and one that misses content", async () => {
  const made = await example();
  damage(made.objects, keyOf("pack", made.packs.trees), 20);
  const verdicts = await verdictsOf(made);
  assert.deepEqual(
    [verdicts[made.large]!.state, verdicts[made.large]!.damagedTrees],
    ["damaged", 1],
  );

  const other = await example();
  const tree = treeOf({ a: ["ab".repeat(32)] });
  const { repository } = other;
  await storeIndex(repository, [await storePack(repository, [{ type: "tree", plain: tree }])]);
  const id = await storeSnapshot(repository, sha256Hex(tree), { time: "2026-03-02T03:04:05Z" });
  const missing = await storeSnapshot(repository, "cd".repeat(32), {
    time: "2026-04-02T03:04:05Z",
  });
  const found = await verdictsOf(other);
  assert.deepEqual([found[id]!.state, found[id]!.damagedTrees], ["damaged", 1]);
  assert.deepEqual([found[missing]!.state, found[missing]!.damagedTrees], ["damaged", 1]);
  assert.equal(found[other.small]!.state, "partly");
});

test("a pack that the index no longer names is forgotten, unless not all of the index is known", async () => {
  const made = await example();
  const gone = "ef".repeat(32);
  const verified = memory();
  verified.prove(gone, 5000);
  made.objects.set(keyOf("index", gone), Buffer.alloc(100));
  await verdictsOf(made, { verified });
  assert.equal(verified.at(gone), 5000);
  made.objects.delete(keyOf("index", gone));
  await verdictsOf(made, { verified });
  assert.equal(verified.at(gone), undefined);
});
