// A repository written by somebody who means harm: names that lead out of the target, entries that stand for two things
// at once, links that cannot be. Nothing outside of the target may change, and no crash may follow.

import assert from "node:assert/strict";
import { lstatSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { isHoldfastError } from "../../src/base/errors.ts";
import { sha256Hex } from "../../src/base/bytes.ts";
import type { Repository } from "../../src/repository/repository.ts";
import { GO_MODE } from "../../src/restic/file-mode.ts";
import { encodeTree } from "../../src/restic/tree.ts";
import { createNode } from "../../src/restic/tree-node.ts";
import { createQuickRepository } from "../interop/quick-repository.ts";
import { storeIndex, storePack, storeSnapshot } from "../memory-repository.ts";
import { backUpPaths, openAt, restoreTo } from "./engine.ts";
import { PASSWORD, describeTree, openWorkbench } from "./workbench.ts";

const bench = await openWorkbench({ after });
let count = 0;

async function storeTree(json: Buffer): Promise<Repository> {
  const location = bench.at(`repository ${++count}`);
  await createQuickRepository(location, PASSWORD);
  const repository = await openAt(location);
  const content = Buffer.from("evil");
  const packs = [
    await storePack(repository, [{ type: "data", plain: content }]),
    await storePack(repository, [{ type: "tree", plain: encodeTree([]) }]),
    await storePack(repository, [{ type: "tree", plain: json }]),
  ];
  await storeIndex(repository, packs);
  await storeSnapshot(repository, sha256Hex(json));
  return repository;
}

const evil = (name: string): Buffer =>
  encodeTree([
    createNode({ name, type: "file", size: 4, content: [sha256Hex(Buffer.from("evil"))] }),
  ]);

/** A place deep inside of a folder of witnesses, and a look at all of it. */
function makeTarget(): { target: string; look: () => Record<string, string> } {
  const root = bench.at(`root ${count}`);
  const target = join(root, "a/b/target");
  mkdirSync(target, { recursive: true });
  writeFileSync(join(root, "a/b/evil"), "witness");
  return { target, look: () => describeTree(root).lines };
}

/** Names as they stand in the JSON of a tree. */
const NAMES: Readonly<Record<string, string>> = {
  "two dots": "..",
  "one dot": ".",
  nothing: "",
  "a path": "../evil",
  "a path from the root": "/evil",
  "a path down": "b/evil",
  "a slash at the end": "evil/",
  "an escaped slash": "..\\/evil",
  "a slash by its number": "..\\u002fevil",
  "a slash in Go's quoting": "..\\\\x2fevil",
  "dots in Go's quoting": "\\\\x2e\\\\x2e",
  "a zero byte in Go's quoting": "evil\\\\x00",
  "a zero byte": "evil\\u0000",
};

for (const [what, name] of Object.entries(NAMES)) {
  void test(`a name that is ${what}`, async () => {
    const json = evil("PLACEHOLDER")
      .toString("latin1")
      .replace("PLACEHOLDER", () => name);
    const repository = await storeTree(Buffer.from(json, "latin1"));
    const { target, look } = makeTarget();
    const before = look();
    await assert.rejects(restoreTo(repository, "latest", target, { delete: true }), (error) =>
      isHoldfastError(error, "TREE_HOSTILE", "TREE_DAMAGED"),
    );
    assert.deepEqual(look(), before);
    // A backup of the same paths is not kept from being made.
    const backup = await backUpPaths(repository, [target], {
      allowEmpty: true,
      hostname: "testhost",
    });
    assert.ok(backup.snapshot);
  });
}

void test("a hostile directory inside a snapshot ends the restore before anything is deleted", async () => {
  const inner = evil("PLACEHOLDER").toString().replace("PLACEHOLDER", "../../evil");
  const outer = encodeTree([
    createNode({
      name: "dir",
      type: "dir",
      mode: (GO_MODE.directory | 0o755) >>> 0,
      subtree: sha256Hex(Buffer.from(inner)),
    }),
  ]);
  const repository = await storeTree(outer);
  await storeIndex(repository, [
    await storePack(repository, [{ type: "tree", plain: Buffer.from(inner) }]),
  ]);
  const { target, look } = makeTarget();
  writeFileSync(join(target, "surplus"), "mine");
  const before = Object.entries(look());
  await assert.rejects(restoreTo(repository, "latest", target, { delete: true }), (error) =>
    isHoldfastError(error, "TREE_HOSTILE"),
  );
  const now = Object.entries(look()).filter(([path]) => path !== "a/b/target/dir");
  assert.deepEqual(now, before);
});

void test("one name for a link and for a directory", async () => {
  const link = createNode({ name: "x", type: "symlink", linkTarget: bench.folder });
  const directory = createNode({ name: "x", type: "dir", subtree: sha256Hex(encodeTree([])) });
  const [a, b] = [link, directory].map((node) => encodeTree([node]).toString("latin1"));
  const json = Buffer.from(a!.replace("]}\n", `,${b!.slice('{"nodes":['.length)}`), "latin1");
  const repository = await storeTree(json);
  const { target } = makeTarget();
  await assert.rejects(restoreTo(repository, "latest", target), (error) =>
    isHoldfastError(error, "TREE_DAMAGED"),
  );
  assert.deepEqual(readdirSync(target), []);
});

void test("entries that cannot be made are named, the others come back", async () => {
  const content = [sha256Hex(Buffer.from("evil"))];
  const nodes = [
    createNode({ name: "directory without a tree", type: "dir" }),
    createNode({ name: "good", type: "file", size: 4, content }),
    createNode({ name: "link to nowhere at all", type: "symlink", linkTarget: "" }),
    createNode({ name: "link with a zero byte", type: "symlink", linkTarget: "a\0b" }),
    createNode({ name: "n".repeat(300), type: "file", size: 4, content }),
    createNode({ name: "o".repeat(300), type: "dir", subtree: sha256Hex(encodeTree([])) }),
    createNode({ name: "socket", type: "socket" }),
    createNode({ name: "what is it", type: "irregular" }),
  ];
  const repository = await storeTree(encodeTree(nodes));
  const { target } = makeTarget();
  const result = await restoreTo(repository, "latest", target);
  assert.deepEqual([...result.failed.keys()].map((path) => path.slice(0, 25)).sort(), [
    "/directory without a tree",
    "/link to nowhere at all",
    "/link with a zero byte",
    `/${"n".repeat(24)}`,
    `/${"o".repeat(24)}`,
  ]);
  assert.deepEqual(readdirSync(target), ["directory without a tree", "good"]);
  assert.equal(lstatSync(join(target, "good")).size, 4);
});
