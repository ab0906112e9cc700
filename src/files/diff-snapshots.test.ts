// What real restic cannot easily be made to show. The rest is compared with it in test/interop/snapshot-commands.test.ts.

import { suite, test } from "node:test";
import assert from "node:assert/strict";
import { memoryRepository, storeIndex, storePack } from "../../test/memory-repository.ts";
import { sha256Hex } from "../base/bytes.ts";
import { BlobReader } from "../repository/blob-reader.ts";
import { loadIndex } from "../repository/index-loader.ts";
import { encodeTree } from "../restic/tree.ts";
import { createNode } from "../restic/tree-node.ts";
import type { TreeNode } from "../restic/tree-node.ts";
import { diffTrees } from "./diff-snapshots.ts";

const blob = (text: string) => ({ type: "data" as const, plain: Buffer.from(text) });
const idOf = (text: string): string => sha256Hex(Buffer.from(text));
const file = (name: string, text: string, more: Partial<TreeNode> = {}): TreeNode =>
  createNode({ name, type: "file", content: [idOf(text)], size: text.length, ...more });
const dir = (name: string, tree: Buffer): TreeNode =>
  createNode({ name, type: "dir", subtree: sha256Hex(tree) });

/** Changes between two trees, of blobs that are there; `trees` are stored as well. */
async function compare(one: Buffer, two: Buffer, trees: Buffer[] = []) {
  const { repository } = memoryRepository();
  const stored = [one, two, ...trees].map((plain) => ({ type: "tree" as const, plain }));
  await storeIndex(repository, [
    await storePack(repository, stored),
    await storePack(repository, [blob("old!"), blob("new!"), blob("longer")]),
  ]);
  const { index } = await loadIndex(repository);
  const changes: string[] = [];
  const damage: string[] = [];
  const diff = await diffTrees({
    reader: new BlobReader(repository, index),
    trees: [sha256Hex(one), sha256Hex(two)],
    metadata: false,
    onChange: (path, modifier) => void changes.push(`${modifier} ${path}`),
    onDamage: (message) => void damage.push(message),
  });
  return { diff, changes, damage };
}

suite("the difference between trees", () => {
  test("tells of content that changed while all else stayed", async () => {
    const one = encodeTree([file("a", "old!"), file("b", "old!")]);
    const two = encodeTree([file("a", "new!"), file("b", "longer")]);
    const { diff, changes } = await compare(one, two);
    assert.deepEqual(changes, ["M? /a", "M /b"]);
    assert.equal(diff.changedFiles, 2);
    assert.deepEqual([diff.added.dataBlobs, diff.added.bytes - two.length], [2, 10]);
    assert.deepEqual([diff.removed.dataBlobs, diff.removed.bytes - one.length], [1, 4]);
  });

  test("counts a blob that moved as neither added nor removed", async () => {
    const same = encodeTree([file("x", "old!")]);
    const one = encodeTree([file("a", "old!"), dir("d", same)]);
    const two = encodeTree([file("b", "old!"), dir("d", same)]);
    const { diff, changes } = await compare(one, two, [same]);
    assert.deepEqual(changes, ["- /a", "+ /b"]);
    assert.equal(diff.added.dataBlobs + diff.removed.dataBlobs, 0);
    const gone = encodeTree([dir("d", same)]);
    assert.equal((await compare(one, gone, [same])).diff.removed.dataBlobs, 0);
  });

  test("goes on behind a listing that is not there, and says so", async () => {
    const lost = encodeTree([file("lost", "old!")]);
    const one = encodeTree([file("a", "old!"), dir("d", lost), file("z", "old!")]);
    const two = encodeTree([file("a", "old!")]);
    const { changes, damage, diff } = await compare(one, two);
    assert.deepEqual(changes, ["- /d/", "- /z"]);
    assert.equal(damage.length, 2);
    assert.match(damage[0]!, /tree blob [0-9a-f]{64} is in no index/);
    assert.match(damage[1]!, /unable to find blob size for tree blob/);
    assert.equal(diff.removed.treeBlobs, 2);
  });
});
