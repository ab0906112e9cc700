// Movers of a shared repository whose prunes are due at once: nobody keeps them apart but the repository's locks. Each waits for the
// other, as in a pod, and all end well: what was to go is gone, and what the snapshots need is there.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { suite, test } from "node:test";
import { skipWithout } from "../peers.ts";
import { codesOf, openMoverBench } from "./mover-bench.ts";
import type { MoverBench, MoverRun } from "./mover-bench.ts";

const VOLUMES = ["one", "two"];

suite("movers of a shared repository that prune", { skip: skipWithout("restic-newest") }, () => {
  test("wait for each other, and end well", async (t) => {
    const bench = await openMoverBench(t);
    for (const volume of VOLUMES) {
      fill(bench, volume);
      await backUp(bench, volume, []);
      // What the run before stored is needed by nobody once it is forgotten.
      fill(bench, volume);
    }
    const runs = await Promise.all(VOLUMES.map((volume) => backUp(bench, volume, ["--prune"])));
    for (const run of runs) {
      assert.equal(run.status, 0, run.stderr);
      assert.deepEqual(codesOf(run), [], run.stderr);
      assert.equal(run.verdict.removed, 1);
      assert.equal(run.verdict.pruned, true);
    }
    assert.deepEqual(bench.locks(), []);
    const snapshots = await bench.snapshots();
    assert.equal(snapshots.length, VOLUMES.length);
    await bench.restic("newest", ["check", "--read-data"]);
    const { stdout } = await bench.restic("newest", ["prune", "--dry-run"]);
    assert.match(stdout, /to delete:\s+0 blobs \/ 0 B/);
  });
});

function fill(bench: MoverBench, volume: string): void {
  const folder = bench.at(volume);
  mkdirSync(folder, { recursive: true });
  for (let i = 0; i < 8; i++) writeFileSync(`${folder}/file-${i}`, randomBytes(300_000));
}

async function backUp(
  bench: MoverBench,
  volume: string,
  more: readonly string[],
): Promise<MoverRun> {
  const env = {
    DATA_DIR: bench.at(volume),
    RESTIC_CACHE_DIR: bench.at(`${volume}-cache`),
    HOLDFAST_CLAIM: `odoo/${volume}`,
    HOLDFAST_LOCK_WAIT: "2m",
    FORGET_OPTIONS: "--keep-last 1",
  };
  return await bench.mover(["backup", ...more], { env });
}
