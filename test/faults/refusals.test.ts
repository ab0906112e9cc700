// What cannot be done is refused with the documented exit status and one clear error, never with a stack trace, and
// leaves the lock of nobody behind.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  lchownSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { systemClock } from "../../src/base/clock.ts";
import { errnoOf, isHoldfastError } from "../../src/base/errors.ts";
import { formatTime } from "../../src/restic/go-time.ts";
import { encodeLock } from "../../src/restic/lock-file.ts";
import * as damage from "../fixtures/damage.ts";
import { createQuickRepository } from "../interop/quick-repository.ts";
import { seededBytes } from "../seeded-bytes.ts";
import { MACHINE, backUpPaths, checkAll, openAt, restoreTo } from "./engine.ts";
import { PASSWORD, ROOT_ONLY, assertSameTree, openWorkbench } from "./workbench.ts";
import type { Run, RunOptions } from "./workbench.ts";

const bench = await openWorkbench({ after });
const source = bench.at("source");
mkdirSync(join(source, "sub"), { recursive: true });
for (let i = 0; i < 6; i++) {
  writeFileSync(join(source, i < 3 ? "" : "sub", `file ${i}`), seededBytes(i, 50_000));
}
await backUpPaths(await openAt(bench.repository), [source], { packSize: 100_000 });
let count = 0;

/** A copy of the repository, to be damaged. */
function copyRepository(): string {
  const location = bench.at(`copy ${++count}`);
  cpSync(bench.repository, location, { recursive: true });
  return location;
}

/** Asserts that a run ended with this status, one error that says `words`, and no lock. */
function assertRefused(run: Run, status: number, words: RegExp): void {
  const said = `status ${run.status}\n${run.stdout}\n${run.stderr}`;
  assert.equal(run.status, status, said);
  assert.match(run.stderr, words, said);
  assert.equal(run.stderr.match(/^Fatal: /gm)?.length, 1, said);
}

const locksOf = (location: string): string[] => readdirSync(join(location, "locks"));

const backup = (options: RunOptions = {}): Promise<Run> =>
  bench.holdfast(["backup", source], options);

function restore(options: RunOptions = {}, target = bench.at(`target ${++count}`)): Promise<Run> {
  return bench.holdfast(["restore", `latest:${source}`, "--target", target], options);
}

void suite("the repository", () => {
  void test("wrong password: 12", async () => {
    for (const run of [await backup({ password: "no" }), await restore({ password: "no" })]) {
      assertRefused(run, 12, /wrong password or no key found/);
    }
  });

  void test("no repository: 10", async () => {
    mkdirSync(bench.at("empty"));
    for (const repository of [bench.at("absent"), bench.at("empty")]) {
      const words = /repository does not exist.*\nIs there a repository at the following location/s;
      assertRefused(await backup({ repository }), 10, words);
      assertRefused(await restore({ repository }), 10, words);
      assert.equal(existsSync(bench.at("absent")), false);
      assert.deepEqual(readdirSync(bench.at("empty")), []);
    }
    assertRefused(await backup({ repository: join(source, "file 0") }), 1, /not a directory/);
  });

  void test("locked: 11, and the lock that is in the way stays", async () => {
    const repository = copyRepository();
    const lock = {
      time: formatTime(systemClock.nowNanoseconds()),
      exclusive: true,
      hostname: "somewhere else",
      username: "somebody",
      pid: 1,
    };
    await (await openAt(repository)).save("lock", encodeLock(lock));
    const locks = locksOf(repository);
    for (const run of [await backup({ repository }), await restore({ repository })]) {
      assertRefused(
        run,
        11,
        /unable to create lock.*locked exclusively by PID 1 on somewhere else/s,
      );
    }
    assert.deepEqual(locksOf(repository), locks);
  });

  void test("a lock of a process of this machine that is gone is removed", async () => {
    const repository = copyRepository();
    const { hostname, username } = MACHINE;
    const time = formatTime(systemClock.nowNanoseconds());
    const lock = { time, exclusive: true, hostname, username, pid: 0x3fffff };
    await (await openAt(repository)).save("lock", encodeLock(lock));
    await bench.holdfast(["backup", source], { repository, status: 0 });
    assert.deepEqual(locksOf(repository), []);
  });
});

/** How each damage ends a backup and a restore: status 0 means that it does not matter. */
const DAMAGES: readonly [
  name: string,
  damage: (location: string) => void,
  backup: readonly [number, RegExp],
  restore: readonly [number, RegExp],
][] = [
  ["a missing config", damage.missingConfig, [10, /does not exist/], [10, /does not exist/]],
  [
    "a flipped byte in the config",
    damage.flippedConfigByte,
    [1, /config .*damaged/],
    [1, /config .*damaged/],
  ],
  ["a truncated config", damage.truncatedConfig, [1, /config .*damaged/], [1, /config .*damaged/]],
  ["a truncated key", damage.truncatedKey, [1, /damaged key files/], [1, /damaged key files/]],
  ["no key", damage.missingKeys, [12, /no key file/], [12, /no key file/]],
  ["a truncated index", damage.truncatedIndex, [1, /index .* is damaged/], [1, /in no index/]],
  [
    "a flipped byte in the index",
    damage.flippedIndexByte,
    [1, /index .* is damaged/],
    [1, /in no index/],
  ],
  ["no index", damage.missingIndex, [0, /^/], [1, /in no index/]],
  [
    "a damaged snapshot",
    damage.flippedSnapshotByte,
    [0, /snapshot .* is damaged/],
    [1, /may be the latest/],
  ],
  [
    "an empty snapshot",
    damage.emptySnapshot,
    [0, /snapshot .* is damaged/],
    [1, /may be the latest/],
  ],
  ["a garbage lock", damage.garbageLock, [1, /lock .* is damaged/], [1, /lock .* is damaged/]],
  ["an empty lock", damage.emptyLock, [0, /^/], [0, /^/]],
];

void suite("damage", () => {
  for (const [name, harm, [backupStatus, backupWords], [restoreStatus, restoreWords]] of DAMAGES) {
    void test(name, async () => {
      const repository = copyRepository();
      harm(repository);
      const locks = locksOf(repository);
      writeFileSync(join(source, "new"), seededBytes(`new ${++count}`, 1000));
      const [restored, stored] = await Promise.all([
        restore({ repository }),
        backup({ repository }),
      ]);
      if (restoreStatus === 0) assert.equal(restored.status, 0, restored.stderr);
      else assertRefused(restored, restoreStatus, restoreWords);
      if (backupStatus > 0) assertRefused(stored, backupStatus, backupWords);
      else {
        assert.equal(stored.status, 0, stored.stderr);
        assert.match(stored.stderr, backupWords);
      }
      assert.deepEqual(locksOf(repository), locks);
    });
  }

  void test("packs that have lost their header, and packs with each other's names", async () => {
    for (const swapped of [false, true]) {
      const location = copyRepository();
      const repository = await openAt(location);
      const packs = (await repository.list("pack")).map(({ id }) => id);
      assert.ok(packs.length >= 3);
      if (swapped) damage.swappedPacks(repository, packs[0]!, packs[1]!);
      else for (const pack of packs) damage.truncatedPackHeader(repository, pack);
      const run = await restore({ repository: location });
      assert.equal(run.status, swapped ? 1 : 0, run.stderr);
      assert.ok((await checkAll(repository)).numErrors > 0);
    }
  });
});

void suite("sources and targets", () => {
  const nothing = bench.at("nothing");
  mkdirSync(nothing);

  void test("no source, an empty one, one of two", async () => {
    const repository = copyRepository();
    const run = (...words: string[]): Promise<Run> =>
      bench.holdfast(["backup", ...words], { repository });
    assertRefused(await run(bench.at("absent source")), 1, /does not exist/);
    assertRefused(await run(nothing), 1, /nothing is empty\nhint: .*mounted/);
    assertRefused(await bench.holdfast(["backup", "."], { cwd: nothing }), 1, /is empty/);
    const all = await bench.holdfast(["backup", ".", "--exclude", "*"], { cwd: source });
    assertRefused(all, 1, /snapshot is empty/);
    assertRefused(await run("--stdin"), 1, /standard input is empty/);
    assert.equal((await run(source, bench.at("absent source"))).status, 3);
    assert.equal((await run(source, nothing)).status, 0);
    assert.equal((await run(nothing, "--allow-empty")).status, 0);
    assert.equal((await run("--stdin", "--allow-empty")).status, 0);
    assert.deepEqual(locksOf(repository), []);
    assert.deepEqual(locksOf(bench.repository), []);
  });

  void test("a target that is no directory, and --delete in the root", async () => {
    assertRefused(await restore({}, join(source, "file 0")), 1, /not a directory/);
    assertRefused(await restore({}, join(source, "file 0", "below")), 1, /cannot restore into/);
    const words = ["restore", "latest", "--target", "/", "--delete"];
    assertRefused(await bench.holdfast(words), 1, /must be combined with an include or exclude/);
    symlinkSync(bench.at("nowhere at all"), bench.at("dangling"));
    assertRefused(await restore({}, bench.at("dangling")), 1, /cannot restore into/);
  });

  void test("what may not be read is left out and named: 3", { skip: ROOT_ONLY }, async (t) => {
    const mine = await openWorkbench(t);
    const folder = mine.at("source");
    mkdirSync(join(folder, "closed"), { recursive: true });
    for (const name of ["readable", "secret", "closed/inside"]) {
      writeFileSync(join(folder, name), name);
      chownSync(join(folder, name), 65_534, 65_534);
    }
    writeFileSync(join(folder, "secret"), "secret");
    execFileSync("chown", ["-R", "65534:65534", mine.folder]);
    for (const name of ["secret", "closed"]) {
      chmodSync(join(folder, name), 0o700);
      lchownSync(join(folder, name), 0, 0);
    }
    const nobody = { uid: 65_534, gid: 65_534 };
    // A checkout below a private directory cannot be entered by anybody else.
    const run = await mine.holdfast(["backup", folder], nobody).catch((error: unknown) => {
      if (errnoOf(error) === "EACCES") return undefined;
      throw error;
    });
    if (run === undefined || /EACCES.*(bin\/holdfast|src\/cli)/.test(run.stderr)) {
      return t.skip("nobody else may run the program of this checkout");
    }
    assert.equal(run.status, 3, run.stderr);
    assert.match(run.stderr, /source\/secret: EACCES/);
    assert.match(run.stderr, /source\/closed: EACCES/);
    const listed = await mine.holdfast(["ls", "latest"], { status: 0 });
    assert.match(listed.stdout, /readable/);
    assert.doesNotMatch(listed.stdout, /secret|closed/);
    const closed = { ...nobody, cwd: folder };
    assertRefused(await mine.holdfast(["backup", "secret"], closed), 1, /snapshot is empty/);
    const words = ["restore", `latest:${folder}`, "--target", join(folder, "closed/in")];
    assertRefused(await mine.holdfast(words, nobody), 1, /cannot restore into .*EACCES/);
  });

  void test("--read-only repository and target", { skip: ROOT_ONLY }, async (t) => {
    const mounted = bench.at("read only");
    mkdirSync(mounted);
    execFileSync("mount", ["--bind", bench.folder, mounted]);
    t.after(() => execFileSync("umount", [mounted]));
    execFileSync("mount", ["-o", "remount,ro,bind", mounted]);
    const repository = join(mounted, "repository");
    assertRefused(await backup({ repository }), 1, /read-only file system/i);
    assertRefused(await restore({ repository }), 1, /read-only file system/i);
    assertRefused(await restore({}, join(mounted, "target")), 1, /cannot restore into .*EROFS/);
    const target = bench.at("from read only");
    const words = ["restore", `latest:${source}`, "--target", target, "--no-lock"];
    await bench.holdfast(words, { repository, status: 0 });
    assert.ok(existsSync(join(target, "sub/file 5")));
  });
});

void suite("full disks", { skip: ROOT_ONLY }, () => {
  function mountSmall(
    t: { after(work: () => void): void },
    name: string,
  ): { at: string; grow(): void } {
    const at = bench.at(name);
    mkdirSync(at);
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=1m", "none", at]);
    t.after(() => execFileSync("umount", [at]));
    return { at, grow: () => void execFileSync("mount", ["-o", "remount,size=64m", at]) };
  }

  void test("the repository's: 1, sound, and continued when there is room", async (t) => {
    const disk = mountSmall(t, "small repository");
    const location = join(disk.at, "repository");
    await createQuickRepository(location, PASSWORD);
    const big = bench.at("big source");
    mkdirSync(big);
    for (let i = 0; i < 20; i++) writeFileSync(join(big, `${i}`), seededBytes(i, 300_000));
    const run = await bench.holdfast(["backup", big, "--pack-size", "4"], { repository: location });
    assertRefused(run, 1, /no space left/i);
    assert.deepEqual(locksOf(location), []);
    const repository = await openAt(location);
    await assert.rejects(backUpPaths(repository, [big], { packSize: 200_000 }), (error) =>
      isHoldfastError(error, "STORAGE_FULL"),
    );
    const report = await checkAll(repository);
    assert.equal(report.numErrors, 0);
    disk.grow();
    const again = await backUpPaths(repository, [big]);
    assert.ok(again.snapshot);
    assert.equal((await checkAll(repository)).numErrors, 0);
  });

  void test("the target's: 1, one error, no half file, and continued when there is room", async (t) => {
    const disk = mountSmall(t, "small target");
    const big = bench.at("big files");
    mkdirSync(big);
    for (let i = 0; i < 8; i++) writeFileSync(join(big, `${i}`), seededBytes(`big ${i}`, 300_000));
    writeFileSync(join(big, "large"), seededBytes("large", 3_000_000));
    const repository = await openAt(bench.repository);
    await backUpPaths(repository, [big]);
    const words = ["restore", `latest:${big}`, "--target", disk.at];
    assertRefused(await bench.holdfast(words), 1, /restore target is full/);
    for (const name of readdirSync(disk.at)) {
      assert.deepEqual(readFileSync(join(disk.at, name)), readFileSync(join(big, name)), name);
    }
    disk.grow();
    const { failures } = await restoreTo(repository, `latest:${big}`, disk.at);
    assert.equal(failures, 0);
    assertSameTree(disk.at, big);
  });
});
