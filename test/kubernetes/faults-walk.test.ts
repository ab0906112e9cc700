// Random walks: faults, triggers, ends of movers and time in an order that a seed decides. Whatever the order: never two movers of a
// resource at once, never more runs that ended well than triggers, and at the end the last trigger answered and nothing left over.
//
//   WALKS=200 node --test test/kubernetes/faults-walk.test.ts        more of them
//   WALK_SEED=17 node --test test/kubernetes/faults-walk.test.ts     repeats one

import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { JOB } from "../../src/operator/cluster/kinds.ts";
import { seededBytes } from "../seeded-bytes.ts";
import { FAULTS, patchResource } from "./faults-kinds.ts";
import { badEnd, putSecret, startFaultWorld, type FaultWorld } from "./fault-world.ts";

const { WALK_SEED: wanted, WALKS: walks = "8" } = process.env;
const all = Array.from({ length: Number(walks) }, (_, i) => i + 1);
const SEEDS = wanted === undefined ? all : [Number(wanted)];
const STEPS = 14;
const PASSING = { code: "STORAGE_UNAVAILABLE", message: "no answer", retryable: false };

for (const seed of SEEDS) {
  test(`walk ${seed}`, { timeout: 300_000 }, (t) => walk(t, seed));
}

async function walk(t: TestContext, seed: number): Promise<void> {
  let drawn = 0;
  const draw = (below: number): number =>
    seededBytes(`walk ${seed} ${drawn++}`, 4).readUInt32LE() % below;
  const world = await startFaultWorld(t, {
    seed,
    role: draw(3) === 0 ? "destination" : "source",
    copyMethod: draw(2) === 0 ? "Direct" : "Snapshot",
  });
  world.answers = false;
  world.begin();
  const took: string[] = [];
  let tags = 1;
  const strikes = FAULTS.filter(({ isEnd, lease }) => isEnd === undefined && lease === undefined);
  for (let i = 0; i < STEPS; i++) {
    const choice = draw(10);
    if (choice < 4) {
      const fault = strikes[draw(strikes.length)]!;
      took.push(fault.name);
      await fault.strike(world);
      await fault.mend?.(world);
    } else if (choice < 6) {
      took.push("trigger");
      tags += 1;
      await patchResource(world, { spec: { trigger: { manual: `tag-${tags}` } } });
    } else if (choice < 8) {
      const open = world.movers.filter(({ isOpen }) => isOpen);
      took.push("movers end well");
      if (open.length > 0) world.letMoversEnd();
      world.answers = false;
    } else if (choice < 9) {
      took.push("movers fail");
      for (const mover of world.movers) if (mover.isOpen) mover.end(badEnd(mover.job, PASSING));
    }
    took.push("time");
    await world.pass(draw(20) * 1000, 1000);
    assertOneAtATime(world, took);
  }
  world.double.clearFaults();
  putSecret(world, "one");
  world.letMoversEnd();
  const last = tags === 1 ? "one" : `tag-${tags}`;
  const story = `${took.join(", ")}\n`;
  await world.until(`the answer to ${last} after ${story}`, () => {
    const status = world.resource()?.status;
    return status?.lastManualSync === last && status.conditions?.[0]?.reason === "WaitingForManual";
  });
  await world.pass(120_000, 15_000);
  assertOneAtATime(world, took);
  assert.ok(world.succeeded.length <= tags, `${story}${world.describe()}`);
  assert.deepEqual(world.remains(), [], `${story}${world.describe()}`);
  const [, problem] = world.resource()?.status?.conditions ?? [];
  assert.equal(problem?.reason, "None", `${story}${world.describe()}`);
}

function assertOneAtATime(world: FaultWorld, took: readonly string[]): void {
  const open = new Set(
    world.movers
      .filter(({ isOpen, job }) => {
        return (
          isOpen &&
          world.double.objects
            .list(JOB)
            .some(
              ({ metadata }) => metadata.uid === job.metadata.uid && !metadata.deletionTimestamp,
            )
        );
      })
      .map(({ job }) => job.metadata.uid),
  );
  assert.ok(open.size <= 1, `movers at once after ${took.join(", ")}\n${world.describe()}`);
}
