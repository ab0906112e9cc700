// The volume that a source is read from: its claim, a clone, a snapshot; and what is said when there can be none.

import assert from "node:assert/strict";
import { suite, test, type TestContext } from "node:test";
import { isHoldfastError } from "../../src/base/errors.ts";
import { CLAIM, VOLUME_SNAPSHOT } from "../../src/operator/cluster/kinds.ts";
import { LABEL } from "../../src/operator/names.ts";
import { cleanUp } from "../../src/operator/volumes/clean-up.ts";
import { ensureSourceVolume } from "../../src/operator/volumes/source-volume.ts";
import { reasonOf, SPACE, volumesWorld, type VolumesWorld } from "./volumes-world.ts";

const COPY = "volsync-files-src";

async function snapshotWorld(test: TestContext): Promise<VolumesWorld> {
  const world = await volumesWorld(test);
  world.claim("data");
  world.double.play.boundClaims();
  await world.double.quiet();
  return world;
}

suite("Snapshot", () => {
  test("a snapshot and a claim of it, named and labelled as VolSync's", async (t) => {
    const world = await snapshotWorld(t);
    world.double.play.readySnapshots({ restoreSize: "11Gi" });
    const source = world.source({ copyMethod: "Snapshot" });
    const plan = world.plan("one");
    const volume = await world.reach(() => ensureSourceVolume(world.context, source, plan));
    const snapshot = world.double.objects.get(VOLUME_SNAPSHOT, SPACE, COPY);
    const claim = world.double.objects.get(CLAIM, SPACE, COPY);
    assert.equal(volume.claim.metadata.name, COPY);
    assert.equal(volume.temporary, true);
    assert.equal(volume.pointInTime, snapshot?.status?.creationTime);
    for (const object of [snapshot, claim]) {
      assert.equal(object?.metadata.labels?.[LABEL.createdBy], "volsync");
      assert.equal(object?.metadata.labels?.[LABEL.cleanup], source.metadata.uid);
      const [owner] = object?.metadata.ownerReferences ?? [];
      assert.equal(owner?.uid, source.metadata.uid);
      assert.deepEqual([owner?.controller, owner?.blockOwnerDeletion], [true, true]);
    }
    assert.equal(claim?.spec.resources?.requests?.["storage"], "11Gi");
    assert.equal(claim?.spec.storageClassName, "fast");
    assert.deepEqual(claim?.spec.dataSource, {
      apiGroup: "snapshot.storage.k8s.io",
      kind: "VolumeSnapshot",
      name: COPY,
    });
    assert.deepEqual(world.reasons(), ["VolumeSnapshotCreated", "PersistentVolumeClaimCreated"]);
  });

  test("no claim is made from a snapshot that is bound and not ready; told once after its time", async (t) => {
    const world = await snapshotWorld(t);
    world.snapshotClass("snap", { isDefault: true });
    const source = world.source({ copyMethod: "Snapshot" });
    const plan = world.plan("one");
    const look = async (): Promise<string> =>
      reasonOf(await ensureSourceVolume(world.context, source, plan));
    const first = await ensureSourceVolume(world.context, source, plan);
    assert.ok("waiting" in first);
    assert.equal(first.waiting.recheck, 30_000);
    await world.clock.advance(31_000);
    assert.equal(await look(), "VolumeSnapshotNotBound");
    assert.equal(await look(), "VolumeSnapshotNotBound");
    assert.deepEqual(world.reasons(), ["VolumeSnapshotCreated", "VolumeSnapshotNotBound"]);
    world.double.objects.update(VOLUME_SNAPSHOT, SPACE, COPY, (snapshot) => {
      snapshot.status = { boundVolumeSnapshotContentName: "content", readyToUse: false };
    });
    assert.equal(await look(), "VolumeSnapshotNotReady");
    assert.equal(world.double.objects.get(CLAIM, SPACE, COPY), undefined);
  });

  test("what the driver says of a failed snapshot is said; when it comes right, it goes on", async (t) => {
    const world = await snapshotWorld(t);
    world.snapshotClass("snap", { isDefault: true });
    const source = world.source({ copyMethod: "Snapshot" });
    const plan = world.plan("one");
    await ensureSourceVolume(world.context, source, plan);
    world.double.objects.update(VOLUME_SNAPSHOT, SPACE, COPY, (snapshot) => {
      snapshot.status = { readyToUse: false, error: { message: "pool is full" } };
    });
    await assert.rejects(ensureSourceVolume(world.context, source, plan), (error) => {
      assert.ok(isHoldfastError(error, "VOLUME_NOT_READY"));
      assert.match(error.message, /pool is full/);
      return error.retryable;
    });
    world.double.play.readySnapshots();
    await world.double.quiet();
    await world.reach(() => ensureSourceVolume(world.context, source, plan));
  });

  const refusals: [string, (world: VolumesWorld) => string | undefined, RegExp, RegExp][] = [
    [
      "no class at all",
      () => undefined,
      /no default VolumeSnapshotClass/,
      /volumeSnapshotClassName/,
    ],
    ["an absent class", (w) => (w.snapshotClass("snap"), "other"), /"other"/, /There are: snap/],
    [
      "a class of another driver",
      (w) => (w.snapshotClass("snap", { driver: "else.csi" }), "snap"),
      /else\.csi.*played\.csi\.test/,
      /played\.csi\.test/,
    ],
    [
      "a class that is no default",
      (w) => (w.snapshotClass("snap"), undefined),
      /no default/,
      /is-default-class=true/,
    ],
  ];
  for (const [name, arrange, message, hint] of refusals) {
    test(`${name}: refused at once, with the fix, and no snapshot is made`, async (t) => {
      const world = await snapshotWorld(t);
      const className = arrange(world);
      const restic = { copyMethod: "Snapshot" as const };
      const source = world.source(
        className === undefined ? restic : { ...restic, volumeSnapshotClassName: className },
      );
      await assert.rejects(
        ensureSourceVolume(world.context, source, world.plan("one")),
        (error) => {
          assert.ok(isHoldfastError(error, "VOLUME_NOT_READY"));
          assert.match(error.message, message);
          assert.match(error.hint ?? "", hint);
          return true;
        },
      );
      assert.deepEqual(world.double.objects.list(VOLUME_SNAPSHOT), []);
    });
  }

  test("a cluster without snapshots says so", async (t) => {
    const world = await volumesWorld(t, { snapshots: false });
    world.claim("data");
    world.double.play.boundClaims();
    await world.double.quiet();
    const source = world.source({ copyMethod: "Snapshot" });
    await assert.rejects(
      ensureSourceVolume(world.context, source, world.plan("one")),
      /the cluster has no VolumeSnapshots/,
    );
  });

  test("what an earlier run left behind is never backed up as new", async (t) => {
    const world = await snapshotWorld(t);
    world.double.play.readySnapshots();
    const source = world.source({ copyMethod: "Snapshot" });
    const old = world.plan("one");
    await world.reach(() => ensureSourceVolume(world.context, source, old));
    const stale = world.double.objects.get(VOLUME_SNAPSHOT, SPACE, COPY)?.metadata.uid;
    const staleClaim = world.double.objects.get(CLAIM, SPACE, COPY)?.metadata.uid;
    await world.clock.advance(60_000);
    const volume = await world.reach(() =>
      ensureSourceVolume(world.context, source, world.plan("two")),
    );
    assert.notEqual(world.double.objects.get(VOLUME_SNAPSHOT, SPACE, COPY)?.metadata.uid, stale);
    assert.notEqual(volume.claim.metadata.uid, staleClaim);
    assert.equal(Date.parse(volume.pointInTime ?? ""), Math.floor(world.clock.now() / 1000) * 1000);
  });

  test("a snapshot that was removed and made anew does not make its claim's data newer", async (t) => {
    const world = await snapshotWorld(t);
    world.double.play.readySnapshots();
    const source = world.source({ copyMethod: "Snapshot" });
    const plan = world.plan("one");
    const look = (): Promise<{ pointInTime?: string | undefined }> =>
      world.reach(() => ensureSourceVolume(world.context, source, plan));
    const { pointInTime } = await look();
    world.double.objects.remove(VOLUME_SNAPSHOT, SPACE, COPY);
    await world.clock.advance(3_600_000);
    assert.equal((await look()).pointInTime, pointInTime);
  });

  test("a cache that is behind does not bring a removed copy back", async (t) => {
    const world = await snapshotWorld(t);
    world.double.play.readySnapshots();
    const source = world.source({ copyMethod: "Snapshot" });
    const plan = world.plan("one");
    const before = await world.reach(() => ensureSourceVolume(world.context, source, plan));
    world.freeze();
    await cleanUp(world.context, source, plan);
    assert.equal(world.double.objects.get(CLAIM, SPACE, COPY), undefined);
    await world.clock.advance(5_000);
    const next = world.plan("two");
    const after = await world.reach(() => ensureSourceVolume(world.context, source, next));
    assert.notEqual(after.claim.metadata.uid, before.claim.metadata.uid);
  });

  test("an object of somebody else under our name is named and left alone", async (t) => {
    const world = await snapshotWorld(t);
    world.double.play.readySnapshots();
    const theirs = world.claim(COPY);
    const source = world.source({ copyMethod: "Snapshot" });
    const plan = world.plan("one");
    const look = (): Promise<unknown> =>
      world.reach(() => ensureSourceVolume(world.context, source, plan));
    await assert.rejects(look, (error) => {
      assert.ok(isHoldfastError(error, "CLUSTER_EXISTS"));
      assert.match(error.message, /PersistentVolumeClaim odoo\/volsync-files-src has no owner/);
      return true;
    });
    await cleanUp(world.context, source, plan);
    const now = world.double.objects.get(CLAIM, SPACE, COPY);
    assert.equal(now?.metadata.uid, theirs.metadata.uid);
  });

  test("what an earlier resource of the same name made is waited for", async (t) => {
    const world = await snapshotWorld(t);
    world.double.play.readySnapshots();
    const old = world.source({ copyMethod: "Snapshot" }, "files", { uid: "old" });
    await world.reach(() => ensureSourceVolume(world.context, old, world.plan("one")));
    // Put over it, the garbage collector sees nothing: it is late.
    const source = world.source({ copyMethod: "Snapshot" }, "files", { uid: "new" });
    const step = await ensureSourceVolume(world.context, source, world.plan("two"));
    assert.equal(reasonOf(step), "WaitingForRemoval");
  });

  test("a capacity below the snapshot's size is refused", async (t) => {
    const world = await snapshotWorld(t);
    world.double.play.readySnapshots({ restoreSize: "11Gi" });
    const source = world.source({ copyMethod: "Snapshot", capacity: "5Gi" });
    await assert.rejects(
      world.reach(() => ensureSourceVolume(world.context, source, world.plan("one"))),
      /capacity 5Gi is less than the snapshot's 11Gi/,
    );
  });
});

suite("Direct and Clone", () => {
  test("Direct is the claim itself; it need not be bound before a pod wants it", async (t) => {
    const world = await volumesWorld(t);
    world.storageClass("local", "WaitForFirstConsumer");
    world.claim("data", { storageClassName: "local" });
    for (const copyMethod of ["Direct", "None"] as const) {
      const source = world.source({ copyMethod });
      const step = await ensureSourceVolume(world.context, source, world.plan("one"));
      assert.ok("ready" in step);
      assert.equal(step.ready.claim.metadata.name, "data");
      assert.deepEqual([step.ready.temporary, step.ready.pointInTime], [false, undefined]);
    }
  });

  test("a claim that binds at once is waited for, and told of after 120 s", async (t) => {
    const world = await volumesWorld(t);
    world.claim("data");
    const source = world.source({ copyMethod: "Direct" });
    const step = await ensureSourceVolume(world.context, source, world.plan("one"));
    assert.ok("waiting" in step);
    assert.equal(step.waiting.recheck, 120_000 - (world.clock.now() % 1000));
    await world.clock.advance(121_000);
    await ensureSourceVolume(world.context, source, world.plan("one"));
    await ensureSourceVolume(world.context, source, world.plan("one"));
    assert.deepEqual(world.reasons(), ["PersistentVolumeClaimNotBound"]);
  });

  test("a claim of one pod alone is waited for while that pod has it, and not for our own", async (t) => {
    const world = await volumesWorld(t);
    world.claim("data", { accessModes: ["ReadWriteOncePod"] });
    world.double.play.boundClaims();
    await world.double.quiet();
    const source = world.source({ copyMethod: "Direct" });
    world.pod("mover", "data", {
      metadata: { name: "mover", labels: { [LABEL.createdBy]: "volsync" } },
    });
    const look = async (): Promise<string> =>
      reasonOf(await ensureSourceVolume(world.context, source, world.plan("one")));
    assert.equal(await look(), "ready");
    world.pod("app", "data");
    assert.equal(await look(), "VolumeInUse");
    world.pod("app", "data", { status: { phase: "Succeeded" } });
    assert.equal(await look(), "ready");
  });

  test("a clone: from the claim, in its size, for this run alone", async (t) => {
    const world = await snapshotWorld(t);
    const source = world.source({ copyMethod: "Clone" });
    const volume = await world.reach(() =>
      ensureSourceVolume(world.context, source, world.plan("one")),
    );
    assert.deepEqual(volume.claim.spec.dataSource, { kind: "PersistentVolumeClaim", name: "data" });
    assert.equal(volume.claim.spec.resources?.requests?.["storage"], "10Gi");
    assert.equal(volume.pointInTime, volume.claim.metadata.creationTimestamp);
  });

  test("what cannot be: said with the field that is to be changed", async (t) => {
    const world = await snapshotWorld(t);
    world.claim("raw", { volumeMode: "Block" });
    const cases: [Parameters<VolumesWorld["source"]>[0], string | undefined, RegExp][] = [
      [{ copyMethod: "Direct" }, "gone", /there is no PersistentVolumeClaim odoo\/gone/],
      [{ copyMethod: "Direct" }, "raw", /raw block device/],
      [{ copyMethod: "Clone", storageClassName: "none" }, "data", /no StorageClass "none"/],
      [{}, "data", /unsupported copyMethod/],
      [{ copyMethod: "Direct" }, undefined, /sourcePVC is not set/],
    ];
    for (const [restic, claim, message] of cases) {
      const source = world.source(restic);
      if (claim === undefined) delete source.spec.sourcePVC;
      else source.spec.sourcePVC = claim;
      const look = ensureSourceVolume(world.context, source, world.plan("one"));
      await assert.rejects(look, (error) => {
        assert.ok(isHoldfastError(error, "VOLUME_NOT_READY"));
        assert.match(error.message, message);
        return error.hint !== undefined;
      });
    }
  });
});
