import { test } from "node:test";
import assert from "node:assert/strict";
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
