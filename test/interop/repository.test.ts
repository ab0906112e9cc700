// The open repository against real restic: who opens what, who sees whose locks, who uses whose cache.

import assert from "node:assert/strict";
import { existsSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { suite, test } from "node:test";
import { initRepository } from "../../src/repository/init.ts";
import { addKey, listKeys } from "../../src/repository/keys.ts";
import { acquireLock, listLocks, removeLocks } from "../../src/repository/locks.ts";
import { loadIndex } from "../../src/repository/index-loader.ts";
import { BlobReader } from "../../src/repository/blob-reader.ts";
import { openRepository } from "../../src/repository/open.ts";
import type { Repository } from "../../src/repository/repository.ts";
import { listSnapshots } from "../../src/repository/snapshots.ts";
import { decodeTree } from "../../src/restic/tree.ts";
import { isHoldfastError } from "../../src/base/errors.ts";
import { openLocalStorage } from "../../src/storage/local.ts";
import { systemClock } from "../../src/base/clock.ts";
import { testMachine } from "../memory-repository.ts";
import { peer } from "../peers.ts";
import { fillSource, resticFolder } from "./restic-folder.ts";
import type { ResticFolder } from "./restic-folder.ts";

const NEWEST = "restic-newest";

for (const [which, version] of [
  ["restic-oldest", "1"],
  [NEWEST, "2"],
] as const) {
  const { skip } = peer(which);
  suite(which, { skip }, () => {
    test(`we open what it made in format ${version}, and read all of it`, async () => {
      using folder = await resticFolder(which, { create: false });
      folder.restic("init", "--repository-version", version);
      fillSource(folder);
      folder.restic("backup", "source");
      const repository = await folder.open();
      assert.equal(repository.config.version, Number(version));
      const [found, ...others] = await listSnapshots(repository);
      assert.deepEqual(others, []);
      const { index } = await loadIndex(repository);
      const reader = new BlobReader(repository, index);
      let files = 0;
      const walk = async (tree: string): Promise<void> => {
        for (const node of decodeTree(await reader.read("tree", tree))) {
          if (node.subtree !== null) await walk(node.subtree);
          for (const id of node.content ?? []) await reader.read("data", id);
          if (node.type === "file") files++;
        }
      };
      await walk(found!.snapshot.tree);
      assert.equal(files, 30);
    });

    test("it opens what we made, and our second key", async () => {
      using folder = await resticFolder(which, { create: false });
      const storage = await openLocalStorage({ root: folder.repository, create: true });
      const machine = testMachine();
      await initRepository({ storage, password: "interop", machine });
      folder.restic("check", "--no-cache");
      const repository = await openRepository({ storage, password: "interop", machine });
      await addKey({
        storage,
        master: repository.key,
        password: "other",
        machine,
        hostname: "elsewhere",
      });
      assert.match(folder.restic("key", "list"), /tester +elsewhere/);
      assert.equal((await listKeys(repository)).length, 2);
    });

    test("it sees our lock, waits for it as for its own, and can remove it", async () => {
      using folder = await resticFolder(which);
      // Our process lives, on a host of another name: restic can only believe the lock's time.
      const machine = testMachine({ hostname: "pod-7", pid: 77 });
      const repository = await folder.open({ machine });
      const held = await acquireLock(repository, { exclusive: true });
      const [id] = folder.restic("list", "locks", "--no-lock").trim().split("\n");
      assert.equal((await listLocks(repository))[0]!.id, id);
      const shown = JSON.parse(folder.restic("cat", "lock", id!, "--no-lock")) as Record<
        string,
        unknown
      >;
      assert.deepEqual(
        { ...shown, time: typeof shown["time"] },
        {
          time: "string",
          exclusive: true,
          hostname: "pod-7",
          username: "tester",
          pid: 77,
          uid: 1000,
          gid: 1000,
        },
      );
      const refused = folder.tryRestic("snapshots");
      assert.notEqual(refused.status, 0);
      assert.match(refused.stderr, /already locked exclusively by PID 77 on pod-7 by tester/);
      folder.restic("unlock");
      assert.equal((await listLocks(repository)).length, 1, "too young to be stale");
      folder.restic("unlock", "--remove-all");
      assert.equal((await listLocks(repository)).length, 0);
      await held.release();
    });

    test("it works beside our shared lock, and not where it wants all", async () => {
      using folder = await resticFolder(which);
      const repository = await folder.open({ machine: testMachine({ hostname: "pod-7" }) });
      const held = await acquireLock(repository, { exclusive: false });
      fillSource(folder);
      folder.restic("backup", "source");
      assert.notEqual(folder.tryRestic("prune").status, 0);
      await held.release();
      folder.restic("prune");
    });

    test("it calls our lock stale after 30 minutes, as we do", async () => {
      using folder = await resticFolder(which);
      for (const [minutes, stale] of [
        [29, false],
        [31, true],
      ] as const) {
        const now = (): number => Date.now() - minutes * 60_000;
        const nowNanoseconds = (): bigint => BigInt(now()) * 1_000_000n;
        const clock = { ...systemClock, now, nowNanoseconds };
        const past = await folder.open({ machine: testMachine({ hostname: "pod-7", clock }) });
        const present = await folder.open({ machine: testMachine() });
        for (const unlock of [
          (): Promise<number> => removeLocks(present, { all: false }),
          (): unknown => folder.restic("unlock"),
        ]) {
          const held = await acquireLock(past, { exclusive: false });
          await unlock();
          assert.equal((await listLocks(present)).length, stale ? 0 : 1);
          await held.release();
        }
      }
    });

    test("its lock refuses us while it works", async () => {
      using folder = await resticFolder(which);
      // Made by the plain text of the format, as a restic on another host would.
      const time = new Date().toISOString();
      const theirs = { time, exclusive: true, hostname: "other", username: "root", pid: 1 };
      const repository = await folder.open();
      await repository.save("lock", Buffer.from(JSON.stringify(theirs)));
      assert.match(folder.restic("list", "locks", "--no-lock"), /^[0-9a-f]{64}\n$/);
      const attempt = acquireLock(repository, { exclusive: false });
      await assert.rejects(attempt, (error) => isHoldfastError(error, "REPO_LOCKED"));
    });
  });
}

/** Zeroes all files of a kind in the repository: whoever still reads them has them from a cache. */
function spoil(folder: ResticFolder, kind: "index" | "snapshots" | "data"): void {
  const root = join(folder.repository, kind);
  for (const name of readdirSync(root, { recursive: true, encoding: "utf8" })) {
    if (!/[0-9a-f]{64}$/.test(name)) continue;
    const path = join(root, name);
    const { length } = readFileSync(path);
    writeFileSync(path, Buffer.alloc(length), { mode: 0o600, flag: "r+" });
  }
}

/** The paths of the latest snapshot, read through `repository`. */
async function listPaths(repository: Repository): Promise<string[]> {
  const { index } = await loadIndex(repository);
  const reader = new BlobReader(repository, index);
  const [found] = await listSnapshots(repository);
  const walk = async (tree: string, path: string): Promise<string[]> => {
    const paths: string[] = [];
    for (const { name, subtree } of decodeTree(await reader.read("tree", tree))) {
      paths.push(`${path}/${name}`);
      if (subtree !== null) paths.push(...(await walk(subtree, `${path}/${name}`)));
    }
    return paths;
  };
  return (await walk(found!.snapshot.tree, "")).sort();
}

suite("the cache", { skip: peer(NEWEST).skip }, () => {
  /** Our view of the repository as if it were far away, with the folder of restic's cache. */
  async function openFar(folder: ResticFolder): Promise<Repository> {
    const local = await openLocalStorage({ root: folder.repository });
    const storage = Object.create(local, {
      traits: { value: { ...local.traits, local: false } },
    }) as typeof local;
    for (const name of ["put", "get", "stat", "list", "delete", "close"] as const) {
      Object.defineProperty(storage, name, { value: local[name].bind(local) });
    }
    return folder.open({ storage, cacheFolder: join(folder.path, "cache") });
  }

  test("that restic filled serves us", async () => {
    using folder = await resticFolder(NEWEST);
    fillSource(folder);
    folder.restic("backup", "source");
    const expected = folder.restic("ls", "latest", "-q").trim().split("\n").sort();
    for (const kind of ["index", "snapshots", "data"] as const) spoil(folder, kind);
    await assert.rejects(listPaths(await folder.open()));
    assert.deepEqual(await listPaths(await openFar(folder)), expected);
  });

  test("that we filled serves restic", async () => {
    using folder = await resticFolder(NEWEST);
    fillSource(folder);
    folder.restic("backup", "source", "--no-cache");
    assert.equal(existsSync(join(folder.path, "cache")), false);
    const expected = await listPaths(await openFar(folder));
    for (const kind of ["index", "data"] as const) spoil(folder, kind);
    assert.notEqual(folder.tryRestic("ls", "latest", "--no-cache").status, 0);
    const listed = folder.restic("ls", "latest", "-q").trim().split("\n").sort();
    assert.deepEqual(listed, expected);
  });

  test("with a damaged file is fetched again", async () => {
    using folder = await resticFolder(NEWEST);
    fillSource(folder);
    folder.restic("backup", "source");
    const expected = await listPaths(await openFar(folder));
    const root = join(folder.path, "cache");
    const cached = readdirSync(root, { recursive: true, encoding: "utf8" }).filter(
      (name) => /[0-9a-f]{64}$/.test(name) && /\/(index|snapshots|data)\//.test(name),
    );
    assert.ok(cached.length >= 3);
    for (const name of cached) writeFileSync(join(root, name), "damaged", { mode: 0o600 });
    assert.deepEqual(await listPaths(await openFar(folder)), expected);
    for (const name of cached) assert.notEqual(readFileSync(join(root, name), "utf8"), "damaged");
  });

  test("forgets what the repository no longer has", async () => {
    using folder = await resticFolder(NEWEST);
    fillSource(folder);
    folder.restic("backup", "source");
    await listPaths(await openFar(folder));
    writeFileSync(join(folder.source, "new"), "new");
    folder.restic("backup", "source", "--no-cache");
    folder.restic("forget", "--keep-last", "1", "--prune", "--no-cache");
    const root = join(folder.path, "cache");
    const ids = (): string[] =>
      readdirSync(root, { recursive: true, encoding: "utf8" })
        .map((name) => name.split("/").at(-1)!)
        .filter((name) => /^[0-9a-f]{64}$/.test(name));
    await listPaths(await openFar(folder));
    const stored = new Set(
      readdirSync(folder.repository, { recursive: true, encoding: "utf8" }).map((name) =>
        name.split("/").at(-1)!,
      ),
    );
    const { id } = (await openFar(folder)).config;
    assert.deepEqual(
      ids().filter((name) => name !== id && !stored.has(name)),
      [],
    );
  });
});
