import assert from "node:assert/strict";
import { test } from "node:test";
import {
  damage,
  memoryRepository,
  storeIndex,
  storePack,
  storeSnapshot,
  treeOf,
} from "../../test/memory-repository.ts";
import { sha256Hex } from "../base/bytes.ts";
import { checkRepository } from "./check.ts";
import { keyOf } from "./layout.ts";

const ALL = { readData: { mode: "all" }, workers: 1 } as const;

test("a tree too large for a worker's memory is checked all the same", async () => {
  const made = memoryRepository();
  const content = Buffer.from("content");
  const files = Array.from({ length: 40_000 }, (_, i) => [
    String(i).padStart(6, "0"),
    [sha256Hex(content)],
  ]);
  const tree = treeOf(Object.fromEntries(files) as Record<string, string[]>);
  assert.ok(tree.length > 8 << 20);
  const pack = await storePack(made.repository, [{ type: "tree", plain: tree }]);
  const data = await storePack(made.repository, [{ type: "data", plain: content }]);
  await storeIndex(made.repository, [pack, data]);
  await storeSnapshot(made.repository, sha256Hex(tree));
  const report = await checkRepository(made.repository, ALL);
  assert.equal(report.numErrors, 0);
  assert.deepEqual([report.covered.trees, report.covered.packsRead], [1, 2]);

  damage(made.objects, keyOf("pack", pack.id), 1000);
  const damaged = await checkRepository(made.repository, ALL);
  assert.deepEqual(
    damaged.findings.map(({ code }) => code),
    ["BLOB_DAMAGED", "PACK_DAMAGED"],
  );
});

test("packs of unusual size are read too, one at a time", async () => {
  const made = memoryRepository();
  const large = await storePack(made.repository, [
    { type: "data", plain: Buffer.alloc((64 << 20) + 1, 1) },
    { type: "data", plain: Buffer.from("more") },
  ]);
  const small = await storePack(made.repository, [{ type: "data", plain: Buffer.from("small") }]);
  await storeIndex(made.repository, [large, small]);
  const report = await checkRepository(made.repository, ALL);
  assert.equal(report.numErrors, 0);
  assert.equal(report.covered.packsRead, 2);
  damage(made.objects, keyOf("pack", large.id), 50 << 20);
  const damaged = await checkRepository(made.repository, ALL);
  assert.deepEqual(damaged.brokenPacks, [large.id]);
  assert.match(damaged.findings[0]!.details.join(), new RegExp(`1 of 2 .*${large.blobs[0]!.id}`));
});

test("a change anywhere in a pack is found, though its name is not computed", async () => {
  const made = memoryRepository();
  const content = Buffer.from("content");
  const tree = treeOf({ file: [sha256Hex(content)] });
  const data = await storePack(made.repository, [
    { type: "data", plain: content },
    { type: "data", plain: Buffer.from("more content, compressed"), compressed: true },
  ]);
  const trees = await storePack(made.repository, [{ type: "tree", plain: tree }]);
  await storeIndex(made.repository, [data, trees]);
  await storeSnapshot(made.repository, sha256Hex(tree));
  assert.equal((await checkRepository(made.repository, ALL)).numErrors, 0);
  const key = keyOf("pack", data.id);
  const sound = made.objects.get(key)!;
  // Nonces, contents, tags, header and its length: each is longer than the step, or among the last bytes.
  for (let at = 0; at < sound.length; at += at < sound.length - 5 ? 13 : 1) {
    damage(made.objects, key, at);
    const report = await checkRepository(made.repository, ALL);
    assert.deepEqual(report.brokenPacks, [data.id], `byte ${at} of ${sound.length}`);
    made.objects.set(key, sound);
  }
});
