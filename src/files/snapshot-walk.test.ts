import { test } from "node:test";
import assert from "node:assert/strict";
import { HoldfastError } from "../base/errors.ts";
import { encodeTree } from "../restic/tree.ts";
import { createNode } from "../restic/tree-node.ts";
import type { TreeNode } from "../restic/tree-node.ts";
import { walkSnapshot } from "./snapshot-walk.ts";
import type { SnapshotWalkOptions } from "./snapshot-walk.ts";

const id = (letter: string): string => letter.repeat(64);
const dir = (name: string, tree: string): TreeNode =>
  createNode({ name, type: "dir", subtree: id(tree) });
const file = (name: string): TreeNode => createNode({ name, type: "file", content: [] });

const TREES: Readonly<Record<string, TreeNode[]>> = {
  [id("0")]: [file("a"), dir("b", "1"), file("z")],
  [id("1")]: [dir("deep", "2"), file("x")],
  [id("2")]: [file("\xff")],
};

const opened: string[] = [];
const reader = {
  read: (_type: string, tree: string): Promise<Uint8Array> => {
    opened.push(tree[0]!);
    return Promise.resolve(encodeTree(TREES[tree]!));
  },
};

async function walk(options: Partial<SnapshotWalkOptions> = {}): Promise<string[]> {
  opened.length = 0;
  const paths: string[] = [];
  for await (const { path } of walkSnapshot({ reader, tree: id("0"), ...options })) {
    paths.push(path);
  }
  return paths;
}

test("directories come before what is in them", async () => {
  assert.deepEqual(await walk(), ["/a", "/b", "/b/deep", "/b/deep/\xff", "/b/x", "/z"]);
});

test("a directory that is not entered is listed but not read", async () => {
  assert.deepEqual(await walk({ enters: (path) => path !== "/b/deep" }), [
    "/a",
    "/b",
    "/b/deep",
    "/b/x",
    "/z",
  ]);
  assert.deepEqual(opened, ["0", "1"]);
});

test("an aborted signal ends the walk", async () => {
  await assert.rejects(walk({ signal: AbortSignal.abort() }), { code: "CANCELLED" });
});

test("a listing that cannot be read is told, and the rest goes on", async () => {
  const damaged: string[] = [];
  const broken = {
    read: async (type: string, tree: string): Promise<Uint8Array> => {
      if (tree === id("1")) throw new HoldfastError("BLOB_MISSING", "gone");
      const bytes = Buffer.from(await reader.read(type, tree));
      // Cut off behind its second node.
      return tree === id("0") ? bytes.subarray(0, bytes.lastIndexOf(",{")) : bytes;
    },
  };
  const options = { reader: broken, onDamage: (tree: string) => void damaged.push(tree[0]!) };
  assert.deepEqual(await walk(options), ["/a", "/b"]);
  assert.deepEqual(damaged, ["1", "0"]);
  await assert.rejects(walk({ reader: broken }), { code: "BLOB_MISSING" });
});

test("a listing that cannot be read is named by its path and its tree when it ends the walk", async () => {
  const twice = '{"nodes":[{"name":"a","type":"file"},{"name":"a","type":"file"}]}\n';
  const broken = {
    read: (_type: string, tree: string): Promise<Uint8Array> =>
      Promise.resolve(tree === id("2") ? Buffer.from(twice) : encodeTree(TREES[tree]!)),
  };
  await assert.rejects(walk({ reader: broken }), {
    code: "TREE_DAMAGED",
    message: `"/b/deep", tree ${id("2")}: a directory listing is damaged: "a" follows "a"`,
    hint: /repair snapshots/,
  });
});
