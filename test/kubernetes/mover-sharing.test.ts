// Volumes that share a repository: a mover keeps and removes what is its own volume's, whatever the rules of the other's resource are.

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { skipWithout } from "../peers.ts";
import { codesOf, emptyVolume, openMoverBench } from "./mover-bench.ts";

const of = (claim: string, options = "--keep-last 1"): { env: Record<string, string> } => ({
  env: { HOLDFAST_CLAIM: claim, FORGET_OPTIONS: options },
});

suite("movers of a shared repository", { skip: skipWithout("restic-newest") }, () => {
  test("never remove the snapshots of another volume", async (t) => {
    const bench = await openMoverBench(t);
    bench.plant({ a: "of the first volume" });
    await bench.mover(["backup"], of("one/files"));
    const [first] = await bench.snapshots();
    emptyVolume(bench);
    for (const content of ["b", "c"]) {
      bench.plant({ b: content });
      const run = await bench.mover(["backup"], of("two/files"));
      assert.equal(run.status, 0);
      assert.match(run.stderr + run.stdout, /1 snapshots? of other volumes \(one\/files\)/);
    }
    const left = await bench.snapshots();
    assert.equal(left.length, 2, JSON.stringify(left));
    assert.equal(left[0]?.id, first?.id);
    assert.ok(left[1]?.tags?.includes("holdfast.dev/claim=two/files"));
  });

  test("a small volume beside a large one has not shrunk", async (t) => {
    const bench = await openMoverBench(t);
    const many = Array.from({ length: 400 }, (_, i) => [`f${i}`, "x".repeat(3000)]);
    bench.plant(Object.fromEntries(many) as Record<string, string>);
    await bench.mover(["backup"], of("one/files"));
    emptyVolume(bench);
    bench.plant({ small: "s" });
    const run = await bench.mover(["backup"], of("two/files"));
    assert.deepEqual(codesOf(run), []);
    const [, small] = await bench.snapshots();
    assert.ok(!small?.tags?.includes("shrunk"));
  });

  test("snapshots that do not say whose they are go by the rules, as with VolSync", async (t) => {
    const bench = await openMoverBench(t);
    bench.plant({ a: "a" });
    await bench.mover(["backup"]);
    bench.plant({ a: "ab" });
    await bench.mover(["backup"], of("one/files"));
    assert.equal((await bench.snapshots()).length, 1);
  });
});
