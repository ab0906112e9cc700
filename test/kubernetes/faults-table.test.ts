// Every state of a run × every fault. Afterwards: the trigger was answered by exactly one run that ended well, nothing of it is
// left over, conditions say what holds, and the next trigger is answered by exactly one more.

import assert from "node:assert/strict";
import { suite, test, type TestContext } from "node:test";
import { FAULTS, patchResource, type FaultKindOfWorld } from "./faults-kinds.ts";
import { STATES, type FaultState } from "./faults-states.ts";
import { startFaultWorld, type FaultWorld } from "./fault-world.ts";

for (const state of STATES) {
  suite(state.name, () => {
    for (const fault of FAULTS) {
      test(fault.name, { timeout: 300_000 }, (t) => strike(t, state, fault));
    }
  });
}

async function strike(t: TestContext, state: FaultState, fault: FaultKindOfWorld): Promise<void> {
  const world = await startFaultWorld(t, state.options);
  const held = state.hold(world);
  world.begin({ lease: fault.lease === true });
  await world.until(`state "${state.name}"`, () => held.reached());
  await fault.strike(world);
  held.release();
  await fault.mend?.(world);
  world.letMoversEnd();
  if (fault.isEnd) return await assertGone(world);
  await assertAnswered(world, "one", 1);
  // What is left of the fault is not for the test's own request.
  world.double.clearFaults();
  await patchResource(world, { spec: { trigger: { manual: "two" } } });
  await assertAnswered(world, "two", 2);
}

async function assertGone(world: FaultWorld): Promise<void> {
  await world.pass(120_000, 5000);
  assert.equal(world.resource(), undefined);
  assert.deepEqual(world.remains(), [], world.describe());
  assert.ok(world.succeeded.length <= 1, world.describe());
}

/** The tag is answered, by as many successful runs as there were tags, and the world has come to rest. */
async function assertAnswered(world: FaultWorld, tag: string, runs: number): Promise<void> {
  const isDone = (): boolean => {
    const status = world.resource()?.status;
    return status?.lastManualSync === tag && status.conditions?.[0]?.reason === "WaitingForManual";
  };
  await world.until(`the answer to ${tag}`, isDone);
  // Whatever else would be started by mistake has time to be.
  await world.pass(90_000, 15_000);
  const status = world.resource()!.status!;
  assert.equal(world.succeeded.length, runs, `runs that ended well\n${world.describe()}`);
  assert.deepEqual(world.remains(), [], `left over\n${world.describe()}`);
  const [synchronizing, problem] = status.conditions ?? [];
  assert.deepEqual(
    [synchronizing?.type, synchronizing?.status, synchronizing?.reason],
    ["Synchronizing", "False", "WaitingForManual"],
    world.describe(),
  );
  assert.deepEqual(
    [problem?.type, problem?.status, problem?.reason],
    ["Problem", "False", "None"],
    world.describe(),
  );
  assert.equal(status.latestMoverStatus?.result, "Successful");
  assert.equal(status.lastSyncStartTime, undefined);
}
