// A backup that dies: whatever it was doing, the repository stays sound, the next backup succeeds and does not store again
// what the index names already.
//
// Deterministic: every write of a run is once the last one, in this process. By chance: kill -9 of the real program.

import assert from "node:assert/strict";
import { mkdirSync, statSync, watch, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { systemClock } from "../../src/base/clock.ts";
import type { Clock } from "../../src/base/clock.ts";
import type { Repository } from "../../src/repository/repository.ts";
import { isCancellation } from "../../src/cli/exit-status.ts";
import { checkRepository } from "../../src/repository/check.ts";
import { faulty } from "../../src/storage/faulty.ts";
import { forwarding } from "../../src/storage/forwarding.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { createQuickRepository } from "../interop/quick-repository.ts";
import { skipWithout } from "../peers.ts";
import { seededBytes } from "../seeded-bytes.ts";
import { backUpPaths, openAt, restoreTo } from "./engine.ts";
import { PASSWORD, assertSameTree, openWorkbench } from "./workbench.ts";

const bench = await openWorkbench({ after });
const FILES = 8;
const FILE_BYTES = 40_000;
mkdirSync(bench.at("source/inner"), { recursive: true });
for (let i = 0; i < FILES; i++) {
  const folder = i % 2 === 0 ? "source" : "source/inner";
  writeFileSync(bench.at(folder, `file ${i}`), seededBytes(i, FILE_BYTES));
}
// A relative source: the folders above it change all the time.
process.chdir(bench.folder);
/** Small packs, so that there are many writes. */
const PACK_SIZE = 64 << 10;

let count = 0;

/** A clock that is a minute further at each look, so that index files are due all the time. */
function hastyClock(): Clock {
  let passed = 0;
  return { ...systemClock, now: () => Date.now() + (passed += 60_000) };
}

async function emptyRepository(): Promise<string> {
  const location = bench.at(`repository ${++count}`);
  await createQuickRepository(location, PASSWORD);
  return location;
}

/** Every index, pack, snapshot and tree is there; with `data` every byte is right. */
async function assertSound(repository: Repository, data: boolean): Promise<void> {
  const readData = { mode: data ? "all" : "none" } as const;
  const report = await checkRepository(repository, { readData, workers: 1 });
  assert.equal(report.numErrors, 0, JSON.stringify(report.findings));
}

/** The next backup succeeds and brings the source back; the bytes that it had to add. */
async function assertRecovers(repository: Repository): Promise<number> {
  const again = await backUpPaths(repository, ["source"]);
  assert.ok(again.snapshot);
  assert.equal(again.failed.size, 0);
  await assertSound(repository, true);
  const target = bench.at(`target ${++count}`);
  const { failures } = await restoreTo(repository, "latest:source", target);
  assert.equal(failures, 0);
  assertSameTree(target, bench.at("source"));
  return again.added.added;
}

/** A backup whose every look at the clock costs a minute, and which may die before some write. True when it did. */
async function dyingBackup(
  location: string,
  death: { skip: number; key?: RegExp },
): Promise<boolean> {
  const rule = { on: "put", ...death, fault: { kind: "kill", when: "before" } } as const;
  const around = (storage: Storage): Storage => faulty(storage, [rule]);
  const repository = await openAt(location, around, { clock: hastyClock() });
  try {
    await backUpPaths(repository, ["source"], { packSize: PACK_SIZE });
    return false;
  } catch (error) {
    assert.match((error as Error).message, /the process is dead/);
    return true;
  }
}

void test("a death at any write leaves the repository sound, and what is indexed is used", async () => {
  const left: number[] = [];
  for (let skip = 0; ; skip++) {
    const location = await emptyRepository();
    const isDead = await dyingBackup(location, { skip });
    const repository = await openAt(location);
    await assertSound(repository, false);
    if (!isDead) break;
    if (skip % 4 === 1) left.push(await assertRecovers(repository));
    else left.push((await backUpPaths(repository, ["source"])).added.added);
  }
  assert.ok(left.length >= 8, left.join());
  // Who dies first has stored nothing, later ones more and more of it.
  const all = left[0]!;
  assert.ok(all >= FILES * FILE_BYTES);
  assert.ok(
    left.some((bytes) => bytes > 0 && bytes < all / 2),
    left.join(),
  );
  const last = await emptyRepository();
  assert.ok(await dyingBackup(last, { skip: 0, key: /^snapshots\// }));
  assert.equal(await assertRecovers(await openAt(last)), 0);
});

void test("a cancelled backup leaves what it stored in the index", async () => {
  const location = await emptyRepository();
  const controller = new AbortController();
  const stopping = (storage: Storage): Storage =>
    forwarding(storage, {
      put: async (key, body, options) => {
        await storage.put(key, body, options);
        if (key.startsWith("data/")) controller.abort();
      },
    });
  const repository = await openAt(location, stopping);
  const { signal } = controller;
  const backup = backUpPaths(repository, ["source"], { packSize: PACK_SIZE, signal });
  await assert.rejects(backup, (error) => isCancellation(error));
  const sound = await openAt(location);
  assert.deepEqual(await sound.list("lock"), []);
  assert.equal((await sound.list("index")).length, 1);
  assert.ok((await assertRecovers(sound)) < FILES * FILE_BYTES);
});

void suite("kill -9 of the program", () => {
  const backup = ["backup", "--quiet", "--read-concurrency", "1", "source"];
  const environment = { NODE_OPTIONS: `--import ${join(import.meta.dirname, "death.ts")}` };

  void test("at one of its calls", async () => {
    const { repository: location } = bench;
    const log = bench.at("calls");
    const probe = await emptyRepository();
    const env = { ...environment, DEATH_LOG: log };
    await bench.holdfast(backup, { repository: probe, cwd: bench.folder, env, status: 0 });
    const calls = statSync(log).size;
    assert.ok(calls > 20, `${calls} calls`);
    let killed = 0;
    for (let kill = 0; kill < 16; kill++) {
      const at = 1 + Math.floor((kill * calls) / 16);
      // What is new each time makes the repository be written each time.
      writeFileSync(bench.at("source/new"), seededBytes(`new ${kill}`, 5000 + kill));
      const run = await bench.holdfast(backup, {
        cwd: bench.folder,
        env: { ...environment, DEATH_AT: String(at) },
      });
      if (run.signal === "SIGKILL") killed++;
      else assert.equal(run.status, 0, run.stderr);
      const repository = await openAt(location);
      await assertSound(repository, false);
      if (kill % 5 === 4) await assertRecovers(repository);
    }
    assert.ok(killed >= 12, `${killed} of 16 were killed`);
    await assertRecovers(await openAt(location));
  });

  void test("at any moment once it holds its lock", async () => {
    const location = await emptyRepository();
    let killed = 0;
    for (let kill = 0; kill < 20; kill++) {
      writeFileSync(bench.at("source/new"), seededBytes(`newer ${kill}`, 300_000));
      const run = await bench.holdfast(backup, {
        repository: location,
        cwd: bench.folder,
        onStart: (child) => {
          const watcher = watch(join(location, "locks"), () => {
            watcher.close();
            setTimeout(() => child.kill("SIGKILL"), kill * 6);
          });
          child.on("exit", () => watcher.close());
        },
      });
      if (run.signal === "SIGKILL") killed++;
      else assert.equal(run.status, 0, run.stderr);
      const repository = await openAt(location);
      await assertSound(repository, false);
      if (kill % 7 === 6) await assertRecovers(repository);
    }
    assert.ok(killed >= 5, `${killed} of 20 were killed`);
    await assertRecovers(await openAt(location));
    if (skipWithout("restic-newest") !== false) return;
    // The dead have left locks, and maybe halves of files under other names.
    await bench.restic("newest", ["unlock"], { repository: location });
    await bench.restic("newest", ["check", "--read-data"], { repository: location });
  });
});
