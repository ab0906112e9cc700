// `holdfast mover backup` as a pod runs it, on directories: what VolSync's users see of it, what real restic finds, and what it
// does where VolSync's mover loses data.

import assert from "node:assert/strict";
import { chmodSync, mkdirSync, rmSync } from "node:fs";
import { execFileSync } from "node:child_process";
import { suite, test } from "node:test";
import { loadSnapshot } from "../../src/repository/snapshots.ts";
import { replaceSnapshot } from "../../src/repository/replace-snapshot.ts";
import { openRepository } from "../../src/repository/open.ts";
import { thisMachine } from "../../src/cli/machine.ts";
import { openLocalStorage } from "../../src/storage/local.ts";
import { assertSameTree, PASSWORD, ROOT_ONLY } from "../faults/workbench.ts";
import { skipWithout } from "../peers.ts";
import { startRestServer } from "../rest/server.ts";
import { makeAuthority } from "./cluster/certificates.ts";
import { codesOf, emptyVolume, openMoverBench } from "./mover-bench.ts";
import type { MoverBench } from "./mover-bench.ts";

const NOBODY = { uid: 65_534, gid: 65_534 };

function many(count: number): Record<string, string> {
  return Object.fromEntries(Array.from({ length: count }, (_, i) => [`d/${i}`, `content ${i}\n`]));
}

suite("mover backup", { skip: skipWithout("restic-newest") }, () => {
  test("a cache that cannot be written to is said, and does not fail the run", async (t) => {
    const bench = await openMoverBench(t);
    bench.plant({ a: "a" });
    const said = async (folder: string): Promise<unknown> => {
      const run = await bench.mover(["backup"], { env: { RESTIC_CACHE_DIR: folder } });
      assert.deepEqual([run.status, codesOf(run)], [0, []]);
      return run.verdict.uncached;
    };
    assert.equal(await said(`${bench.data}/a/cache`), true);
    assert.equal(await said(bench.at("cache")), undefined);
    assert.equal(await said(""), undefined);
  });

  test("makes the repository, and a snapshot that is VolSync's to real restic", async (t) => {
    const bench = await openMoverBench(t);
    const repository = bench.at("new", "repository");
    bench.plant({ "a.txt": "one", "sub/b.txt": "two" });
    mkdirSync(`${bench.data}/lost+found`);
    const env = {
      HOLDFAST_CLAIM: "odoo/filestore",
      HOLDFAST_POINT_IN_TIME: "2026-11-26T04:00:01Z",
    };
    const run = await bench.mover(["backup"], { repository, env });
    assert.equal(run.status, 0);
    assert.match(run.stdout, /== Initialize Dir/);
    assert.match(run.stdout, /created restic repository [0-9a-f]{10} at /);
    assert.match(run.stdout, /processed 2 files, .* in /);
    assert.match(run.stdout, /snapshot [0-9a-f]{8} saved/);
    assert.match(run.stdout, /Restic completed in \d+s/);
    const [snapshot, ...more] = await bench.snapshots({ repository });
    assert.equal(more.length, 0);
    assert.equal(snapshot?.hostname, "volsync");
    assert.deepEqual(snapshot?.paths, ["/data"]);
    assert.deepEqual(snapshot?.tags, [
      "holdfast.dev/claim=odoo/filestore",
      "holdfast.dev/point-in-time=2026-11-26T04:00:01Z",
    ]);
    const { verdict } = run;
    assert.equal(verdict.snapshot, snapshot?.id);
    assert.equal(verdict.pointInTime, "2026-11-26T04:00:01Z");
    assert.equal(verdict.files, 2);
    assert.deepEqual(verdict.problems, []);
    await bench.restic("newest", ["check", "--read-data"], { repository });
    await bench.restic("newest", ["restore", "latest", "--target", bench.at("out")], {
      repository,
    });
    rmSync(`${bench.data}/lost+found`, { recursive: true });
    assertSameTree(bench.at("out"), bench.data);
  });

  test("volumes that share a repository begin at once: one makes it, none fails", async (t) => {
    const bench = await openMoverBench(t);
    const repository = bench.at("shared");
    bench.plant({ "a.txt": "one" });
    const runs = await Promise.all(
      [1, 2, 3].map(() =>
        bench.mover(["backup"], { repository, env: { FORGET_OPTIONS: "--keep-last 9" } }),
      ),
    );
    assert.deepEqual(
      runs.map(({ status }) => status),
      [0, 0, 0],
    );
    assert.equal(runs.filter(({ stdout }) => stdout.includes("created restic")).length, 1);
    await bench.restic("newest", ["check", "--read-data"], { repository });
  });

  test("what remains of a repository is made no other one of", async (t) => {
    const bench = await openMoverBench(t);
    bench.plant({ "a.txt": "one" });
    await bench.mover(["backup"]);
    rmSync(`${bench.repository}/config`, { force: true });
    const { status, verdict, stderr } = await bench.mover(["backup"]);
    assert.equal(status, 78, stderr);
    assert.equal(verdict.problems?.[0]?.code, "REPO_EXISTS");
  });

  test("goes on from a snapshot of VolSync's, and forgets in its group", async (t) => {
    const bench = await openMoverBench(t);
    bench.plant(many(12));
    for (let i = 0; i < 2; i++) {
      bench.plant({ grows: "x".repeat(i) });
      await bench.restic("newest", ["backup", "--host", "volsync", "--exclude=lost+found", "."], {
        cwd: bench.data,
      });
    }
    await callData(bench);
    bench.plant({ new: "new" });
    const env = { FORGET_OPTIONS: "--keep-last 2" };
    const run = await bench.mover(["backup", "--unlock", "--prune"], { env });
    assert.match(run.stdout, /using parent snapshot/);
    assert.match(run.stdout, /Files: +1 new, +0 changed, +13 unmodified/);
    assert.equal(run.verdict.removed, 1);
    assert.equal(run.verdict.snapshots, 2);
    assert.equal(run.verdict.pruned, true);
    assert.equal(run.verdict.unlocked, true);
    assert.equal((await bench.snapshots()).length, 2);
    await bench.restic("newest", ["check", "--read-data"]);
  });

  test("an empty volume: a success that warns, and in safe mode a failure", async (t) => {
    const bench = await openMoverBench(t);
    bench.plant({ a: "a" });
    await bench.mover(["backup"]);
    emptyVolume(bench);
    mkdirSync(`${bench.data}/lost+found`);
    const compat = await bench.mover(["backup"]);
    assert.equal(compat.status, 0);
    assert.match(compat.stdout, /Directory is empty skipping backup/);
    assert.deepEqual(codesOf(compat), ["SOURCE_EMPTY"]);
    assert.equal(compat.verdict.snapshot, undefined);
    const safe = await bench.mover(["backup"], { env: { HOLDFAST_MODE: "safe" } });
    assert.equal(safe.status, 78);
    assert.deepEqual(codesOf(safe), ["SOURCE_EMPTY"]);
    assert.equal((await bench.snapshots()).length, 1);
  });

  test(
    "files that cannot be read: marked, nothing forgotten, no second copy",
    { skip: ROOT_ONLY },
    async (t) => {
      const bench = await openMoverBench(t);
      bench.plant({ a: "a", secret: "s" });
      execFileSync("chown", ["-R", "65534:65534", bench.repository]);
      chmodSync(bench.data, 0o755);
      const asNobody = { ...NOBODY, env: { RESTIC_CACHE_DIR: "" } };
      assert.equal((await bench.mover(["backup"], asNobody)).status, 0);
      chmodSync(`${bench.data}/secret`, 0o600);
      bench.plant({ b: "b" });
      const partial = await bench.mover(["backup"], asNobody);
      assert.equal(partial.status, 78);
      assert.deepEqual(codesOf(partial), ["INCOMPLETE"]);
      assert.match(partial.verdict.problems?.[0]?.message ?? "", /secret/);
      assert.match(partial.verdict.problems?.[0]?.hint ?? "", /moverSecurityContext/);
      const again = await bench.mover(["backup"], asNobody);
      assert.equal(again.status, 78);
      assert.equal(again.verdict.snapshot, undefined);
      const listed = await bench.snapshots();
      assert.deepEqual(
        listed.map(({ tags = [] }) => tags),
        [[], ["incomplete"]],
      );
      chmodSync(`${bench.data}/secret`, 0o644);
      const whole = await bench.mover(["backup"], asNobody);
      assert.equal(whole.status, 0);
      assert.equal(whole.verdict.removed, 2);
      assert.deepEqual(
        (await bench.snapshots()).map(({ id }) => id),
        [whole.verdict.snapshot],
      );
    },
  );

  test("a source that shrank keeps what was there until somebody accepts it", async (t) => {
    const bench = await openMoverBench(t);
    bench.plant(many(40));
    const { verdict: before } = await bench.mover(["backup"]);
    emptyVolume(bench);
    bench.plant(many(3));
    for (const present of [2, 3]) {
      const run = await bench.mover(["backup"]);
      assert.equal(run.status, 0);
      assert.deepEqual(codesOf(run), ["SNAPSHOT_SHRUNK"]);
      assert.match(run.verdict.problems?.[0]?.hint ?? "", /accept-shrink/);
      const listed = await bench.snapshots();
      assert.equal(listed.length, present);
      assert.equal(listed[0]?.id, before.snapshot);
    }
    const accepted = await bench.mover(["backup"], { env: { HOLDFAST_ACCEPT_SHRINK: "yes" } });
    assert.deepEqual(codesOf(accepted), []);
    assert.equal(accepted.verdict.removed, 3);
    // And it stays accepted.
    const later = await bench.mover(["backup"], { env: { HOLDFAST_CLAIM: "odoo/filestore" } });
    assert.deepEqual(codesOf(later), []);
  });

  test("what only a person can mend ends the Job, by its own name", async (t) => {
    const bench = await openMoverBench(t);
    bench.plant({ a: "a" });
    const wrong = await bench.mover(["backup"], { password: "not the password" });
    assert.equal(wrong.status, 78);
    assert.deepEqual(codesOf(wrong), ["WRONG_PASSWORD"]);
    const echoed = await bench.mover(["backup"], { password: `${PASSWORD}\n` });
    assert.match(echoed.verdict.problems?.[0]?.hint ?? "", /Secret.* ends with white space/);
    const rules = await bench.mover(["backup"], {
      env: { FORGET_OPTIONS: "--keep-last 1 --prune" },
    });
    assert.equal(rules.status, 78);
    assert.deepEqual(codesOf(rules), ["USAGE"]);
    const place = await bench.mover(["backup"], { env: { DATA_DIR: bench.at("missing") } });
    assert.deepEqual(codesOf(place), ["SOURCE_UNREADABLE"]);
    assert.deepEqual(await bench.snapshots(), []);
  });

  test(
    "trusts the authority that customCA mounts",
    { skip: skipWithout("rest-server") },
    async (t) => {
      const bench = await openMoverBench(t);
      bench.plant({ a: "a" });
      const authority = await makeAuthority(bench.folder);
      const hosts = ["IP:127.0.0.1"];
      const pair = await authority.issue({ name: "server", subject: "/CN=rest", hosts });
      const server = await startRestServer({
        args: ["--tls", "--tls-cert", pair.certificate, "--tls-key", pair.key],
      });
      t.after(() => server.close());
      const repository = `rest:${server.location("/r/").replace("http:", "https:")}`;
      const env = { CUSTOM_CA: authority.certificate };
      const run = await bench.mover(["backup"], { repository, env });
      assert.equal(run.status, 0, run.stderr);
      const without = await bench.mover(["backup"], { repository });
      assert.equal(without.verdict.result, "failed");
      assert.match(without.verdict.problems?.[0]?.message ?? "", /certificate/i);
    },
  );

  test("prints a log that it is given, with its verdict last", async (t) => {
    const bench = await openMoverBench(t);
    const verdict = JSON.stringify({
      v: 1,
      result: "failed",
      run: "x",
      problems: [{ code: "WRONG_PASSWORD", message: "wrong password", hint: "Check it." }],
    });
    const env = { HOLDFAST_LOG: "first\nsecond\u001b[2J\n", HOLDFAST_VERDICT: verdict };
    const { stdout } = await bench.holdfast(["mover", "log"], { env, status: 0 });
    assert.doesNotMatch(stdout, /\u001b/);
    const lines = stdout.trimEnd().split("\n");
    assert.equal(lines[0], "first");
    assert.match(lines.at(-2) ?? "", /WRONG_PASSWORD: wrong password. Check it/);
    assert.match(lines.at(-1) ?? "", /^Verdict: failed/);
  });
});

/** Gives all snapshots the path that they have in a pod; where restic runs here, /data is another directory. */
async function callData(bench: MoverBench): Promise<void> {
  const storage = await openLocalStorage({ root: bench.repository });
  const repository = await openRepository({ storage, password: PASSWORD, machine: thisMachine() });
  for (const { id } of await repository.list("snapshot")) {
    const snapshot = await loadSnapshot(repository, id);
    await replaceSnapshot(repository, { id, snapshot }, { ...snapshot, paths: ["/data"] });
  }
  await storage.close();
}
