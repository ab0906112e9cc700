// Movers whose user is a guess: what they say of the files' owner, and that they say it before anything was written.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readdirSync, statSync } from "node:fs";
import { suite, test } from "node:test";
import { assertSameTree, ROOT_ONLY } from "../faults/workbench.ts";
import type { Scope } from "../faults/workbench.ts";
import { skipWithout } from "../peers.ts";
import { codesOf, openMoverBench } from "./mover-bench.ts";
import type { MoverBench, MoverRun } from "./mover-bench.ts";

const NOBODY = 65_532;
const ODOO = 101;

interface OwnerBench extends MoverBench {
  out: string;
  own(path: string, uid: number): void;
  /** A mover as that user, who was guessed or not. */
  as(uid: number, word: string, env: Record<string, string>): Promise<MoverRun>;
}

async function openOwnerBench(scope: Scope): Promise<OwnerBench> {
  const bench = await openMoverBench(scope);
  const out = bench.at("out");
  mkdirSync(out);
  // As fsGroup leaves a volume.
  chmodSync(out, 0o777);
  const own = (path: string, uid: number): void => {
    execFileSync("chown", ["-R", `${uid}:${uid}`, path]);
  };
  return {
    ...bench,
    out,
    own,
    async as(uid, word, env) {
      if (existsSync(bench.repository)) own(bench.repository, uid);
      const folder = word === "restore" ? { DATA_DIR: out } : {};
      const all = { RESTIC_CACHE_DIR: "", HOLDFAST_CLAIM: "odoo/data", ...folder, ...env };
      return await bench.mover([word], { uid, gid: uid, env: all });
    },
  };
}

suite("whose files they are", { skip: skipWithout("restic-newest") || ROOT_ONLY }, () => {
  test("a restore of another's files ends before it writes; as that user the same tree comes back", async (t) => {
    const bench = await openOwnerBench(t);
    bench.plant({ "filestore/ab/one": "1", "filestore/cd/two": "2", top: "3" });
    chmodSync(`${bench.data}/top`, 0o600);
    bench.own(bench.data, ODOO);
    assert.equal((await bench.mover(["backup"])).status, 0);
    const guess = await bench.as(NOBODY, "restore", { HOLDFAST_IDENTITY: "unknown" });
    assert.equal(guess.status, 78);
    assert.deepEqual(codesOf(guess), ["OTHER_OWNER"]);
    assert.deepEqual(guess.verdict.owner, { uid: ODOO, gid: ODOO });
    assert.deepEqual(readdirSync(bench.out), []);
    const known = await bench.as(ODOO, "restore", { HOLDFAST_IDENTITY: "owner" });
    assert.deepEqual([known.status, codesOf(known), known.verdict.owner], [0, [], undefined]);
    assertSameTree(bench.out, bench.data);
  });

  test("an application that is known is taken as it is, whoever the files were", async (t) => {
    const bench = await openOwnerBench(t);
    bench.plant({ one: "1" });
    bench.own(bench.data, ODOO);
    await bench.mover(["backup"]);
    for (const HOLDFAST_IDENTITY of ["application", ""]) {
      const run = await bench.as(NOBODY, "restore", { HOLDFAST_IDENTITY });
      assert.deepEqual([run.status, codesOf(run)], [0, []]);
    }
    assert.equal(statSync(`${bench.out}/one`).uid, NOBODY);
  });

  test("files of several owners: as the one of most, with a warning", async (t) => {
    const bench = await openOwnerBench(t);
    bench.plant({ a: "a", b: "b", c: "c" });
    bench.own(bench.data, ODOO);
    bench.own(`${bench.data}/c`, 33);
    await bench.mover(["backup"]);
    const guess = await bench.as(NOBODY, "restore", { HOLDFAST_IDENTITY: "unknown" });
    assert.deepEqual(guess.verdict.owner, { uid: ODOO, gid: ODOO });
    const known = await bench.as(ODOO, "restore", { HOLDFAST_IDENTITY: "owner" });
    assert.deepEqual([known.status, codesOf(known)], [0, ["OTHER_OWNER"]]);
    const [{ message, hint = "" } = { message: "" }] = known.verdict.problems ?? [];
    assert.match(message, /of 3 .*, 1 belong to others than 101:101/);
    assert.match(hint, /privileged movers .*moverSecurityContext/);
  });

  test("files of root: root only where the namespace lets it, else restored with a warning", async (t) => {
    const bench = await openOwnerBench(t);
    bench.plant({ a: "a" });
    await bench.mover(["backup"]);
    const env = { HOLDFAST_IDENTITY: "unknown" };
    const allowed = await bench.as(NOBODY, "restore", { ...env, HOLDFAST_ROOT_ALLOWED: "1" });
    assert.deepEqual([allowed.status, allowed.verdict.owner], [78, { uid: 0, gid: 0 }]);
    assert.deepEqual(readdirSync(bench.out), []);
    const not = await bench.as(NOBODY, "restore", env);
    assert.deepEqual([not.status, codesOf(not)], [0, ["OTHER_OWNER"]]);
    assert.ok(existsSync(`${bench.out}/a`));
  });

  test("an owner whom Kubernetes cannot make a pod's user is nobody to start again as", async (t) => {
    const bench = await openOwnerBench(t);
    bench.plant({ a: "a" });
    bench.own(bench.data, 4_294_967_294);
    await bench.mover(["backup"]);
    const run = await bench.as(NOBODY, "restore", { HOLDFAST_IDENTITY: "unknown" });
    assert.deepEqual([run.status, codesOf(run)], [0, ["OTHER_OWNER"]]);
    assert.equal(run.verdict.owner, undefined);
  });

  test("a backup of what the mover cannot read says whose it is, and stores nothing", async (t) => {
    const bench = await openOwnerBench(t);
    bench.plant({ "open/a": "a", "closed/b": "b" });
    bench.own(bench.data, ODOO);
    chmodSync(`${bench.data}/closed`, 0o700);
    bench.own(bench.folder, NOBODY);
    bench.own(bench.data, ODOO);
    for (const HOLDFAST_IDENTITY of ["root", "unprivileged"]) {
      const guess = await bench.as(NOBODY, "backup", { HOLDFAST_IDENTITY });
      assert.deepEqual([guess.status, codesOf(guess)], [78, ["OTHER_OWNER"]]);
      assert.deepEqual(guess.verdict.owner, { uid: ODOO, gid: ODOO });
    }
    assert.deepEqual(readdirSync(`${bench.repository}/snapshots`), []);
    bench.own(bench.folder, ODOO);
    const known = await bench.as(ODOO, "backup", { HOLDFAST_IDENTITY: "owner" });
    assert.deepEqual([known.status, known.verdict.files, codesOf(known)], [0, 2, []]);
  });

  test("a volume that only its owner may enter; what is readable needs nobody else", async (t) => {
    const bench = await openOwnerBench(t);
    bench.plant({ a: "a" });
    bench.own(bench.folder, NOBODY);
    bench.own(bench.data, ODOO);
    const env = { HOLDFAST_IDENTITY: "unknown" };
    assert.deepEqual((await bench.as(NOBODY, "backup", env)).status, 0);
    chmodSync(bench.data, 0o700);
    const closed = await bench.as(NOBODY, "backup", env);
    assert.deepEqual(closed.verdict.owner, { uid: ODOO, gid: ODOO });
  });

  test("an application that is root where movers may not be: the failure says what allows it", async (t) => {
    const bench = await openOwnerBench(t);
    bench.plant({ a: "a", secret: "s" });
    bench.own(bench.folder, NOBODY);
    bench.own(bench.data, 0);
    chmodSync(`${bench.data}/secret`, 0o600);
    const run = await bench.as(NOBODY, "backup", { HOLDFAST_IDENTITY: "unprivileged" });
    assert.deepEqual([run.status, codesOf(run)], [78, ["INCOMPLETE"]]);
    const [{ hint = "" } = {}] = run.verdict.problems ?? [];
    assert.match(hint, /kubectl label namespace odoo pod-security\S+=baseline/);
  });

  test("a repository on a volume that the mover may not write to: the fix is in the resource", async (t) => {
    const bench = await openOwnerBench(t);
    bench.plant({ a: "a" });
    bench.own(bench.data, NOBODY);
    mkdirSync(bench.at("volume"), { mode: 0o755 });
    const env = { RESTIC_REPOSITORY: bench.at("volume/repo"), HOLDFAST_IDENTITY: "unknown" };
    const run = await bench.as(NOBODY, "backup", env);
    assert.deepEqual([run.status, codesOf(run)], [78, ["STORAGE_DENIED"]]);
    const [{ hint = "" } = {}] = run.verdict.problems ?? [];
    assert.match(hint, /is 65532:65532: give moverSecurityContext .*fsGroup/);
  });
});
