// What a restore is written to and what it leaves: claims, images, and what is removed when.

import assert from "node:assert/strict";
import { suite, test, type TestContext } from "node:test";
import { isHoldfastError } from "../../src/base/errors.ts";
import { CLAIM, VOLUME_SNAPSHOT } from "../../src/operator/cluster/kinds.ts";
import type { VolumeSnapshot } from "../../src/operator/cluster/kube-object.ts";
import { ANNOTATION, LABEL } from "../../src/operator/names.ts";
import {
  REPLICATION_DESTINATION,
  type LatestImage,
  type ReplicationDestination,
} from "../../src/operator/resources/replication-destination.ts";
import { ensureCache } from "../../src/operator/volumes/cache.ts";
import { cleanUp } from "../../src/operator/volumes/clean-up.ts";
import { ensureDestinationVolume } from "../../src/operator/volumes/destination-volume.ts";
import { ensureImage } from "../../src/operator/volumes/image.ts";
import { SPACE, volumesWorld, type VolumesWorld } from "./volumes-world.ts";

const OWN = { capacity: "2Gi", accessModes: ["ReadWriteOnce" as const] };

async function boundWorld(t: TestContext): Promise<VolumesWorld> {
  const world = await volumesWorld(t);
  world.double.play.boundClaims({ when: ({ metadata }) => metadata.name !== "waiting" });
  return world;
}

/** As after a run: the status names the image. */
function withImage(
  world: VolumesWorld,
  { metadata }: ReplicationDestination,
  latestImage: LatestImage,
): ReplicationDestination {
  return world.double.objects.update(REPLICATION_DESTINATION, SPACE, metadata.name, (object) => {
    object.status = { latestImage };
  });
}

suite("the volume", () => {
  test("one of its own, which stays or goes as the resource says", async (t) => {
    const world = await boundWorld(t);
    const plan = world.plan("one", "destination");
    const keeping = world.destination(OWN);
    const volume = await world.reach(() => ensureDestinationVolume(world.context, keeping, plan));
    assert.equal(volume.claim.metadata.name, "volsync-restore-dest");
    assert.equal(volume.claim.metadata.labels?.[LABEL.cleanup], undefined);
    await cleanUp(world.context, keeping, plan);
    assert.notEqual(world.double.objects.get(CLAIM, SPACE, "volsync-restore-dest"), undefined);

    const passing = world.destination({ ...OWN, capacity: "3Gi", cleanupTempPVC: true });
    const larger = await world.reach(() => ensureDestinationVolume(world.context, passing, plan));
    assert.equal(larger.claim.spec.resources?.requests?.["storage"], "3Gi");
    assert.equal(larger.claim.metadata.labels?.[LABEL.cleanup], passing.metadata.uid);
    await cleanUp(world.context, passing, plan);
    assert.equal(world.double.objects.get(CLAIM, SPACE, "volsync-restore-dest"), undefined);
  });

  test("the user's claim is neither changed nor ever removed", async (t) => {
    const world = await boundWorld(t);
    world.claim("data");
    await world.double.quiet();
    const destination = world.destination({ destinationPVC: "data", cleanupTempPVC: true });
    const plan = world.plan("one", "destination");
    const before = world.double.objects.get(CLAIM, SPACE, "data");
    await world.reach(() => ensureDestinationVolume(world.context, destination, plan));
    const image = await world.reach(() => ensureImage(world.context, destination, plan, "id"));
    assert.deepEqual(image, { apiGroup: "", kind: "PersistentVolumeClaim", name: "data" });
    await cleanUp(world.context, destination, plan);
    assert.deepEqual(world.double.objects.get(CLAIM, SPACE, "data"), before);
  });

  test("what is missing is said in VolSync's words", async (t) => {
    const world = await boundWorld(t);
    const plan = world.plan("one", "destination");
    const cases: [Parameters<VolumesWorld["destination"]>[0], RegExp][] = [
      [{ capacity: "1Gi" }, /^accessModes must be provided when destinationPVC is not$/],
      [
        { accessModes: ["ReadWriteOnce"] },
        /^capacity must be provided when destinationPVC is not$/,
      ],
      [{ ...OWN, copyMethod: "Clone" }, /unsupported copyMethod: Clone/],
      [{ ...OWN, storageClassName: "none" }, /no StorageClass "none"/],
    ];
    for (const [restic, message] of cases) {
      const look = ensureDestinationVolume(world.context, world.destination(restic), plan);
      await assert.rejects(look, (error) => {
        assert.ok(isHoldfastError(error, "VOLUME_NOT_READY"));
        assert.match(error.message, message);
        return true;
      });
    }
  });
});

suite("the image", () => {
  async function imageWorld(t: TestContext): Promise<VolumesWorld> {
    const world = await boundWorld(t);
    world.double.play.readySnapshots();
    return world;
  }

  /** A whole run: volume, image, status, cleaning up. */
  async function restore(
    world: VolumesWorld,
    destination: ReplicationDestination,
    id: string,
  ): Promise<string> {
    const plan = world.plan(id, "destination");
    await world.reach(() => ensureDestinationVolume(world.context, destination, plan));
    const image = await world.reach(() => ensureImage(world.context, destination, plan, "id"));
    await cleanUp(world.context, withImage(world, destination, image), plan);
    await world.clock.advance(60_000);
    return image.name;
  }

  const names = (world: VolumesWorld): string[] =>
    world.double.objects
      .list(VOLUME_SNAPSHOT)
      .map(({ metadata }) => metadata.name)
      .toSorted();

  test("a snapshot named for its claim and time; the old one goes when the new one is known", async (t) => {
    const world = await imageWorld(t);
    const destination = world.destination({ ...OWN, copyMethod: "Snapshot" });
    const first = await restore(world, destination, "one");
    assert.equal(first, "volsync-restore-dest-20260102030405");
    const claim = world.double.objects.get(CLAIM, SPACE, "volsync-restore-dest");
    assert.equal(claim?.metadata.annotations?.[ANNOTATION.snapshotName], undefined);
    const second = await restore(world, destination, "two");
    assert.notEqual(second, first);
    assert.deepEqual(names(world), [second]);
  });

  test("one image for one run, however often it is looked for", async (t) => {
    const world = await imageWorld(t);
    const destination = world.destination({ ...OWN, copyMethod: "Snapshot" });
    const plan = world.plan("one", "destination");
    await world.reach(() => ensureDestinationVolume(world.context, destination, plan));
    const seen = new Set<string>();
    for (let look = 0; look < 4; look++) {
      await world.clock.advance(2_000);
      const step = (): ReturnType<typeof ensureImage> =>
        ensureImage(world.context, destination, plan, "id");
      seen.add((await world.reach(step)).name);
    }
    assert.equal(seen.size, 1);
    assert.deepEqual(names(world), [...seen]);
  });

  test("an image that an earlier run began is no image of this one", async (t) => {
    const world = await imageWorld(t);
    const destination = world.destination({ ...OWN, copyMethod: "Snapshot" });
    const old = world.plan("one", "destination");
    await world.reach(() => ensureDestinationVolume(world.context, destination, old));
    const first = await world.reach(() => ensureImage(world.context, destination, old, "id"));
    await world.clock.advance(60_000);
    const plan = world.plan("two", "destination");
    const second = await world.reach(() => ensureImage(world.context, destination, plan, "id"));
    assert.notEqual(second.name, first.name);
    await cleanUp(world.context, withImage(world, destination, second), plan);
    assert.deepEqual(names(world), [second.name]);
  });

  test("one that is not to be deleted is let go of and stays", async (t) => {
    const world = await imageWorld(t);
    const destination = world.destination({ ...OWN, copyMethod: "Snapshot" });
    const first = await restore(world, destination, "one");
    world.double.objects.update(VOLUME_SNAPSHOT, SPACE, first, ({ metadata }) => {
      metadata.labels = { ...metadata.labels, [LABEL.doNotDelete]: "" };
    });
    const second = await restore(world, destination, "two");
    assert.deepEqual(names(world), [first, second]);
    const kept = world.double.objects.get(VOLUME_SNAPSHOT, SPACE, first);
    assert.deepEqual(kept?.metadata.ownerReferences ?? [], []);
  });

  test("one that a claim is populated from stays until that is done; a stale mark keeps nothing", async (t) => {
    const world = await imageWorld(t);
    const destination = world.destination({ ...OWN, copyMethod: "Snapshot" });
    const first = await restore(world, destination, "one");
    const mark = (uid: string) => {
      return ({ metadata }: VolumeSnapshot): void => {
        metadata.labels = { ...metadata.labels, [`${LABEL.populatorClaimPrefix}${uid}`]: "x" };
      };
    };
    const user = world.claim("waiting", {
      storageClassName: "slow",
      dataSourceRef: {
        apiGroup: "volsync.backube",
        kind: "ReplicationDestination",
        name: "restore",
      },
    });
    world.double.objects.update(VOLUME_SNAPSHOT, SPACE, first, mark(user.metadata.uid ?? ""));
    const plan = world.plan("two", "destination");
    const second: LatestImage = { kind: "VolumeSnapshot", name: "newer" };
    const after = withImage(world, destination, second);
    await cleanUp(world.context, after, plan);
    assert.deepEqual(names(world), [first]);
    world.double.objects.remove(CLAIM, SPACE, "waiting");
    await cleanUp(world.context, after, plan);
    assert.deepEqual(names(world), []);
  });

  test("a resource that was read before the newest image was known takes it for no old one", async (t) => {
    const world = await imageWorld(t);
    const destination = world.destination({ ...OWN, copyMethod: "Snapshot" });
    await restore(world, destination, "one");
    const before = world.double.objects.get(REPLICATION_DESTINATION, SPACE, "restore")!;
    const second = await restore(world, destination, "two");
    await cleanUp(world.context, before, world.plan("one", "destination"));
    assert.deepEqual(names(world), [second]);
  });

  test("a restore that found nothing is written on its image", async (t) => {
    const world = await imageWorld(t);
    const destination = world.destination({ ...OWN, copyMethod: "Snapshot" });
    const plan = world.plan("one", "destination");
    await world.reach(() => ensureDestinationVolume(world.context, destination, plan));
    const image = await world.reach(() => ensureImage(world.context, destination, plan, undefined));
    const snapshot = world.double.objects.get(VOLUME_SNAPSHOT, SPACE, image.name);
    assert.equal(snapshot?.metadata.annotations?.["holdfast.dev/restored"], "none");
  });
});

suite("the cache", () => {
  test("a claim in VolSync's name and size, adopted when it is there", async (t) => {
    const world = await boundWorld(t);
    world.claim("data", { accessModes: ["ReadWriteMany"] });
    const source = world.source({ copyMethod: "Direct" });
    const plan = world.plan("one");
    const cache = await world.reach(() => ensureCache(world.context, source, "source", plan));
    assert.ok("claim" in cache);
    assert.equal(cache.claim.metadata.name, "volsync-src-files-cache");
    assert.equal(cache.claim.spec.resources?.requests?.["storage"], "1Gi");
    assert.deepEqual(cache.claim.spec.accessModes, ["ReadWriteMany"]);
    await cleanUp(world.context, source, plan);
    const again = await world.reach(() => ensureCache(world.context, source, "source", plan));
    assert.ok("claim" in again);
    assert.equal(again.claim.metadata.uid, cache.claim.metadata.uid);
  });

  test("it grows with its capacity, and goes on with the old one where growing is refused", async (t) => {
    const world = await boundWorld(t);
    const plan = world.plan("one");
    const look = async (cacheCapacity: string): Promise<string | undefined> => {
      const source = world.source({ copyMethod: "Direct", cacheCapacity });
      const cache = await world.reach(() => ensureCache(world.context, source, "source", plan));
      return "claim" in cache ? cache.claim.spec.resources?.requests?.["storage"] : undefined;
    };
    assert.equal(await look("2Gi"), "2Gi");
    assert.equal(await look("4Gi"), "4Gi");
    assert.equal(await look("1Gi"), "4Gi");
    world.double.deny({ verb: "patch", plural: "persistentvolumeclaims" }, "no expansion");
    assert.equal(await look("8Gi"), "4Gi");
    assert.ok(world.reasons().includes("PersistentVolumeClaimNotResized"));
  });

  test("where no class can serve it, it goes with the pod", async (t) => {
    const world = await boundWorld(t);
    world.storageClass("fast", "Immediate", false);
    const source = world.source({ copyMethod: "Direct" });
    const plan = world.plan("one");
    for (let look = 0; look < 2; look++) {
      const cache = await world.reach(() => ensureCache(world.context, source, "source", plan));
      assert.deepEqual(cache, { emptyDir: {} });
    }
    assert.deepEqual(world.reasons(), ["CacheNotKept"]);
  });

  test("a copy that can only be read makes no cache that can only be read", async (t) => {
    const world = await boundWorld(t);
    const source = world.source({ copyMethod: "Snapshot", accessModes: ["ReadOnlyMany"] });
    const cache = await world.reach(() =>
      ensureCache(world.context, source, "source", world.plan("one")),
    );
    assert.ok("claim" in cache);
    assert.deepEqual(cache.claim.spec.accessModes, ["ReadWriteOnce"]);
  });

  test("a destination's goes with its run where that is asked for", async (t) => {
    const world = await boundWorld(t);
    const destination = world.destination({ ...OWN, cleanupCachePVC: true });
    const plan = world.plan("one", "destination");
    await world.reach(() => ensureCache(world.context, destination, "destination", plan));
    await cleanUp(world.context, destination, plan);
    assert.equal(world.double.objects.get(CLAIM, SPACE, "volsync-dst-restore-cache"), undefined);
  });
});
