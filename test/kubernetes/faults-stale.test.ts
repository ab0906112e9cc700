// What the operator believes of a resource is old, while it sees its Jobs and pods as they are: the watch of resources says nothing. What
// cannot be taken back is decided of the resource as the API server has it, so that no run is made twice and none is ended at work.
// Without that for `attempt`, `discard` or `clean` (reconcile/reconcile.ts) one of these fails. Success that is written from an old
// resource meets a conflict, and needs no test here.

import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { JOB } from "../../src/operator/cluster/kinds.ts";
import type { ApiCall } from "./api-double/faults.ts";
import { patchResource } from "./faults-kinds.ts";
import { startFaultWorld, wellEnd, type FaultWorld } from "./fault-world.ts";

/** A world with a mover at work. */
async function startRun(t: TestContext): Promise<FaultWorld> {
  const world = await startFaultWorld(t);
  world.answers = false;
  world.begin();
  await world.until("a mover", () => world.movers.length === 1);
  return world;
}

/** From now on nobody is told of changes of the resource. */
async function hideResources(world: FaultWorld): Promise<void> {
  const isWatch = ({ verb, kind }: ApiCall): boolean =>
    verb === "watch" && kind.startsWith("Replication");
  world.double.fault(isWatch, "hang", { times: Infinity });
  world.double.cutWatches();
  // Those of other kinds are there again.
  await world.pass(5000);
}

/** The second run has a mover, and it alone, until it ends by itself. */
async function assertLeftAlone(world: FaultWorld): Promise<void> {
  await world.until("the mover of the next run", () => world.movers.length === 2, 5000);
  const [job] = world.double.objects.list(JOB);
  await world.pass(60_000);
  assert.equal(world.movers.length, 2, world.describe());
  assert.equal(world.double.objects.list(JOB)[0]?.metadata.uid, job?.metadata.uid);
  world.letMoversEnd();
  await world.until("its end", () => world.double.objects.list(JOB).length === 0, 5000);
  assert.equal(world.source()?.status?.lastManualSync, "two");
  assert.equal(world.movers.length, 2, world.describe());
}

test(
  "a Job that is gone is not made again because the resource still shows its plan",
  { timeout: 60_000 },
  async (t) => {
    const world = await startRun(t);
    await hideResources(world);
    world.letMoversEnd();
    await world.until(
      "the end of the run",
      () => world.double.objects.list(JOB).length === 0,
      5000,
    );
    await world.pass(60_000);
    assert.equal(world.movers.length, 1, world.describe());
    assert.deepEqual(world.remains(), [], world.describe());
    assert.equal(world.source()?.status?.lastManualSync, "one");
  },
);

test(
  "a Job at work is not removed because the resource still shows the plan of the run before",
  { timeout: 60_000 },
  async (t) => {
    const world = await startRun(t);
    await hideResources(world);
    await patchResource(world, { spec: { trigger: { manual: "two" } } });
    const [first] = world.movers;
    first!.end(wellEnd(first!.job));
    await assertLeftAlone(world);
  },
);

test(
  "a Job at work is not removed because the resource still shows that the run before is cleaned up",
  { timeout: 60_000 },
  async (t) => {
    const world = await startRun(t);
    const { promise, resolve } = Promise.withResolvers<void>();
    const cleaning = world.double.fault({ verb: "delete", kind: "Job" }, { until: promise });
    const [first] = world.movers;
    first!.end(wellEnd(first!.job));
    await world.until("the end of the run", () => cleaning.hits > 0);
    await hideResources(world);
    await patchResource(world, { spec: { trigger: { manual: "two" } } });
    resolve();
    await assertLeftAlone(world);
  },
);
