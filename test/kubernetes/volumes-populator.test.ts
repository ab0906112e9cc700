// The volume populator on the API double, with a played binder that does what the real one does with claimRef: every step done once,
// whatever the operator forgot between two of them.

import assert from "node:assert/strict";
import { suite, test, type TestContext } from "node:test";
import { isHoldfastError } from "../../src/base/errors.ts";
import { CLAIM, PERSISTENT_VOLUME, VOLUME_SNAPSHOT } from "../../src/operator/cluster/kinds.ts";
import type { PersistentVolumeClaim } from "../../src/operator/cluster/kube-object.ts";
import { ANNOTATION, LABEL } from "../../src/operator/names.ts";
import {
  REPLICATION_DESTINATION,
  type ReplicationDestination,
} from "../../src/operator/resources/replication-destination.ts";
import { claimsToPopulate, reconcilePopulated } from "../../src/operator/volume-populator.ts";
import { SPACE, volumesWorld, type VolumesWorld } from "./volumes-world.ts";

const IMAGE = "restore-20260102030405";
const FROM = { apiGroup: "volsync.backube", kind: "ReplicationDestination", name: "restore" };

async function populatorWorld(
  t: TestContext,
  { restored = "5a", mode = "compat" }: { restored?: string; mode?: string } = {},
): Promise<{
  world: VolumesWorld;
  claim: PersistentVolumeClaim;
  destination: ReplicationDestination;
}> {
  const world = await volumesWorld(t);
  const destination = world.destination(
    { copyMethod: "Snapshot" },
    { status: { latestImage: { kind: "VolumeSnapshot", name: IMAGE } } },
  );
  world.double.objects.update(REPLICATION_DESTINATION, SPACE, "restore", ({ metadata }) => {
    metadata.annotations = { [ANNOTATION.mode]: mode };
  });
  image(world, destination, IMAGE, restored);
  const claim = world.claim("app", { dataSourceRef: FROM });
  // The provisioner makes volumes for helper claims alone: the user's claim has a source that it does not know.
  world.double.play.boundClaims({
    when: (each) => {
      const { spec, metadata } = each as PersistentVolumeClaim;
      return metadata.name.startsWith("vs-prime-") && spec.volumeName === undefined;
    },
  });
  return { world, claim, destination };
}

function image(
  world: VolumesWorld,
  owner: ReplicationDestination,
  name: string,
  restored: string,
): void {
  const { apiVersion, kind, metadata } = owner;
  world.double.objects.put(VOLUME_SNAPSHOT, {
    apiVersion: VOLUME_SNAPSHOT.apiVersion,
    kind: VOLUME_SNAPSHOT.kind,
    metadata: {
      name,
      namespace: SPACE,
      labels: { [LABEL.createdBy]: "volsync" },
      annotations: { "holdfast.dev/restored": restored },
      ownerReferences: [
        { apiVersion, kind, name: metadata.name, uid: metadata.uid ?? "", controller: true },
      ],
    },
    spec: { source: { persistentVolumeClaimName: "volsync-restore-dest" } },
    status: { readyToUse: true, boundVolumeSnapshotContentName: "content", restoreSize: "1Gi" },
  });
}

/** What the volume binder does: a volume whose claimRef names a claim is that claim's, and another that had it has lost it. */
function bind(world: VolumesWorld): void {
  const { objects } = world.double;
  for (const volume of objects.list(PERSISTENT_VOLUME)) {
    const { name } = volume.metadata;
    for (const claim of objects.list(CLAIM, SPACE)) {
      const isNamed = volume.spec.claimRef?.uid === claim.metadata.uid;
      if (!isNamed && claim.spec.volumeName !== name) continue;
      if (claim.status?.phase === (isNamed ? "Bound" : "Lost")) continue;
      objects.update(CLAIM, SPACE, claim.metadata.name, (changed) => {
        changed.spec.volumeName = name;
        changed.status = { phase: isNamed ? "Bound" : "Lost" };
      });
    }
  }
}

/** Looks and binds until nothing changes any more. */
async function settle(world: VolumesWorld): Promise<void> {
  let before = -1;
  for (let look = 0; before !== world.double.revision; look++) {
    assert.ok(look < 30, "it never settles");
    before = world.double.revision;
    await reconcilePopulated(world.context, `${SPACE}/app`);
    await world.double.quiet();
    bind(world);
  }
}

function assertPopulated(world: VolumesWorld, claim: PersistentVolumeClaim): void {
  const { objects } = world.double;
  const after = objects.get(CLAIM, SPACE, "app");
  assert.equal(after?.metadata.uid, claim.metadata.uid);
  assert.equal(after?.status?.phase, "Bound");
  const volumes = objects.list(PERSISTENT_VOLUME);
  assert.equal(volumes.length, 1);
  assert.equal(volumes[0]?.spec.claimRef?.uid, claim.metadata.uid);
  assert.equal(volumes[0]?.metadata.annotations?.[ANNOTATION.populatedFrom], `${SPACE}/${IMAGE}`);
  const claims = objects.list(CLAIM, SPACE).map(({ metadata }) => metadata.name);
  assert.deepEqual(claims, ["app"]);
  const snapshot = objects.get(VOLUME_SNAPSHOT, SPACE, IMAGE);
  if (snapshot === undefined) return;
  assert.equal(snapshot.metadata.ownerReferences?.length, 1);
  const marks = Object.keys(snapshot.metadata.labels ?? {});
  assert.ok(!marks.some((key) => key.startsWith(LABEL.populatorClaimPrefix)));
}

test("the claim gets the image's volume, and nothing is left over", async (t) => {
  const { world, claim } = await populatorWorld(t);
  await reconcilePopulated(world.context, `${SPACE}/app`);
  const prime = world.double.objects.get(CLAIM, SPACE, `vs-prime-${claim.metadata.uid}`);
  assert.equal(prime?.metadata.labels?.[LABEL.populatorClaimFor], "app");
  assert.equal(prime?.spec.dataSource?.name, IMAGE);
  const held = world.double.objects.get(VOLUME_SNAPSHOT, SPACE, IMAGE);
  assert.equal(held?.metadata.labels?.[`volsync.backube/volpop-pvc-${claim.metadata.uid}`], "app");
  assert.equal(held?.metadata.ownerReferences?.length, 2);
  await settle(world);
  assertPopulated(world, claim);
  assert.deepEqual(world.reasons(), ["VolSyncPopulatorPVCCreated", "VolSyncPopulatorFinished"]);
  const before = world.double.revision;
  await reconcilePopulated(world.context, `${SPACE}/app`);
  assert.equal(world.double.revision, before);
});

test("cut off at any request, applied or not, it comes to the same end", async (t) => {
  const { world: whole } = await populatorWorld(t);
  const from = whole.double.calls.length;
  await settle(whole);
  const calls = whole.double.calls.length - from;
  assert.ok(calls > 8);
  for (const how of ["drop-before", "drop-after"] as const) {
    for (let cut = 0; cut < calls; cut++) {
      const { world, claim } = await populatorWorld(t);
      let seen = 0;
      world.double.fault(() => seen++ === cut, how);
      await settle(world).catch(() => undefined);
      world.double.clearFaults();
      bind(world);
      await settle(world);
      assertPopulated(world, claim);
    }
  }
});

test("a newer image during the work changes nothing, and the old one goes at its end", async (t) => {
  const { world, claim, destination } = await populatorWorld(t);
  await reconcilePopulated(world.context, `${SPACE}/app`);
  image(world, destination, "newer", "5b");
  world.double.objects.update(REPLICATION_DESTINATION, SPACE, "restore", (object) => {
    object.status = { latestImage: { kind: "VolumeSnapshot", name: "newer" } };
  });
  await settle(world);
  assertPopulated(world, claim);
  assert.equal(world.double.objects.get(VOLUME_SNAPSHOT, SPACE, IMAGE), undefined);
  assert.notEqual(world.double.objects.get(VOLUME_SNAPSHOT, SPACE, "newer"), undefined);
});

test("a cache that is behind makes no second helper claim; one of no use is removed", async (t) => {
  const { world, claim } = await populatorWorld(t);
  const { objects } = world.double;
  const prime = `vs-prime-${claim.metadata.uid}`;
  world.freeze();
  await settle(world);
  assert.equal(objects.get(CLAIM, SPACE, "app")?.status?.phase, "Bound");
  // Another operator, whose cache is not behind, has come to the end.
  objects.remove(CLAIM, SPACE, prime);
  await reconcilePopulated(world.context, `${SPACE}/app`);
  assert.equal(objects.get(CLAIM, SPACE, prime), undefined);
  world.thaw();
  const { apiVersion, kind } = claim;
  const owner = { apiVersion, kind, name: "app", uid: claim.metadata.uid ?? "", controller: true };
  world.claim(prime, {}, { ownerReferences: [owner] });
  await settle(world);
  assert.equal(objects.get(CLAIM, SPACE, prime), undefined);
});

suite("what it waits for", () => {
  test("a destination, its image, and that the image is ready", async (t) => {
    const { world, claim } = await populatorWorld(t);
    const { objects } = world.double;
    const destination = objects.get(REPLICATION_DESTINATION, SPACE, "restore")!;
    const prime = (): unknown => objects.get(CLAIM, SPACE, `vs-prime-${claim.metadata.uid}`);
    const look = async (): Promise<void> => {
      await reconcilePopulated(world.context, `${SPACE}/app`);
      assert.equal(prime(), undefined);
    };
    objects.remove(REPLICATION_DESTINATION, SPACE, "restore");
    await look();
    const { status: _, ...without } = destination;
    objects.put(REPLICATION_DESTINATION, without);
    await look();
    objects.put(REPLICATION_DESTINATION, destination);
    // The first one went with its owner.
    image(world, destination, IMAGE, "5a");
    objects.update(VOLUME_SNAPSHOT, SPACE, IMAGE, (snapshot) => {
      snapshot.status = { readyToUse: false, boundVolumeSnapshotContentName: "content" };
    });
    await look();
    assert.deepEqual(world.reasons(), [
      "VolSyncPopulatorReplicationDestinationMissing",
      "VolSyncPopulatorReplicationDestinationNoLatestImage",
    ]);
    objects.update(VOLUME_SNAPSHOT, SPACE, IMAGE, (snapshot) => {
      snapshot.status = { readyToUse: true };
    });
    await settle(world);
    assertPopulated(world, claim);
  });

  test("the node of the first pod, where the storage class waits for it", async (t) => {
    const { world, claim } = await populatorWorld(t);
    world.storageClass("fast", "WaitForFirstConsumer", true);
    await reconcilePopulated(world.context, `${SPACE}/app`);
    const name = `vs-prime-${claim.metadata.uid}`;
    assert.equal(world.double.objects.get(CLAIM, SPACE, name), undefined);
    world.double.objects.update(CLAIM, SPACE, "app", ({ metadata }) => {
      metadata.annotations = { [ANNOTATION.selectedNode]: "node-7" };
    });
    await reconcilePopulated(world.context, `${SPACE}/app`);
    const prime = world.double.objects.get(CLAIM, SPACE, name);
    assert.equal(prime?.metadata.annotations?.[ANNOTATION.selectedNode], "node-7");
    await settle(world);
    assertPopulated(world, claim);
  });
});

suite("an image of a restore that found nothing", () => {
  test("is refused in safe mode, with the fix", async (t) => {
    const { world, claim } = await populatorWorld(t, { restored: "none", mode: "safe" });
    await assert.rejects(reconcilePopulated(world.context, `${SPACE}/app`), (error) => {
      return isHoldfastError(error, "VOLUME_NOT_READY") && /found no snapshot/.test(error.message);
    });
    const name = `vs-prime-${claim.metadata.uid}`;
    assert.equal(world.double.objects.get(CLAIM, SPACE, name), undefined);
    const [told] = world.told;
    assert.equal(told?.reason, "VolSyncPopulatorError");
    assert.match(told?.message ?? "", /Check the repository in its Secret/);
  });

  test("is warned of in compat mode", async (t) => {
    const { world, claim } = await populatorWorld(t, { restored: "none" });
    await settle(world);
    assertPopulated(world, claim);
    assert.equal(world.reasons()[0], "PopulatedWithNothing");
  });
});

test("a helper claim of somebody else is named and left alone", async (t) => {
  const { world, claim } = await populatorWorld(t);
  world.claim(`vs-prime-${claim.metadata.uid}`);
  await assert.rejects(reconcilePopulated(world.context, `${SPACE}/app`), (error) => {
    return isHoldfastError(error, "CLUSTER_EXISTS");
  });
});

test("changes of a destination, an image and a helper claim lead to the claim", async (t) => {
  const { world, claim, destination } = await populatorWorld(t);
  await reconcilePopulated(world.context, `${SPACE}/app`);
  const { objects } = world.double;
  const prime = objects.get(CLAIM, SPACE, `vs-prime-${claim.metadata.uid}`)!;
  const snapshot = objects.get(VOLUME_SNAPSHOT, SPACE, IMAGE)!;
  for (const changed of [claim, destination, prime, snapshot]) {
    assert.deepEqual(claimsToPopulate(world.context, changed), ["odoo/app"]);
  }
  assert.deepEqual(claimsToPopulate(world.context, world.claim("other")), []);
});
