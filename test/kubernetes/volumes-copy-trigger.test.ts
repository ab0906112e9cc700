// The copy trigger's handshake, seen from the application: nothing is copied before it says so, once for each value, and it is told
// when the copy is made.

import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { CLAIM, VOLUME_SNAPSHOT } from "../../src/operator/cluster/kinds.ts";
import { ANNOTATION } from "../../src/operator/names.ts";
import type { RunPlan } from "../../src/operator/run-plan.ts";
import { cleanUp } from "../../src/operator/volumes/clean-up.ts";
import { ensureSourceVolume } from "../../src/operator/volumes/source-volume.ts";
import { reasonOf, SPACE, volumesWorld, type VolumesWorld } from "./volumes-world.ts";

const COPY = "volsync-files-src";

interface Handshake {
  readonly world: VolumesWorld;
  /** One look of a run; why it waits. */
  look(plan: RunPlan): Promise<string>;
  /** Looks until the run has its volume, and ends it. */
  run(plan: RunPlan): Promise<void>;
  trigger(value: string): void;
  /** The operator's side of the annotations: status and answered value. */
  said(): [string | undefined, string | undefined];
}

async function handshake(
  t: TestContext,
  copyMethod: "Snapshot" | "Clone" = "Snapshot",
): Promise<Handshake> {
  const world = await volumesWorld(t);
  world.claim("data", {}, { annotations: { [ANNOTATION.useCopyTrigger]: "" } });
  world.double.play.boundClaims({ when: ({ metadata }) => metadata.name === "data" });
  world.snapshotClass("snap", { isDefault: true });
  await world.double.quiet();
  const source = world.source({ copyMethod });
  const look = async (plan: RunPlan): Promise<string> =>
    reasonOf(await ensureSourceVolume(world.context, source, plan));
  return {
    world,
    look,
    run: async (plan) => {
      await world.reach(() => ensureSourceVolume(world.context, source, plan));
      await cleanUp(world.context, source, plan);
      await world.double.quiet();
    },
    trigger: (value) => {
      world.double.objects.update(CLAIM, SPACE, "data", ({ metadata }) => {
        metadata.annotations = { ...metadata.annotations, [ANNOTATION.copyTrigger]: value };
      });
    },
    said: () => {
      const { annotations = {} } = world.double.objects.get(CLAIM, SPACE, "data")?.metadata ?? {};
      return [annotations[ANNOTATION.latestCopyStatus], annotations[ANNOTATION.latestCopyTrigger]];
    },
  };
}

test("no snapshot before the trigger; then in progress, then completed", async (t) => {
  const { world, look, trigger, said } = await handshake(t);
  const plan = world.plan("one");
  assert.equal(await look(plan), "WaitingForCopyTrigger");
  assert.deepEqual(said(), ["WaitingForTrigger", undefined]);
  assert.deepEqual(world.double.objects.list(VOLUME_SNAPSHOT), []);
  trigger("first");
  assert.equal(await look(plan), "VolumeSnapshotNotBound");
  assert.deepEqual(said(), ["InProgress", undefined]);
  world.double.play.readySnapshots();
  await world.double.quiet();
  await look(plan);
  assert.deepEqual(said(), ["Completed", "first"]);
  assert.deepEqual(
    world.reasons().filter((reason) => reason.startsWith("SrcPVC")),
    [
      "SrcPVCWaitingForCopyTrigger",
      "SrcPVCCopyTriggerReceived",
      "SrcPVCCopyUsingCopyTriggerCompleted",
    ],
  );
});

test("an answered value is no trigger for the next run, also to a cache that is behind", async (t) => {
  const { world, look, run, trigger } = await handshake(t);
  world.double.play.readySnapshots();
  world.double.play.boundClaims();
  trigger("first");
  world.freeze();
  await run(world.plan("one"));
  await world.clock.advance(2_000);
  assert.equal(await look(world.plan("two")), "WaitingForCopyTrigger");
  trigger("second");
  await run(world.plan("two"));
});

test("a new value during the copy is answered by the next copy", async (t) => {
  const { world, look, trigger, said } = await handshake(t);
  const plan = world.plan("one");
  trigger("first");
  await look(plan);
  trigger("second");
  world.double.play.readySnapshots();
  await world.double.quiet();
  await look(plan);
  assert.deepEqual(said(), ["Completed", "first"]);
});

test("after ten minutes it is late, told once, and still waited for", async (t) => {
  const { world, look, run, trigger } = await handshake(t);
  const plan = world.plan("one");
  await look(plan);
  await world.clock.advance(601_000);
  assert.equal(await look(plan), "CopyTriggerLate");
  assert.equal(await look(plan), "CopyTriggerLate");
  const late = world.reasons().filter((reason) => reason === "SrcPVCTimeoutWaitingForCopyTrigger");
  assert.equal(late.length, 1);
  world.double.play.readySnapshots();
  world.double.play.boundClaims();
  trigger("first");
  await run(plan);
});

test("a clone is completed when it has its volume, and not before", async (t) => {
  const { world, look, trigger, said } = await handshake(t, "Clone");
  const plan = world.plan("one");
  trigger("first");
  assert.equal(await look(plan), "PersistentVolumeClaimNotBound");
  assert.deepEqual(said(), ["InProgress", undefined]);
  world.double.play.boundClaims();
  await world.double.quiet();
  assert.equal(await look(plan), "ready");
  assert.deepEqual(said(), ["Completed", "first"]);
});

test("a clone whose volume comes with its pod is completed at the run's end at the latest", async (t) => {
  const { world, look, trigger, said } = await handshake(t, "Clone");
  world.storageClass("fast", "WaitForFirstConsumer", true);
  const plan = world.plan("one");
  trigger("first");
  assert.equal(await look(plan), "ready");
  assert.deepEqual(said(), ["InProgress", undefined]);
  world.double.play.boundClaims();
  await world.double.quiet();
  const source = world.source({ copyMethod: "Clone" });
  await cleanUp(world.context, source, plan);
  assert.deepEqual(said(), ["Completed", "first"]);
  assert.equal(world.double.objects.get(CLAIM, SPACE, COPY), undefined);
});

test("nothing is waited for where no handshake is asked for", async (t) => {
  const { world, look } = await handshake(t);
  world.double.objects.update(CLAIM, SPACE, "data", ({ metadata }) => {
    delete metadata.annotations;
  });
  assert.equal(await look(world.plan("one")), "VolumeSnapshotNotBound");
});
