// Movers and locks: one that is asked to stop leaves none, one that is killed leaves one that only its own proved death removes.

import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { suite, test } from "node:test";
import { thisMachine } from "../../src/cli/machine.ts";
import { acquireLock } from "../../src/repository/locks.ts";
import { openRepository } from "../../src/repository/open.ts";
import { openLocalStorage } from "../../src/storage/local.ts";
import { PASSWORD } from "../faults/workbench.ts";
import { skipWithout } from "../peers.ts";
import { codesOf, openMoverBench } from "./mover-bench.ts";
import type { MoverBench } from "./mover-bench.ts";

const DEAD = "volsync-src-odoo-abcde";
const ALIVE = "volsync-src-other-fghij";

/** Leaves a lock of a pod behind, as if it had been killed. */
async function leaveLock(bench: MoverBench, hostname: string, exclusive: boolean): Promise<void> {
  const storage = await openLocalStorage({ root: bench.repository });
  const stop = new AbortController();
  // Its refreshing waits for a time that does not come.
  const sleep = (): Promise<void> => new Promise(() => {});
  const own = thisMachine();
  const machine = { ...own, hostname, clock: { ...own.clock, sleep } };
  const repository = await openRepository({ storage, password: PASSWORD, machine });
  await acquireLock(repository, { exclusive, signal: stop.signal });
}

/** Sends `signal` once the mover reads files. */
function stopping(signal: NodeJS.Signals): (child: ChildProcess) => void {
  return (child) => {
    let told = "";
    child.stdout?.on("data", (part: Buffer) => {
      const before = told;
      told += part.toString();
      if (/parent snapshot/.test(told) && !/parent snapshot/.test(before)) child.kill(signal);
    });
  };
}

suite("movers and locks", { skip: skipWithout("restic-newest") }, () => {
  test("a lock in the way ends the Job, and the verdict says whose it is", async (t) => {
    const bench = await openMoverBench(t);
    bench.plant({ a: "a" });
    await leaveLock(bench, DEAD, true);
    const run = await bench.mover(["backup"]);
    assert.equal(run.status, 78);
    assert.deepEqual(codesOf(run), ["REPO_LOCKED"]);
    const [lock, ...more] = run.verdict.locks ?? [];
    assert.equal(more.length, 0);
    assert.equal(lock?.hostname, DEAD);
    assert.equal(lock?.exclusive, true);
    assert.deepEqual([lock?.id], bench.locks());
  });

  test("locks of pods that the operator names go, and no others", async (t) => {
    const bench = await openMoverBench(t);
    bench.plant({ a: "a" });
    await leaveLock(bench, ALIVE, false);
    const alive = bench.locks();
    await leaveLock(bench, DEAD, false);
    const env = { HOLDFAST_DEAD_OWNERS: `${DEAD},volsync-src-nobody-00000` };
    const run = await bench.mover(["backup"], { env });
    assert.equal(run.status, 0);
    assert.match(
      run.stdout,
      /removed lock [0-9a-f]{8} of .*: pod volsync-src-odoo-abcde, which held it, has ended/,
    );
    assert.deepEqual(bench.locks(), alive);
  });

  test("a lock that keeps a forget out is a problem of a run that stored its snapshot", async (t) => {
    const bench = await openMoverBench(t);
    bench.plant({ a: "a" });
    await bench.mover(["backup"]);
    await leaveLock(bench, ALIVE, false);
    const run = await bench.mover(["backup", "--prune"]);
    assert.equal(run.status, 0);
    assert.deepEqual([...new Set(codesOf(run))], ["REPO_LOCKED"]);
    assert.equal(run.verdict.locks?.[0]?.hostname, ALIVE);
    assert.equal(run.verdict.removed, undefined);
    assert.equal((await bench.snapshots({})).length, 2);
    const restored = await bench.mover(["restore"]);
    assert.equal(restored.status, 0);
  });

  test("asked to stop, it says so and leaves no lock", async (t) => {
    const bench = await openMoverBench(t);
    for (let i = 0; i < 24; i++)
      bench.plant({ [`large-${i}`]: randomBytes(8 << 20).toString("latin1") });
    const run = await bench.mover(["backup"], { onStart: stopping("SIGTERM") });
    assert.equal(run.status, 75);
    assert.deepEqual(codesOf(run), ["CANCELLED"]);
    assert.equal(run.verdict.problems?.[0]?.retryable, true);
    assert.deepEqual(bench.locks(), []);
    assert.deepEqual(await bench.snapshots(), []);
  });

  test("killed, it leaves a repository that the next run goes on with", async (t) => {
    const bench = await openMoverBench(t);
    for (let i = 0; i < 24; i++)
      bench.plant({ [`large-${i}`]: randomBytes(8 << 20).toString("latin1") });
    const env = { DATA_DIR: bench.data, HOLDFAST_TERMINATION_LOG: bench.at("message") };
    const killed = await bench.holdfast(["mover", "backup"], { env, onStart: stopping("SIGKILL") });
    assert.equal(killed.signal, "SIGKILL");
    assert.equal(bench.locks().length, 1);
    assert.equal((await bench.mover(["backup"])).status, 0);
    // The lock is of a process of this host that is gone: it goes as soon as it is in the way of something, a forget here.
    const run = await bench.mover(["backup"]);
    assert.equal(run.status, 0);
    assert.equal(run.verdict.removed, 1);
    assert.deepEqual(bench.locks(), []);
    await bench.restic("newest", ["check"]);
  });
});
