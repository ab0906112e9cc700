// `holdfast mover restore` as a pod runs it, on directories: which snapshot it takes, what it leaves behind, and that nothing is
// called restored that was not proved.

import assert from "node:assert/strict";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { suite, test } from "node:test";
import { assertSameTree, ROOT_ONLY } from "../faults/workbench.ts";
import type { Scope } from "../faults/workbench.ts";
import { skipWithout } from "../peers.ts";
import { codesOf, openMoverBench } from "./mover-bench.ts";
import type { MoverBench } from "./mover-bench.ts";

/** A repository with one snapshot a day, of which each holds the file `day`; and one of another host. */
async function openHistory(scope: Scope): Promise<MoverBench> {
  const bench = await openMoverBench(scope);
  for (const day of ["01", "02", "03"]) {
    bench.plant({ day, [`only-${day}`]: day });
    const time = `2026-11-${day} 04:00:00`;
    const words = ["backup", "--host", "volsync", "--time", time, "."];
    await bench.holdfast(words, { cwd: bench.data, status: 0 });
    rmSync(`${bench.data}/only-${day}`);
  }
  bench.plant({ day: "other host" });
  await bench.holdfast(["backup", "--host", "web1", "."], { cwd: bench.data, status: 0 });
  return bench;
}

suite("mover restore", { skip: skipWithout("restic-newest") }, () => {
  test("what a mover stored comes back, holes as holes, and is proved", async (t) => {
    const bench = await openMoverBench(t);
    bench.plant({ "a/b": "deep", holes: "\0".repeat(4 * 2 ** 20) });
    chmodSync(`${bench.data}/a/b`, 0o640);
    const { verdict: stored } = await bench.mover(["backup"], {
      env: { HOLDFAST_POINT_IN_TIME: "2026-11-26T04:00:00Z" },
    });
    const out = bench.at("out");
    mkdirSync(out);
    const run = await bench.mover(["restore"], { env: { DATA_DIR: out } });
    assert.equal(run.status, 0);
    assert.match(run.stdout, /restoring snapshot [0-9a-f]{8}/);
    assert.match(run.stdout, /finished verifying 2 files/);
    assert.match(run.stdout, /Restic completed in \d+s/);
    assertSameTree(out, bench.data);
    assert.ok(statSync(`${out}/holes`).blocks < 1000);
    assert.equal(run.verdict.snapshot, stored.snapshot);
    assert.equal(run.verdict.pointInTime, "2026-11-26T04:00:00Z");
    assert.equal(run.verdict.files, 2);
    assert.equal(run.verdict.bytes, stored.bytes);
    assert.deepEqual(bench.locks(), []);
  });

  test("restoreAsOf and previous choose as VolSync chooses", async (t) => {
    const bench = await openHistory(t);
    // The path is that of the test's folder, which VolSync would take too: it has /data in it.
    const cases: [Record<string, string>, string | undefined][] = [
      [{}, "other host"],
      [{ SELECT_PREVIOUS: "1" }, "03"],
      [{ RESTORE_AS_OF: "2026-11-03T03:59:59Z" }, "02"],
      [{ RESTORE_AS_OF: "2026-11-02T04:00:00Z" }, "02"],
      [{ RESTORE_AS_OF: "2026-11-02T06:00:00+02:00", SELECT_PREVIOUS: "1" }, "01"],
      [{ RESTORE_AS_OF: "1980-08-10T23:59:59-04:00" }, undefined],
      [{ SELECT_PREVIOUS: "9999" }, undefined],
    ];
    for (const [i, [asked, day]] of cases.entries()) {
      const out = bench.at(`out-${i}`);
      mkdirSync(out);
      const run = await bench.mover(["restore"], { env: { DATA_DIR: out, ...asked } });
      assert.equal(run.status, 0, JSON.stringify(asked));
      const found = existsSync(`${out}/day`) ? readFileSync(`${out}/day`, "utf8") : undefined;
      assert.equal(found, day, JSON.stringify(asked));
      assert.deepEqual(codesOf(run), day === undefined ? ["SNAPSHOT_NOT_FOUND"] : []);
      // What to ask for instead.
      const said = run.verdict.problems?.[0]?.message ?? "; the oldest is of 2026-11-01T";
      assert.match(said, /; the oldest is of 2026-11-01T/);
      if (day !== undefined) continue;
      assert.match(run.stdout, /No eligible snapshots found/);
      assert.match(run.stdout, /=== No data will be restored/);
      assert.deepEqual(readdirSync(out), []);
      const safe = { DATA_DIR: out, HOLDFAST_MODE: "safe", ...asked };
      assert.equal((await bench.mover(["restore"], { env: safe })).status, 78);
    }
  });

  test("a repository that is not there: made and empty, or in safe mode a failure", async (t) => {
    const bench = await openMoverBench(t);
    const repository = bench.at("none");
    const safe = await bench.mover(["restore"], { repository, env: { HOLDFAST_MODE: "safe" } });
    assert.equal(safe.status, 78);
    assert.deepEqual(codesOf(safe), ["REPO_NOT_FOUND"]);
    assert.ok(!existsSync(repository));
    const compat = await bench.mover(["restore"], { repository });
    assert.equal(compat.status, 0);
    assert.match(compat.stdout, /Initialize Dir/);
    assert.match(compat.stdout, /created restic repository/);
    assert.match(compat.stdout, /No data will be restored/);
    assert.deepEqual(codesOf(compat), ["SNAPSHOT_NOT_FOUND"]);
    const wrong = await bench.mover(["restore"], { repository, password: "not the password" });
    assert.deepEqual(codesOf(wrong), ["WRONG_PASSWORD"]);
  });

  test("--delete removes what the snapshot does not have, but not lost+found", async (t) => {
    const bench = await openMoverBench(t);
    bench.plant({ a: "a", "sub/b": "b" });
    await bench.mover(["backup"]);
    bench.plant({ extra: "x", "sub/extra": "x", "lost+found/x": "x" });
    writeFileSync(`${bench.data}/a`, "changed");
    const kept = await bench.mover(["restore"]);
    assert.equal(kept.status, 0);
    assert.equal(readFileSync(`${bench.data}/a`, "utf8"), "a");
    assert.ok(existsSync(`${bench.data}/extra`));
    const run = await bench.mover(["restore"], { env: { RESTORE_OPTIONS: "--delete" } });
    assert.equal(run.status, 0);
    assert.match(run.stdout, /RESTORE_OPTIONS: --delete/);
    assert.deepEqual(readdirSync(bench.data).sort(), ["a", "lost+found", "sub"]);
    assert.deepEqual(readdirSync(`${bench.data}/sub`), ["b"]);
    assert.ok(existsSync(`${bench.data}/lost+found/x`));
    const other = await bench.mover(["restore"], { env: { RESTORE_OPTIONS: "--target /" } });
    assert.deepEqual(codesOf(other), ["USAGE"]);
  });

  test("a user who may not change owners restores all the same", { skip: ROOT_ONLY }, async (t) => {
    const bench = await openMoverBench(t);
    bench.plant({ a: "a", b: "b" });
    chmodSync(`${bench.data}/a`, 0o600);
    await bench.mover(["backup"]);
    const { execFileSync } = await import("node:child_process");
    execFileSync("chown", ["-R", "65534:65534", bench.repository]);
    const out = bench.at("out");
    mkdirSync(out);
    execFileSync("chown", ["65534:65534", out]);
    const env = { DATA_DIR: out, RESTIC_CACHE_DIR: "" };
    const run = await bench.mover(["restore"], { uid: 65_534, gid: 65_534, env });
    assert.equal(run.status, 0);
    const { uid, mode } = statSync(`${out}/a`);
    assert.deepEqual([uid, mode & 0o777], [65_534, 0o600]);
  });

  test("what cannot be restored fails the run, and deletes nothing", async (t) => {
    const bench = await openMoverBench(t);
    bench.plant({ a: "a", b: "b" });
    await bench.mover(["backup"]);
    const [folder] = readdirSync(`${bench.repository}/data`).filter(
      (name) => readdirSync(`${bench.repository}/data/${name}`).length > 0,
    );
    const [pack] = readdirSync(`${bench.repository}/data/${folder}`);
    // What is there already and right need not be read.
    bench.plant({ extra: "x", a: "lost", b: "lost" });
    rmSync(`${bench.repository}/data/${folder}/${pack}`);
    const run = await bench.mover(["restore"], {
      env: { RESTORE_OPTIONS: "--delete", RESTIC_CACHE_DIR: "" },
    });
    assert.notEqual(run.status, 0);
    assert.equal(run.verdict.result, "failed");
    assert.ok(existsSync(`${bench.data}/extra`));
  });
});
