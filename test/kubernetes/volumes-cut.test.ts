// Volumes of whole runs, cut off at every request in turn, with the request carried out or not: the next looks come to the same end,
// and nothing is left over or made twice.

import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { CLAIM, VOLUME_SNAPSHOT } from "../../src/operator/cluster/kinds.ts";
import type { Step } from "../../src/operator/context.ts";
import { ANNOTATION } from "../../src/operator/names.ts";
import { REPLICATION_DESTINATION } from "../../src/operator/resources/replication-destination.ts";
import { ensureCache } from "../../src/operator/volumes/cache.ts";
import { cleanUp } from "../../src/operator/volumes/clean-up.ts";
import { ensureDestinationVolume } from "../../src/operator/volumes/destination-volume.ts";
import { ensureImage } from "../../src/operator/volumes/image.ts";
import { ensureSourceVolume } from "../../src/operator/volumes/source-volume.ts";
import { volumesWorld, SPACE, type VolumesWorld } from "./volumes-world.ts";

/** A scene: how it is set up, what is done step by step, and what must hold at its end. */
interface Scene {
  arrange(world: VolumesWorld): Promise<Run>;
}

interface Run {
  /** Each is repeated until it is done. */
  readonly steps: readonly (() => Promise<Step<unknown>>)[];
  check(): void;
}

/** Looks that failed because of a cut. */
let cuts = 0;

async function play(
  t: TestContext,
  scene: Scene,
  cut?: { at: number; how: "drop-before" | "drop-after" },
): Promise<number> {
  const world = await volumesWorld(t);
  world.double.play.boundClaims();
  world.double.play.readySnapshots();
  const run = await scene.arrange(world);
  await world.double.quiet();
  const from = world.double.calls.length;
  let seen = 0;
  if (cut !== undefined) world.double.fault(() => seen++ === cut.at, cut.how);
  for (const step of run.steps) {
    await world.reach(async () => {
      try {
        return await step();
      } catch (error) {
        if (cut === undefined || seen <= cut.at) throw error;
        cuts += 1;
        return { waiting: { reason: "CutOff", message: "" } };
      }
    });
  }
  await world.double.quiet();
  run.check();
  return world.double.calls.length - from;
}

async function playAll(t: TestContext, scene: Scene): Promise<void> {
  const calls = await play(t, scene);
  cuts = 0;
  for (let at = 0; at < calls; at++) {
    for (const how of ["drop-before", "drop-after"] as const) await play(t, scene, { at, how });
  }
  // Writes are never sent again by the client; a read may be.
  assert.ok(cuts >= calls / 3, `${cuts} cuts of ${calls} requests`);
  t.diagnostic(`${cuts} cuts of ${calls} requests`);
}

test("a source: handshake, snapshot, claim, cache, cleaning up", async (t) => {
  await playAll(t, {
    arrange: (world) => {
      world.claim(
        "data",
        {},
        {
          annotations: { [ANNOTATION.useCopyTrigger]: "", [ANNOTATION.copyTrigger]: "one" },
        },
      );
      const source = world.source({ copyMethod: "Snapshot" });
      const plan = world.plan("one");
      const uids = new Set<string | undefined>();
      const { context, double } = world;
      return Promise.resolve({
        steps: [
          async () => {
            const step = await ensureSourceVolume(context, source, plan);
            if ("ready" in step) uids.add(step.ready.claim.metadata.uid);
            return step;
          },
          () => ensureCache(context, source, "source", plan),
          () => cleanUp(context, source, plan),
        ],
        check: () => {
          assert.equal(uids.size, 1);
          const names = double.objects.list(CLAIM, SPACE).map(({ metadata }) => metadata.name);
          assert.deepEqual(names.toSorted(), ["data", "volsync-src-files-cache"]);
          assert.deepEqual(double.objects.list(VOLUME_SNAPSHOT, SPACE), []);
          const { annotations } = double.objects.get(CLAIM, SPACE, "data")!.metadata;
          assert.equal(annotations?.[ANNOTATION.latestCopyStatus], "Completed");
          assert.equal(annotations?.[ANNOTATION.latestCopyTrigger], "one");
        },
      });
    },
  });
});

test("a destination: claim, cache, image, status, cleaning up with an older image", async (t) => {
  await playAll(t, {
    arrange: async (world) => {
      const destination = world.destination({
        copyMethod: "Snapshot",
        capacity: "1Gi",
        accessModes: ["ReadWriteOnce"],
        cleanupTempPVC: true,
        cleanupCachePVC: true,
      });
      const { context, double, clock } = world;
      const old = world.plan("zero", "destination");
      await world.reach(() => ensureDestinationVolume(context, destination, old));
      const first = await world.reach(() => ensureImage(context, destination, old, "id"));
      const said = (name: string): void => {
        double.objects.update(REPLICATION_DESTINATION, SPACE, "restore", (object) => {
          object.status = { latestImage: { kind: "VolumeSnapshot", name } };
        });
      };
      said(first.name);
      await cleanUp(context, destination, old);
      await clock.advance(60_000);
      const plan = world.plan("one", "destination");
      let image = "";
      return {
        steps: [
          () => ensureDestinationVolume(context, destination, plan),
          () => ensureCache(context, destination, "destination", plan),
          async () => {
            const step = await ensureImage(context, destination, plan, "id");
            if ("ready" in step) said((image = step.ready.name));
            return step;
          },
          () => cleanUp(context, destination, plan),
        ],
        check: () => {
          assert.deepEqual(double.objects.list(CLAIM, SPACE), []);
          const left = double.objects.list(VOLUME_SNAPSHOT, SPACE);
          assert.deepEqual(
            left.map(({ metadata }) => metadata.name),
            [image],
          );
          assert.notEqual(image, first.name);
        },
      };
    },
  });
});
