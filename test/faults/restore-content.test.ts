// What a restore brings back is what was backed up, or it is named as missing: never a wrong file, never one that is only
// partly there.

import assert from "node:assert/strict";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { sha256Hex } from "../../src/base/bytes.ts";
import type { Id } from "../../src/base/bytes.ts";
import { findNode } from "../../src/files/find-path.ts";
import { verifyRestored } from "../../src/files/verify-restored.ts";
import { BlobReader } from "../../src/repository/blob-reader.ts";
import { loadIndex } from "../../src/repository/index-loader.ts";
import type { Repository } from "../../src/repository/repository.ts";
import { findSnapshot } from "../../src/repository/snapshots.ts";
import { encodeTree } from "../../src/restic/tree.ts";
import { createNode } from "../../src/restic/tree-node.ts";
import type { TreeNode } from "../../src/restic/tree-node.ts";
import { flippedBlobByte, missingPack, placeOf } from "../fixtures/damage.ts";
import { createQuickRepository } from "../interop/quick-repository.ts";
import { storeIndex, storePack, storeSnapshot } from "../memory-repository.ts";
import { seededBytes } from "../seeded-bytes.ts";
import { backUpPaths, openAt, restoreTo } from "./engine.ts";
import type { EngineRestore } from "./engine.ts";
import { plantTree } from "./source-tree.ts";
import { PASSWORD, assertSameTree, openWorkbench } from "./workbench.ts";

const bench = await openWorkbench({ after });
let count = 0;

/** A new path on the workbench. */
const fresh = (name: string): string => bench.at(`${name} ${++count}`);

async function freshRepository(): Promise<Repository> {
  const location = fresh("repository");
  await createQuickRepository(location, PASSWORD);
  return openAt(location);
}

/** Stores these contents as blobs and a tree of one file for each list of them; the ids of the blobs. */
async function storeFiles(
  repository: Repository,
  contents: readonly Buffer[],
  files: Readonly<Record<string, { blobs: readonly number[]; size?: number }>>,
): Promise<Id[]> {
  const ids = contents.map(sha256Hex);
  const nodes = Object.entries(files).map(([name, { blobs, size }]) =>
    createNode({
      name,
      type: "file",
      mode: 0o644,
      mtime: "2026-01-01T00:00:00Z",
      atime: "2026-01-01T00:00:00Z",
      size: size ?? blobs.reduce((sum, blob) => sum + contents[blob]!.length, 0),
      content: blobs.map((blob) => ids[blob]!),
    }),
  );
  const tree = encodeTree(nodes);
  const packs = [
    await storePack(
      repository,
      contents.map((plain) => ({ type: "data", plain })),
    ),
    await storePack(repository, [{ type: "tree", plain: tree }]),
  ];
  await storeIndex(repository, packs);
  await storeSnapshot(repository, sha256Hex(tree));
  return ids;
}

/** What the latest snapshot has at an absolute path. */
async function nodeAt(repository: Repository, path: string): Promise<TreeNode> {
  const { index } = await loadIndex(repository);
  const { snapshot } = await findSnapshot(repository, "latest");
  const node = await findNode(new BlobReader(repository, index), snapshot.tree, path);
  assert.ok(node);
  return node;
}

/** Everything in the target, temporaries included. */
const leftIn = (target: string): string[] => readdirSync(target, { encoding: "utf8" }).sort();

void suite("everything comes back", () => {
  void test("all kinds of entries, with two threads and with one, sparse or not", async () => {
    const source = fresh("source");
    plantTree(source, { large: 9_000_000 });
    const repository = await freshRepository();
    const backup = await backUpPaths(repository, [source], { workers: 2 });
    assert.equal(backup.failed.size, 0);
    for (const options of [{ workers: 2 }, { sparse: true }, { overwrite: "never" as const }]) {
      const target = fresh("target");
      const result = await restoreTo(repository, `latest:${source}`, target, options);
      assert.equal(result.failures, 0);
      assertSameTree(target, source);
      const used = lstatSync(join(target, "zeros")).blocks * 512;
      if ("sparse" in options) assert.ok(used < 200_000, `${used} bytes of a hole`);
      else assert.ok(used >= 2_000_000, `${used} bytes without sparse`);
    }
  });

  void test("a file that was empty, one byte, or all zeros, sparse", async () => {
    const source = fresh("source");
    mkdirSync(source);
    const sizes = [0, 1, 65_535, 65_536, 65_537, 524_288, 8_388_608, 8_388_609];
    for (const size of sizes) {
      writeFileSync(join(source, `zeros ${size}`), Buffer.alloc(size));
      const edges = Buffer.alloc(size);
      if (size > 0) edges[size - 1] = 1;
      writeFileSync(join(source, `edge ${size}`), edges);
    }
    const repository = await freshRepository();
    await backUpPaths(repository, [source]);
    const target = fresh("target");
    await restoreTo(repository, `latest:${source}`, target, { sparse: true });
    assertSameTree(target, source);
  });

  void test("the length of a file is that of its blobs, whatever its node says", async () => {
    const repository = await freshRepository();
    const contents = [seededBytes(1, 1000), seededBytes(2, 2000)];
    await storeFiles(repository, contents, {
      "one less": { blobs: [0, 1], size: 2500 },
      "one more": { blobs: [0, 1], size: 9999 },
      "single less": { blobs: [0], size: 10 },
      "single more": { blobs: [1], size: 9999 },
    });
    for (const sparse of [false, true]) {
      const target = fresh("target");
      const { failures } = await restoreTo(repository, "latest", target, { sparse });
      assert.equal(failures, 0);
      const both = Buffer.concat(contents);
      assert.deepEqual(readFileSync(join(target, "one less")), both);
      assert.deepEqual(readFileSync(join(target, "one more")), both);
      assert.deepEqual(readFileSync(join(target, "single less")), contents[0]);
      assert.deepEqual(readFileSync(join(target, "single more")), contents[1]);
    }
  });
});

/** A repository with three files of two blobs each, of which one is damaged. */
async function withDamage(
  damage: (repository: Repository, ids: readonly Id[]) => Promise<void>,
): Promise<EngineRestore & { target: string; contents: readonly Buffer[] }> {
  const repository = await freshRepository();
  const contents = [1, 2, 3, 4].map((seed) => seededBytes(seed, 700_000));
  const ids = await storeFiles(repository, contents, {
    bad: { blobs: [0, 1] },
    "bad alone": { blobs: [1] },
    good: { blobs: [2, 3] },
    "good alone": { blobs: [3] },
  });
  await damage(repository, ids);
  const target = fresh("target");
  mkdirSync(target);
  writeFileSync(join(target, "bad"), "what was here before");
  return { ...(await restoreTo(repository, "latest", target)), target, contents };
}

void suite("damage", () => {
  void test("a damaged blob costs the files that hold it, wholly, and no others", async () => {
    const result = await withDamage(async (repository, ids) =>
      flippedBlobByte(repository, await placeOf(repository, "data", ids[1]!)),
    );
    assert.deepEqual([...result.failed.keys()].sort(), ["/bad", "/bad alone"]);
    assert.deepEqual(
      [...result.failed.values()].map(({ code }) => code),
      ["BLOB_DAMAGED", "BLOB_DAMAGED"],
    );
    assert.deepEqual(leftIn(result.target), ["bad", "good", "good alone"]);
    assert.equal(readFileSync(join(result.target, "bad"), "utf8"), "what was here before");
    assert.deepEqual(
      readFileSync(join(result.target, "good")),
      Buffer.concat(result.contents.slice(2)),
    );
  });

  void test("a missing pack costs the files that need it", async () => {
    const source = fresh("source");
    mkdirSync(join(source, "sub"), { recursive: true });
    const contents = { first: seededBytes(7, 5_000_000), second: seededBytes(8, 5_000_000) };
    writeFileSync(join(source, "first"), contents.first);
    writeFileSync(join(source, "sub/second"), contents.second);
    const repository = await freshRepository();
    await backUpPaths(repository, [source], { packSize: 4 << 20 });
    const node = await nodeAt(repository, `${source}/first`);
    missingPack(repository, (await placeOf(repository, "data", node.content![0]!)).pack);
    const target = fresh("target");
    const result = await restoreTo(repository, `latest:${source}`, target);
    assert.ok(result.failed.has("/first"));
    for (const [path, content] of [
      ["first", contents.first],
      ["sub/second", contents.second],
    ] as const) {
      const isNamed = result.failed.has(`/${path}`);
      assert.equal(existsSync(join(target, path)), !isNamed, path);
      if (!isNamed) assert.deepEqual(readFileSync(join(target, path)), content);
    }
  });

  void test("of two copies of a blob the sound one is taken", async () => {
    for (const damaged of [0, 1]) {
      const repository = await freshRepository();
      const contents = [seededBytes(1, 300_000)];
      const [id = ""] = await storeFiles(repository, contents, { file: { blobs: [0] } });
      const second = await storePack(repository, [
        { type: "data", plain: Buffer.from("something else before it") },
        { type: "data", plain: contents[0]! },
      ]);
      await storeIndex(repository, [second]);
      const { index } = await loadIndex(repository);
      flippedBlobByte(repository, index.places("data", id)[damaged]!);
      const target = fresh("target");
      const { failures } = await restoreTo(repository, "latest", target);
      assert.equal(failures, 0);
      assert.deepEqual(readFileSync(join(target, "file")), contents[0]);
    }
  });

  void test("an index that gives a wrong place or length does not give a wrong file", async () => {
    const wrong = [{ offset: 5 }, { length: 300_031 }, { uncompressedLength: 77 }, { length: 3 }];
    for (const lie of wrong) {
      const repository = await freshRepository();
      const plain = seededBytes(1, 300_000);
      const pack = await storePack(repository, [{ type: "data", plain }]);
      const node = {
        name: "file",
        type: "file",
        size: 300_000,
        content: [sha256Hex(plain)],
      } as const;
      const tree = encodeTree([createNode(node)]);
      const trees = await storePack(repository, [{ type: "tree", plain: tree }]);
      await storeIndex(repository, [{ ...pack, blobs: [{ ...pack.blobs[0]!, ...lie }] }, trees]);
      await storeSnapshot(repository, sha256Hex(tree));
      const target = fresh("target");
      const result = await restoreTo(repository, "latest", target);
      assert.deepEqual([...result.failed.keys()], ["/file"], JSON.stringify(lie));
      assert.deepEqual(leftIn(target), []);
    }
  });

  void test("a link to a file that could not be restored fails too", async () => {
    const repository = await freshRepository();
    const plain = seededBytes(1, 1000);
    const common = { type: "file", links: 2, inode: 7, size: 1000 } as const;
    const nodes = ["a", "b"].map((name) =>
      createNode({ ...common, name, content: [sha256Hex(plain), sha256Hex(plain)] }),
    );
    const tree = encodeTree(nodes);
    await storeIndex(repository, [await storePack(repository, [{ type: "tree", plain: tree }])]);
    await storeSnapshot(repository, sha256Hex(tree));
    const target = fresh("target");
    mkdirSync(target);
    for (const name of ["a", "b"]) writeFileSync(join(target, name), `old ${name}`);
    const result = await restoreTo(repository, "latest", target);
    assert.deepEqual([...result.failed.keys()].sort(), ["/a", "/b"]);
    assert.equal(readFileSync(join(target, "b"), "utf8"), "old b");
  });

  void test("a directory whose tree is gone is named, the others come back", async () => {
    const source = fresh("source");
    for (const name of ["one", "two"]) {
      mkdirSync(join(source, name), { recursive: true });
      writeFileSync(join(source, name, name), name);
    }
    const repository = await freshRepository();
    await backUpPaths(repository, [source]);
    const target = fresh("target");
    const { subtree } = await nodeAt(repository, `${source}/one`);
    flippedBlobByte(repository, await placeOf(repository, "tree", subtree!));
    const result = await restoreTo(repository, `latest:${source}`, target);
    assert.deepEqual([...result.failed.keys()], ["/one"]);
    assert.equal(readFileSync(join(target, "two/two"), "utf8"), "two");
  });
});

void test("--verify tells a file that changed after it was restored", async () => {
  const repository = await freshRepository();
  const contents = [seededBytes(1, 1000), seededBytes(2, 1000)];
  await storeFiles(repository, contents, {
    a: { blobs: [0, 1] },
    b: { blobs: [0] },
    c: { blobs: [1] },
  });
  const target = fresh("target");
  await restoreTo(repository, "latest", target);
  writeFileSync(join(target, "a"), Buffer.concat([contents[0]!, contents[0]!]));
  writeFileSync(join(target, "b"), Buffer.concat([contents[0]!, Buffer.alloc(1)]));
  const { index } = await loadIndex(repository);
  const failed: string[] = [];
  const { snapshot } = await findSnapshot(repository, "latest");
  const verified = await verifyRestored({
    reader: new BlobReader(repository, index),
    tree: snapshot.tree,
    target,
    select: () => ({ selected: true, childMayBeSelected: true }),
    kept: new Set(),
    events: { failed: (path) => failed.push(path) },
    signal: undefined,
  });
  assert.deepEqual([verified, failed], [{ files: 3, failures: 2 }, ["/a", "/b"]]);
});
