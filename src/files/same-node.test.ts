import { test } from "node:test";
import assert from "node:assert/strict";
import { createNode } from "../restic/tree-node.ts";
import type { TreeNode } from "../restic/tree-node.ts";
import { sameNode } from "./same-node.ts";

const attribute = (name: string, value: string) => ({ name, value: Buffer.from(value) });
const node = createNode({
  name: "a",
  type: "file",
  mode: 0o644,
  mtime: "2026-01-01T12:00:00.5+01:00",
  user: "me",
  inode: 2n ** 60n,
  size: 3,
  content: ["1".repeat(64)],
  extendedAttributes: [attribute("user.a", "1"), attribute("user.b", "2")],
});

test("a node is the same when all its fields are", () => {
  assert.ok(sameNode(node, { ...node }));
  const others: Partial<TreeNode>[] = [
    { name: "b" },
    { type: "dir" },
    { mode: 0o600 },
    { mtime: "2026-01-01T12:00:00.5Z" },
    { atime: "2026-01-01T12:00:00.5Z" },
    { uid: 1 },
    { group: "us" },
    { inode: 2n ** 60n + 1n },
    { size: 4 },
    { links: 2 },
    { linkTarget: "b" },
    { subtree: "1".repeat(64) },
    { content: [] },
    { content: null },
    { extendedAttributes: null },
    { extendedAttributes: [attribute("user.a", "1"), attribute("user.b", "3")] },
    { extendedAttributes: [attribute("user.a", "1"), attribute("user.c", "2")] },
    { genericAttributes: "{}" },
    { error: "no" },
  ];
  for (const other of others) {
    assert.ok(!sameNode(node, { ...node, ...other }), JSON.stringify(Object.keys(other)));
  }
});

test("times may be spelled in another zone, attributes stand in another order", () => {
  assert.ok(sameNode(node, { ...node, mtime: "2026-01-01T11:00:00.500Z" }));
  const extendedAttributes = [...node.extendedAttributes!].reverse();
  assert.ok(sameNode(node, { ...node, extendedAttributes }));
  assert.ok(sameNode({ ...node, extendedAttributes: [] }, { ...node, extendedAttributes: null }));
});
