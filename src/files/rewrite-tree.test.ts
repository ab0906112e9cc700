import { suite, test } from "node:test";
import assert from "node:assert/strict";
import { memoryRepository, storeIndex, storePack, treeOf } from "../../test/memory-repository.ts";
import { sha256Hex } from "../base/bytes.ts";
import { BlobReader } from "../repository/blob-reader.ts";
import { loadIndex } from "../repository/index-loader.ts";
import { RepositoryWriter } from "../repository/writer.ts";
import { rewriteTree } from "./rewrite-tree.ts";
import type { RewriteOptions } from "./rewrite-tree.ts";
import { walkSnapshot } from "./snapshot-walk.ts";

const DATA = Buffer.from("content");
const CONTENT = [sha256Hex(DATA)];

/** A repository with these trees, the last one as the root. */
async function stored(...trees: Buffer[]) {
  const { repository, objects } = memoryRepository();
  const pack = await storePack(
    repository,
    trees.map((plain) => ({ type: "tree" as const, plain })),
  );
  await storeIndex(repository, [pack]);
  const { index } = await loadIndex(repository);
  const reader = new BlobReader(repository, index);
  const writer = new RepositoryWriter({ repository, packSize: 1 << 20, verify: true });
  writer.useIndex(index);
  const rewrite = (options: Partial<RewriteOptions>) =>
    rewriteTree({
      reader,
      writer,
      tree: sha256Hex(trees.at(-1)!),
      select: () => ({ selected: true, childMayBeSelected: true }),
      keepsEmpty: () => true,
      ...options,
    });
  const paths = async (tree: string): Promise<string[]> => {
    await writer.finish();
    const fresh = await loadIndex(repository);
    const found: string[] = [];
    for await (const { path } of walkSnapshot({
      reader: new BlobReader(repository, fresh.index),
      tree,
    }))
      found.push(path);
    return found;
  };
  return { rewrite, paths, objects };
}

const inner = treeOf({ x: CONTENT, y: CONTENT });
const root = treeOf({ a: CONTENT, d: { tree: sha256Hex(inner) }, link: null });
const without =
  (...left: string[]) =>
  (path: string) => ({
    selected: !left.includes(path),
    childMayBeSelected: false,
  });

suite("a tree written anew", () => {
  test("is the same when nothing leaves, and nothing is stored", async () => {
    const { rewrite, paths, objects } = await stored(inner, root);
    const before = [...objects.keys()];
    const result = await rewrite({});
    assert.equal(result.tree, sha256Hex(root));
    assert.equal(result.files, 4);
    await paths(result.tree);
    assert.deepEqual([...objects.keys()], before);
  });

  test("lacks what left, and counts what stays", async () => {
    const { rewrite, paths } = await stored(inner, root);
    const { tree, files } = await rewrite({ select: without("/a", "/d/y") });
    assert.equal(files, 2);
    assert.deepEqual(await paths(tree!), ["/d", "/d/x", "/link"]);
  });

  test("loses directories that nothing is left in, where these are not kept", async () => {
    const { rewrite, paths } = await stored(inner, root);
    const select = without("/d/x", "/d/y");
    assert.deepEqual(await paths((await rewrite({ select })).tree!), ["/a", "/d", "/link"]);
    const { tree } = await rewrite({ select, keepsEmpty: () => false });
    assert.deepEqual(await paths(tree!), ["/a", "/link"]);
    const nothing = await rewrite({
      select: without("/a", "/d", "/link"),
      keepsEmpty: () => false,
    });
    assert.equal(nothing.tree, undefined);
  });

  test("is refused when it could not be written as it was", async () => {
    const spaced = Buffer.from(root.toString("latin1").replace('"nodes":', '"nodes": '), "latin1");
    const { rewrite, objects } = await stored(inner, spaced);
    const before = [...objects.keys()];
    await assert.rejects(rewrite({ select: without("/a") }), { code: "REPO_UNSUPPORTED" });
    assert.deepEqual([...objects.keys()], before);
  });
});
