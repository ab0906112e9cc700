// What a backup reads again and what it takes for unchanged, by the parent snapshot and by the scan cache. The cache may
// be gone, damaged, or of another state of the repository: that costs time and never content.

import assert from "node:assert/strict";
import {
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { systemClock } from "../../src/base/clock.ts";
import type { BackupOptions } from "../../src/files/backup.ts";
import { findNode } from "../../src/files/find-path.ts";
import { BlobReader } from "../../src/repository/blob-reader.ts";
import { loadIndex } from "../../src/repository/index-loader.ts";
import { loadSnapshot } from "../../src/repository/snapshots.ts";
import { faulty } from "../../src/storage/faulty.ts";
import type { FaultyStorage } from "../../src/storage/faulty.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { flippedBlobByte, placeOf } from "../fixtures/damage.ts";
import { createQuickRepository } from "../interop/quick-repository.ts";
import { skipWithout } from "../peers.ts";
import { backUpPaths, openAt, restoreTo } from "./engine.ts";
import type { EngineBackup } from "./engine.ts";
import { PASSWORD, assertSameTree, openWorkbench } from "./workbench.ts";

const bench = await openWorkbench({ after });
process.chdir(bench.folder);

/** Nothing here is so fresh that it might still be changing: the clock is a minute ahead. */
const later = {
  ...systemClock,
  nowNanoseconds: () => systemClock.nowNanoseconds() + 60_000_000_000n,
};

interface Scene {
  location: string;
  /** Relative to the working directory. */
  source: string;
  cache: string;
  /** Backs up with the scan cache; `calls`: what it asked of the storage. */
  backUp(overrides?: Partial<BackupOptions>): Promise<EngineBackup & { calls: readonly string[] }>;
}

let count = 0;

/** A source of two directories and a repository of its own. */
async function setScene(): Promise<Scene> {
  const number = ++count;
  const location = bench.at(`repository ${number}`);
  await createQuickRepository(location, PASSWORD);
  const source = `source ${number}`;
  mkdirSync(join(source, "sub"), { recursive: true });
  for (const name of ["a", "b", "sub/c", "sub/d"]) {
    writeFileSync(join(source, name), `this is ${name}`);
    // Whole seconds: a time that can be set again exactly.
    utimesSync(join(source, name), 1_500_000_000, 1_500_000_000);
  }
  const cache = bench.at(`cache ${number}`);
  const backUp: Scene["backUp"] = async (overrides = {}) => {
    let watched: FaultyStorage | undefined;
    const { clock = later } = overrides;
    const around = (storage: Storage): Storage => (watched = faulty(storage, []));
    const repository = await openAt(location, around, { clock: later });
    const options = { scanCacheFolder: cache, ...overrides, clock };
    const result = await backUpPaths(repository, [source], options);
    return { ...result, calls: watched!.calls };
  };
  return { location, source, cache, backUp };
}

/** The snapshot brings the source back as it is now. */
async function assertBringsBack({ location, source }: Scene): Promise<void> {
  const target = bench.at(`target ${++count}`);
  const { failures } = await restoreTo(await openAt(location), `latest:${source}`, target);
  assert.equal(failures, 0);
  assertSameTree(target, source);
}

const reads = (calls: readonly string[], what: string): number =>
  calls.filter((call) => call.startsWith(`get ${what}/`)).length;

/** Changes content, but neither size nor modification time. */
function changeSecretly(path: string): void {
  const { atime, mtime } = statSync(path);
  const content = readFileSync(path);
  content[0] = content[0]! ^ 1;
  writeFileSync(path, content);
  utimesSync(path, atime, mtime);
}

const WITH_CACHE = {};
const WITHOUT_CACHE = { scanCacheFolder: undefined };

for (const [how, options] of [
  ["by the scan cache", WITH_CACHE],
  ["by the parent snapshot", WITHOUT_CACHE],
] as const) {
  void suite(how, () => {
    void test("nothing changed: nothing is read and nothing added", async () => {
      const scene = await setScene();
      const first = await scene.backUp(options);
      const second = await scene.backUp(options);
      assert.equal(second.tree, first.tree);
      assert.deepEqual(second.counts.files, { new: 0, changed: 0, unmodified: 4 });
      assert.deepEqual(second.counts.dirs, { new: 0, changed: 0, unmodified: 2 });
      assert.deepEqual([second.added.dataBlobs, second.added.treeBlobs], [0, 0]);
      assert.equal(reads(second.calls, "data") === 0, options === WITH_CACHE);
      assert.equal(reads(second.calls, "index") === 0, options === WITH_CACHE);
      await assertBringsBack(scene);
    });

    void test("a change that hides behind size and time is seen by its ctime", async () => {
      const scene = await setScene();
      await scene.backUp(options);
      changeSecretly(join(scene.source, "sub/c"));
      const second = await scene.backUp(options);
      assert.deepEqual(second.counts.files, { new: 0, changed: 1, unmodified: 3 });
      await assertBringsBack(scene);
    });

    void test("a file replaced by another of the same size and time is seen", async () => {
      const scene = await setScene();
      await scene.backUp(options);
      const path = join(scene.source, "a");
      const { atime, mtime } = statSync(path);
      writeFileSync(join(scene.source, "sub/tmp"), "THIS IS a");
      utimesSync(join(scene.source, "sub/tmp"), atime, mtime);
      renameSync(join(scene.source, "sub/tmp"), path);
      const second = await scene.backUp(options);
      assert.equal(second.counts.files.changed, 1);
      await assertBringsBack(scene);
    });

    void test("new, changed and removed entries", async () => {
      const scene = await setScene();
      await scene.backUp(options);
      writeFileSync(join(scene.source, "a"), "changed");
      mkdirSync(join(scene.source, "sub/new"));
      writeFileSync(join(scene.source, "sub/new/e"), "new");
      rmSync(join(scene.source, "sub/d"));
      const second = await scene.backUp(options);
      assert.deepEqual(second.counts.files, { new: 1, changed: 1, unmodified: 2 });
      assert.deepEqual(second.counts.dirs, { new: 1, changed: 2, unmodified: 0 });
      await assertBringsBack(scene);
    });

    void test("--force reads everything and finds it stored", async () => {
      const scene = await setScene();
      await scene.backUp(options);
      const second = await scene.backUp({ ...options, force: true });
      assert.deepEqual(second.counts.files, { new: 4, changed: 0, unmodified: 0 });
      assert.deepEqual([second.added.dataBlobs, second.added.treeBlobs], [0, 0]);
    });

    void test("a tree of the parent that is damaged costs reading again", async () => {
      const scene = await setScene();
      const first = await scene.backUp(options);
      const repository = await openAt(scene.location);
      flippedBlobByte(repository, await placeOf(repository, "tree", first.tree));
      writeFileSync(join(scene.source, "a"), "changed");
      const second = await scene.backUp(options);
      assert.ok(second.snapshot);
      assert.equal(second.failed.size, 0);
    });

    void test("--dry-run counts the same and stores nothing", async () => {
      const scene = await setScene();
      await scene.backUp(options);
      writeFileSync(join(scene.source, "a"), "changed");
      const dry = await scene.backUp({ ...options, dryRun: true });
      assert.equal(dry.snapshot, undefined);
      assert.deepEqual(
        dry.calls.filter((call) => /^put (?!locks)/.test(call)),
        [],
      );
      const real = await scene.backUp(options);
      assert.deepEqual(dry.counts, real.counts);
      assert.deepEqual(dry.added.added, real.added.added);
      await assertBringsBack(scene);
    });

    void test("--skip-if-unchanged", async () => {
      const scene = await setScene();
      const skipping = { ...options, skipIfUnchanged: true };
      assert.ok((await scene.backUp(skipping)).snapshot);
      assert.equal((await scene.backUp(skipping)).snapshot, undefined);
      writeFileSync(join(scene.source, "a"), "changed");
      assert.ok((await scene.backUp(skipping)).snapshot);
    });
  });
}

void suite("rules", () => {
  void test("--ignore-ctime and --ignore-inode", async () => {
    const scene = await setScene();
    await scene.backUp(WITHOUT_CACHE);
    changeSecretly(join(scene.source, "a"));
    const ignoring = { ...WITHOUT_CACHE, ignoreCtime: true };
    assert.equal((await scene.backUp(ignoring)).counts.files.unmodified, 4);
    const { atime, mtime } = statSync(join(scene.source, "b"));
    writeFileSync(join(scene.source, "tmp"), "THIS IS b");
    utimesSync(join(scene.source, "tmp"), atime, mtime);
    renameSync(join(scene.source, "tmp"), join(scene.source, "b"));
    assert.equal((await scene.backUp({ ...ignoring, dryRun: true })).counts.files.unmodified, 3);
    const more = { ...ignoring, ignoreInode: true };
    assert.equal((await scene.backUp(more)).counts.files.unmodified, 4);
  });

  void test("a touched file is read again and found stored", async () => {
    const scene = await setScene();
    await scene.backUp();
    utimesSync(join(scene.source, "a"), 1, 1);
    const second = await scene.backUp();
    assert.equal(second.counts.files.changed, 1);
    assert.equal(second.added.dataBlobs, 0);
  });

  void test("the parent is the latest of its group that is not in the future", async () => {
    const scene = await setScene();
    const at = (time: bigint, more: Partial<BackupOptions> = {}): ReturnType<Scene["backUp"]> =>
      scene.backUp({ ...WITHOUT_CACHE, time, ...more });
    const second = 1_000_000_000n;
    const parentOf = async (backup: EngineBackup): Promise<string | null> =>
      (await loadSnapshot(await openAt(scene.location), backup.snapshot!)).parent;
    const first = await at(100n * second);
    const future = await at(300n * second);
    const between = await at(200n * second);
    assert.equal(await parentOf(first), null);
    assert.equal(await parentOf(future), first.snapshot);
    assert.equal(await parentOf(between), first.snapshot);
    assert.equal(await parentOf(await at(400n * second, { hostname: "other" })), null);
    const byPath = { host: false, paths: true, tags: false };
    const other = await at(500n * second, { hostname: "third", groupBy: byPath });
    assert.notEqual(await parentOf(other), null);
    const chosen = await at(600n * second, { parent: first.snapshot });
    assert.equal(await parentOf(chosen), first.snapshot);
  });

  void test("a missing blob of an unchanged file is stored again", async () => {
    const scene = await setScene();
    await scene.backUp();
    const repository = await openAt(scene.location);
    const [file] = await repository.list("index");
    const json = Buffer.from(await repository.load("index", file!.id)).toString();
    const { packs } = JSON.parse(json) as { packs: { blobs: { type: string }[] }[] };
    const trees = packs.filter((pack) => pack.blobs[0]!.type === "tree");
    assert.equal(trees.length, packs.length - 1);
    await repository.save("index", Buffer.from(JSON.stringify({ packs: trees })));
    await repository.remove("index", file!.id);
    const again = await scene.backUp();
    assert.deepEqual(again.counts.files, { new: 0, changed: 4, unmodified: 0 });
    assert.deepEqual([again.added.dataBlobs, again.added.treeBlobs], [4, 0]);
    await assertBringsBack(scene);
  });
});

void suite("the scan cache", () => {
  const DAMAGES: Readonly<Record<string, (path: string) => void>> = {
    absent: (path) => rmSync(path),
    empty: (path) => writeFileSync(path, ""),
    truncated: (path) => writeFileSync(path, readFileSync(path).subarray(0, -40)),
    "flipped byte": (path) => {
      const bytes = readFileSync(path);
      bytes[bytes.length >> 1] = bytes[bytes.length >> 1]! ^ 1;
      writeFileSync(path, bytes);
    },
    garbage: (path) => writeFileSync(path, Buffer.alloc(5000, 0x7f)),
    "a directory": (path) => {
      rmSync(path);
      mkdirSync(path);
    },
  };
  for (const [what, harm] of Object.entries(DAMAGES)) {
    void test(`${what}: the trees are read instead`, async () => {
      const scene = await setScene();
      await scene.backUp();
      const [name] = readdirSync(scene.cache);
      harm(join(scene.cache, name!));
      const second = await scene.backUp();
      assert.deepEqual(second.counts.files, { new: 0, changed: 0, unmodified: 4 });
      assert.equal(second.added.treeBlobs, 0);
      assert.ok(reads(second.calls, "data") > 0);
      await assertBringsBack(scene);
    });
  }

  void test("of another repository at the same place is not believed", async () => {
    const scene = await setScene();
    await scene.backUp();
    rmSync(scene.location, { recursive: true });
    await createQuickRepository(scene.location, PASSWORD);
    const second = await scene.backUp();
    assert.deepEqual(second.counts.files, { new: 4, changed: 0, unmodified: 0 });
    await assertBringsBack(scene);
  });

  void test(
    "is not believed once an index file has gone",
    { skip: skipWithout("restic-newest") },
    async () => {
      const scene = await setScene();
      const first = await scene.backUp();
      const { location: repository } = scene;
      await bench.restic("newest", ["forget", "--prune", first.snapshot!], { repository });
      const second = await scene.backUp();
      assert.deepEqual(second.counts.files, { new: 4, changed: 0, unmodified: 0 });
      assert.ok(second.added.dataBlobs > 0 && second.added.treeBlobs > 0);
      await assertBringsBack(scene);
    },
  );

  void test("leaves out a directory that changed a moment ago", async () => {
    const scene = await setScene();
    const changed = statSync(join(scene.source, "sub/d"), { bigint: true }).ctimeNs;
    const nowNanoseconds = () => changed + 1_000_000_000n;
    await scene.backUp({ clock: { ...systemClock, nowNanoseconds } });
    const second = await scene.backUp();
    assert.ok(reads(second.calls, "data") > 0);
    const third = await scene.backUp();
    assert.equal(reads(third.calls, "data"), 0);
    assert.deepEqual(third.counts.files, { new: 0, changed: 0, unmodified: 4 });
  });

  void test("relies on a tree that is damaged by now: everything is read again", async () => {
    const scene = await setScene();
    const first = await scene.backUp();
    const repository = await openAt(scene.location);
    const { index } = await loadIndex(repository);
    const node = await findNode(new BlobReader(repository, index), first.tree, scene.source);
    flippedBlobByte(repository, await placeOf(repository, "tree", node!.subtree!));
    writeFileSync(join(scene.source, "sub/c"), "this is C");
    const second = await scene.backUp();
    assert.equal(second.failed.size, 0);
    assert.deepEqual(second.counts.files, { new: 4, changed: 0, unmodified: 0 });
    await assertBringsBack(scene);
  });

  void test("a change below a directory that is as it was", async () => {
    const scene = await setScene();
    await scene.backUp();
    writeFileSync(join(scene.source, "sub/c"), "this is C");
    const second = await scene.backUp();
    assert.deepEqual(second.counts.files, { new: 0, changed: 1, unmodified: 3 });
    await assertBringsBack(scene);
    const third = await scene.backUp();
    assert.equal(third.tree, second.tree);
  });
});
