// Sources that change while they are read, and what belongs to a source: named paths, entries of `.`, other file systems.
// The pattern check is asked about each entry before it is looked at, which is the moment when things change here.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { appendFileSync, mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { isHoldfastError } from "../../src/base/errors.ts";
import { compileExcluder } from "../../src/files/excludes.ts";
import type { Excluder } from "../../src/files/excludes.ts";
import type { BackupOptions } from "../../src/files/backup.ts";
import { createQuickRepository } from "../interop/quick-repository.ts";
import { seededBytes } from "../seeded-bytes.ts";
import { backUpPaths, openAt, restoreTo } from "./engine.ts";
import type { EngineBackup } from "./engine.ts";
import { PASSWORD, ROOT_ONLY, describeTree, openWorkbench } from "./workbench.ts";

const bench = await openWorkbench({ after });
let count = 0;

/** A new working directory with `source/{a,b,dir/{c,d},z}` in it. */
function enterScene(): string {
  const folder = bench.at(`scene ${++count}`);
  mkdirSync(join(folder, "source/dir"), { recursive: true });
  for (const name of ["a", "b", "dir/c", "dir/d", "z"]) {
    writeFileSync(join(folder, "source", name), `this is ${name}`);
  }
  process.chdir(folder);
  return folder;
}

/** Does `change` once, when the entry at the end of this path is about to be looked at. */
function when(end: string, change: () => void): Excluder {
  let isDone = false;
  return {
    excludesPath: (path) => {
      if (!isDone && path.endsWith(end)) {
        isDone = true;
        change();
      }
      return false;
    },
    excludesEntry: () => false,
  };
}

/** Backs up into a new repository, restores, and tells what came back, besides what was reported. */
async function roundTrip(
  paths: readonly string[],
  overrides: Partial<BackupOptions> = {},
): Promise<{ backup: EngineBackup; names: string[]; target: string }> {
  const location = bench.at(`repository ${++count}`);
  await createQuickRepository(location, PASSWORD);
  const repository = await openAt(location);
  const backup = await backUpPaths(repository, paths, overrides);
  const target = bench.at(`target ${count}`);
  const { failures } = await restoreTo(repository, "latest", target);
  assert.equal(failures, 0);
  return { backup, names: Object.keys(describeTree(target).lines), target };
}

const ALL = ["source", "source/a", "source/b", "source/dir", "source/dir/c", "source/dir/d"];

void suite("things that go while they are read", () => {
  void test("a file that is gone was never there", async () => {
    enterScene();
    const excluder = when("/source/z", () => rmSync("source/z"));
    const { backup, names } = await roundTrip(["source"], { excluder });
    assert.equal(backup.failed.size, 0);
    assert.deepEqual(names, ALL);
    enterScene();
    // Looked at, but gone when it is to be read.
    const late = when("/source/z", () => rmSync("source/b"));
    const second = await roundTrip(["source"], { excluder: late });
    assert.equal(second.backup.failed.size, 0);
    assert.ok(!second.names.includes("source/b"));
    assert.equal(second.backup.counts.totalBytes, "this is ".length * 4 + "adir/cdir/dz".length);
  });

  void test("a directory that is gone was never there", async () => {
    enterScene();
    const excluder = when("/source/z", () => rmSync("source/dir", { recursive: true }));
    const { backup, names } = await roundTrip(["source"], { excluder });
    assert.equal(backup.failed.size, 0);
    assert.deepEqual(names, ["source", "source/a", "source/b", "source/z"]);
  });

  void test("a source that is gone is reported", async () => {
    enterScene();
    writeFileSync("other", "other");
    const excluder = when("/source/a", () => rmSync("other"));
    const order = ["source", "other"];
    // Sources are looked at before anything in them: the file is gone when it is to be read.
    const { backup, names } = await roundTrip(order, { excluder });
    assert.deepEqual([...backup.failed.keys()], ["other"]);
    assert.deepEqual(names, [...ALL, "source/z"]);
  });

  void test("a source directory that is gone is reported", async () => {
    const folder = enterScene();
    mkdirSync("zzz");
    writeFileSync("zzz/inside", "inside");
    const excluder = when("/source/a", () => rmSync(join(folder, "zzz"), { recursive: true }));
    const { backup, names } = await roundTrip(["source", "zzz"], { excluder });
    assert.deepEqual([...backup.failed.keys()], ["zzz"]);
    assert.deepEqual(names, [...ALL, "source/z"]);
  });

  void test("nothing left is no snapshot", async () => {
    enterScene();
    const excluder = when("/source/z", () => {
      renameSync("source", "moved");
      mkdirSync("source");
    });
    await assert.rejects(roundTrip(["source"], { excluder }), (error) =>
      isHoldfastError(error, "SOURCE_EMPTY"),
    );
  });

  void test("of a source that is moved away what was read is kept, and it is reported", async () => {
    enterScene();
    writeFileSync("source/b", seededBytes(1, 100));
    const excluder = when("/dir/d", () => renameSync("source", "moved"));
    const { backup } = await roundTrip(["source"], { excluder });
    assert.ok(backup.failed.has("source"));
  });
});

void suite("things that become something else while they are read", () => {
  const CHANGES: Readonly<Record<string, () => void>> = {
    "a link": () => symlinkSync("/etc/passwd", "source/b"),
    "a directory": () => mkdirSync("source/b"),
    "a fifo": () => execFileSync("mkfifo", ["source/b"]),
  };
  for (const [what, change] of Object.entries(CHANGES)) {
    void test(`a file becomes ${what}`, async () => {
      enterScene();
      const excluder = when("/source/z", () => {
        rmSync("source/b");
        change();
      });
      const { backup, names } = await roundTrip(["source"], { excluder });
      assert.deepEqual([...backup.failed.keys()], ["source/b"]);
      assert.deepEqual(names, [...ALL.filter((name) => name !== "source/b"), "source/z"]);
    });
  }

  void test("a directory becomes a link to another: nothing of that is stored", async () => {
    enterScene();
    mkdirSync("secrets");
    for (const name of ["c", "d"]) writeFileSync(`secrets/${name}`, "secret");
    const replace = (): void => {
      renameSync("source/dir", "dir that was");
      symlinkSync("../secrets", "source/dir");
    };
    for (const moment of ["/source/z", "/dir/c", "/dir/d"]) {
      const { backup, names } = await roundTrip(["source"], { excluder: when(moment, replace) });
      assert.deepEqual([...backup.failed.keys()], ["source/dir"], moment);
      assert.deepEqual(names, ["source", "source/a", "source/b", "source/z"]);
      rmSync("source/dir");
      renameSync("dir that was", "source/dir");
    }
  });

  void test("a file that grows is stored as it was read, with its length", async () => {
    enterScene();
    const more = seededBytes("more", 700_000);
    const excluder = when("/source/z", () => appendFileSync("source/a", more));
    const { backup, target } = await roundTrip(["source"], { excluder });
    assert.equal(backup.failed.size, 0);
    assert.equal(describeTree(target).lines["source/a"], describeTree(".").lines["source/a"]);
  });

  void test("a file that the disk refuses to give is reported", async () => {
    enterScene();
    // Reading a process's memory at 0 is an input/output error for everybody.
    const { backup, names } = await roundTrip(["source", "/proc/self/mem"]);
    assert.deepEqual([...backup.failed.keys()], ["/proc/self/mem"]);
    assert.match(backup.failed.get("/proc/self/mem")!.message, /EIO/);
    assert.deepEqual(names.slice(-ALL.length - 1), [...ALL, "source/z"]);
  });

  void test("a volume that is lost is reported", { skip: ROOT_ONLY }, async (t) => {
    enterScene();
    mkdirSync("source/volume");
    execFileSync("mount", ["-t", "tmpfs", "none", "source/volume"]);
    let isMounted = true;
    const unmount = (): void => {
      if (isMounted) execFileSync("umount", ["-l", "source/volume"]);
      isMounted = false;
    };
    t.after(unmount);
    for (const name of ["one", "two"]) writeFileSync(`source/volume/${name}`, name);
    const { backup, names } = await roundTrip(["source"], {
      excluder: when("/volume/two", unmount),
    });
    assert.deepEqual([...backup.failed.keys()], ["source/volume"]);
    assert.ok(!names.includes("source/volume"));
  });
});

const noIo = { readFile: () => Promise.reject(new Error()), variables: () => undefined };

void suite("what belongs to a source", () => {
  const excludes = (...patterns: string[]): Promise<Excluder> =>
    compileExcluder({ exclude: patterns }, { ...noIo, readStart: () => undefined, warn: () => {} });

  void test("excludes hold for entries of `.`, not for what was named", async () => {
    enterScene();
    process.chdir("source");
    const excluder = await excludes("dir", "z");
    assert.deepEqual((await roundTrip(["."], { excluder, cwd: process.cwd() })).names, ["a", "b"]);
    assert.deepEqual((await roundTrip(["dir", "a"], { excluder })).names, ["a", "dir"]);
    const both = await roundTrip([".", "z"], { excluder });
    assert.deepEqual(both.names, ["a", "b", "z"]);
  });

  void test("equal names from different directories", async () => {
    enterScene();
    mkdirSync("source/source");
    writeFileSync("source/source/deep", "deep");
    process.chdir("source");
    const { names } = await roundTrip(["source", "../source/a"]);
    assert.deepEqual(names, ["source", "source/deep", "source-1", "source-1/a"]);
  });

  void test("--one-file-system", { skip: ROOT_ONLY }, async (t) => {
    enterScene();
    mkdirSync("source/mount");
    execFileSync("mount", ["-t", "tmpfs", "none", "source/mount"]);
    t.after(() => execFileSync("umount", [bench.at(`scene ${sceneNumber}`, "source/mount")]));
    const sceneNumber = count;
    writeFileSync("source/mount/inside", "inside");
    writeFileSync("source/bound", "");
    writeFileSync("source/mount/other", "other");
    execFileSync("mount", ["--bind", "source/mount/other", "source/bound"]);
    t.after(() => execFileSync("umount", [bench.at(`scene ${sceneNumber}`, "source/bound")]));
    const one = { oneFileSystem: true };
    const without = [...ALL, "source/mount", "source/z"];
    assert.deepEqual((await roundTrip(["source"], one)).names, without);
    const named = [...ALL, "source/mount", "source/mount/inside", "source/mount/other", "source/z"];
    assert.deepEqual((await roundTrip(["source/mount", "source"], one)).names, named);
    process.chdir("source");
    const entries = without.filter((name) => name !== "source").map((name) => name.slice(7));
    assert.deepEqual((await roundTrip(["."], { ...one, cwd: process.cwd() })).names, entries);
    assert.ok((await roundTrip(["."])).names.includes("mount/inside"));
    assert.deepEqual((await roundTrip(["mount"], one)).names, [
      "mount",
      "mount/inside",
      "mount/other",
    ]);
  });
});
