// Several processes at one repository: locks that real restic sees and honours, removed however a run ends, and backups
// side by side that all count.

import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { mkdirSync, readdirSync, renameSync, watch, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { skipWithout } from "../peers.ts";
import { createQuickRepository } from "../interop/quick-repository.ts";
import { seededBytes } from "../seeded-bytes.ts";
import { checkAll, openAt, restoreTo } from "./engine.ts";
import { PASSWORD, assertSameTree, openWorkbench } from "./workbench.ts";
import type { Run } from "./workbench.ts";

const skip = skipWithout("restic-newest", "restic-oldest");
const bench = await openWorkbench({ after });
let count = 0;

async function freshRepository(): Promise<string> {
  const location = bench.at(`repository ${++count}`);
  await createQuickRepository(location, PASSWORD);
  return location;
}

const locksOf = (location: string): string[] =>
  readdirSync(join(location, "locks")).filter((name) => /^[0-9a-f]{64}$/.test(name));

/** Resolves with the lock that is or will be there. */
function firstLock(location: string): Promise<string> {
  return new Promise((resolve) => {
    const look = (): void => {
      const [lock] = locksOf(location);
      if (lock === undefined) return;
      watcher.close();
      resolve(lock);
    };
    const watcher = watch(join(location, "locks"), look);
    look();
  });
}

interface LongBackup {
  child: ChildProcess;
  lock: string;
  ended: Promise<Run>;
}

/** A backup that holds its lock and waits for more input. */
async function startLongBackup(location: string): Promise<LongBackup> {
  let child: ChildProcess | undefined;
  const ended = bench.holdfast(["backup", "--stdin"], {
    repository: location,
    holdInput: true,
    onStart: (started) => (child = started),
  });
  const lock = await firstLock(location);
  child!.stdin!.write("some of the input\n");
  return { child: child!, lock, ended };
}

void suite("the lock of a running backup", { skip }, () => {
  void test("is seen and honoured by restic, whose probing does not kill the backup", async () => {
    const location = await freshRepository();
    const options = { repository: location };
    const { child, lock, ended } = await startLongBackup(location);
    for (const which of ["oldest", "newest"] as const) {
      const list = await bench.restic(which, ["list", "locks"], options);
      assert.match(list.stdout, new RegExp(lock));
      const cat = await bench.restic(which, ["cat", "lock", lock], options);
      const facts = JSON.parse(cat.stdout) as Record<string, unknown>;
      assert.deepEqual(
        [facts["exclusive"], facts["hostname"], facts["pid"]],
        [false, hostname(), child.pid],
      );
      await bench.restic(which, ["unlock"], options);
      const status = which === "newest" ? 11 : 1;
      const refused = await bench.restic(which, ["prune"], { ...options, status });
      assert.match(refused.stderr, new RegExp(`locked by PID ${child.pid} on ${hostname()}`));
      await bench.restic(which, ["snapshots"], options);
    }
    assert.deepEqual(locksOf(location), [lock]);
    assert.equal(child.exitCode, null);
    const unlock = await bench.holdfast(["unlock"], options);
    assert.equal(unlock.status, 0);
    assert.deepEqual(locksOf(location), [lock]);
    child.stdin!.end("the rest");
    const run = await ended;
    assert.equal(run.status, 0, run.stderr);
    assert.deepEqual(locksOf(location), []);
    await bench.restic("newest", ["check", "--read-data"], options);
  });

  void test("is removed when a signal ends the backup: 130", async () => {
    for (const signal of ["SIGINT", "SIGTERM"] as const) {
      const location = await freshRepository();
      const { child, ended } = await startLongBackup(location);
      child.kill("SIGHUP");
      child.kill(signal);
      const run = await ended;
      assert.equal(run.status, 130, run.stderr);
      assert.match(run.stderr, /stopped/);
      assert.deepEqual(locksOf(location), []);
      assert.deepEqual(readdirSync(join(location, "snapshots")), []);
    }
  });

  void test("is removed when the backup fails", async () => {
    const location = await freshRepository();
    const { child, ended } = await startLongBackup(location);
    // The repository loses its folder of packs to a file in the meantime.
    renameSync(join(location, "data"), join(location, "data that was"));
    writeFileSync(join(location, "data"), "");
    child.stdin!.end("the rest");
    const run = await ended;
    assert.equal(run.status, 1, run.stderr);
    assert.equal(run.stderr.match(/^Fatal: /gm)?.length, 1, run.stderr);
    assert.deepEqual(locksOf(location), []);
    assert.deepEqual(readdirSync(join(location, "snapshots")), []);
  });

  void test("is removed after a restore that was stopped or failed", async () => {
    const location = await freshRepository();
    const options = { repository: location };
    await bench.holdfast(["backup", "--stdin"], { ...options, input: "input", status: 0 });
    const words = ["restore", "latest", "--target", "/proc/nowhere"];
    assert.equal((await bench.holdfast(words, options)).status, 1);
    assert.deepEqual(locksOf(location), []);
  });
});

void suite("backups side by side", { skip }, () => {
  /** Two folders that have most of their content in common. */
  function plantTwins(): [string, string] {
    const twins = ["one", "two"].map((name) => bench.at(`${name} ${++count}`)) as [string, string];
    for (const [number, folder] of twins.entries()) {
      mkdirSync(folder);
      for (let i = 0; i < 30; i++) writeFileSync(join(folder, `${i}`), seededBytes(i, 100_000));
      writeFileSync(join(folder, "own"), seededBytes(`own ${number}`, 100_000));
    }
    return twins;
  }

  for (const other of ["holdfast", "restic"] as const) {
    void test(`ours and ${other === "holdfast" ? "ours" : "that of restic"} both count`, async () => {
      const repository = await freshRepository();
      const [one, two] = plantTwins();
      const beside =
        other === "holdfast"
          ? bench.holdfast(["backup", two], { repository, status: 0 })
          : bench.restic("newest", ["backup", two], { repository });
      await Promise.all([bench.holdfast(["backup", one], { repository, status: 0 }), beside]);
      await bench.restic("newest", ["check", "--read-data"], { repository });
      const engine = await openAt(repository);
      assert.equal((await checkAll(engine)).numErrors, 0);
      const snapshots = await bench.restic("newest", ["snapshots", "--json"], { repository });
      const list = JSON.parse(snapshots.stdout) as { id: string; paths: string[] }[];
      assert.deepEqual(list.flatMap(({ paths }) => paths).sort(), [one, two].sort());
      for (const { id, paths } of list) {
        const target = bench.at(`target ${++count}`);
        await restoreTo(engine, `${id}:${paths[0]}`, target);
        assertSameTree(target, paths[0]!);
      }
      assert.deepEqual(locksOf(repository), []);
    });
  }
});
