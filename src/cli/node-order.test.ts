import { test } from "node:test";
import assert from "node:assert/strict";
import { createNode } from "../restic/tree-node.ts";
import type { TreeNode } from "../restic/tree-node.ts";
import { compareEntries } from "./node-order.ts";

function entry(path: string, fields: Partial<TreeNode> = {}) {
  return { path, node: createNode({ name: path.slice(1), type: "file", ...fields }) };
}

test("sizes are compared as numbers, and only files have one", () => {
  const entries = [
    entry("/huge", { size: 2n ** 60n }),
    entry("/ten", { size: 10 }),
    entry("/nine", { size: 9 }),
    entry("/dir", { type: "dir", size: 4096 }),
  ];
  const paths = entries.toSorted(compareEntries("size")).map(({ path }) => path);
  assert.deepEqual(paths, ["/dir", "/nine", "/ten", "/huge"]);
});

test("times are compared as instants, whatever their zones", () => {
  const late = entry("/a", { mtime: "2026-01-01T12:00:00+01:00" });
  const later = entry("/b", { mtime: "2026-01-01T11:30:00Z" });
  assert.ok(compareEntries("mtime")(late, later) < 0);
});

test("equal ones are in the order of their paths, and an extension begins at the last dot of the name", () => {
  const entries = ["/b.tar.gz", "/z", "/d.x/a", "/.gz", "/c.a"].map((path) => entry(path));
  const paths = entries.toSorted(compareEntries("extension")).map(({ path }) => path);
  assert.deepEqual(paths, ["/d.x/a", "/z", "/c.a", "/.gz", "/b.tar.gz"]);
});
