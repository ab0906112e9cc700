// A ReplicationDestination on an API server in memory: a restore is made once for each trigger, and a second one into a volume that may
// be in use by then is never begun by accident.

import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { POD, VOLUME_SNAPSHOT, VOLUME_SNAPSHOT_CLASS } from "../../src/operator/cluster/kinds.ts";
import { ANNOTATION, EXTERNAL } from "../../src/operator/names.ts";
import { REPLICATION_DESTINATION } from "../../src/operator/resources/replication-destination.ts";
import { NAMESPACE, OperatorOnDouble, startOnDouble, success } from "./operator-on-double.ts";

let on: OperatorOnDouble;
afterEach(async () => await on.close());

const { conditions } = OperatorOnDouble;

async function annotate(value: string): Promise<void> {
  const annotations = { [ANNOTATION.trigger]: value };
  await on.patch(REPLICATION_DESTINATION, "back", { metadata: { annotations } });
  await on.quiet();
}

function mountData(name: string): void {
  on.double.objects.put(POD, {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: NAMESPACE },
    spec: {
      nodeName: "node-1",
      containers: [{ name: "odoo" }],
      volumes: [{ name: "data", persistentVolumeClaim: { claimName: "data" } }],
    },
    status: { phase: "Running" },
  });
}

test("a new destination restores once; the annotation of the guide asks for no second restore", async () => {
  on = await startOnDouble();
  let runs = 0;
  on.double.play.jobPods((job) => {
    runs += 1;
    return success(job);
  });
  await on.destination("back");
  await on.quiet();
  assert.equal(runs, 1);
  const { status } = on.destinationNow("back");
  assert.equal(status?.lastManualSync, "restore-once");
  assert.deepEqual(status?.latestImage, {
    apiGroup: "",
    kind: "PersistentVolumeClaim",
    name: "data",
  });
  await annotate("1764150000");
  assert.equal(runs, 1, "the first value is the wish for the restore that was made");
  assert.equal(on.destinationNow("back").status?.external?.[EXTERNAL.trigger], "1764150000");
  const told = (): string[] => on.events().filter((event) => event.startsWith("TriggerAnswered"));
  assert.match(told().join(), /means the restore that ended at 2026-.*Another value does$/);
  await annotate("1764150001");
  assert.equal(runs, 2, "a new value is a new wish");
  assert.equal(told().length, 1);
});

test("a value that is set while a restore is under way means that one", async () => {
  on = await startOnDouble();
  let runs = 0;
  const ends: (() => void)[] = [];
  on.double.play.jobPods((job) => {
    runs += 1;
    return new Promise((resolve) => ends.push(() => resolve(success(job))));
  });
  await on.destination("back");
  await on.quiet();
  await annotate("1");
  await annotate("2");
  ends[0]?.();
  await on.quiet();
  assert.equal(runs, 1);
  assert.equal(conditions(on.destinationNow("back"))[0], "Synchronizing=False/WaitingForManual");
});

test("what VolSync restored before we came is not restored again, whatever its annotation says", async () => {
  on = await startOnDouble({ start: false });
  let runs = 0;
  on.double.play.jobPods((job) => {
    runs += 1;
    return success(job);
  });
  await on.destination("back", {}, { [ANNOTATION.trigger]: "from-the-guide" });
  on.double.objects.update(REPLICATION_DESTINATION, NAMESPACE, "back", (destination) => {
    destination.status = {
      lastSyncTime: "2026-11-01T00:00:00Z",
      lastManualSync: "restore-once",
      latestMoverStatus: { result: "Successful" },
    };
  });
  on.operator();
  await on.quiet();
  assert.equal(runs, 0);
  await annotate("later");
  assert.equal(runs, 1);
});

test("a volume in use: compat warns and restores, safe refuses until it is not", async () => {
  on = await startOnDouble();
  let runs = 0;
  on.double.play.jobPods((job) => {
    runs += 1;
    return success(job);
  });
  mountData("odoo-0");
  await on.quiet();
  await on.destination("back");
  await on.quiet();
  assert.equal(runs, 1);
  assert.ok(on.events().some((event) => /^VolumeInUse: .*odoo-0/.test(event)));
  await on.destination("safe", {}, { [ANNOTATION.mode]: "safe" });
  await on.quiet();
  assert.equal(runs, 1);
  assert.deepEqual(conditions(on.destinationNow("safe")), [
    "Synchronizing=False/Error",
    "Problem=True/VolumeInUse",
  ]);
  on.double.objects.remove(POD, NAMESPACE, "odoo-0");
  await on.quiet();
  assert.equal(runs, 2);
  assert.equal(on.destinationNow("safe").status?.lastManualSync, "restore-once");
});

test("with copyMethod Snapshot the image is a snapshot, and the one before goes", async () => {
  on = await startOnDouble();
  on.double.objects.put(VOLUME_SNAPSHOT_CLASS, {
    apiVersion: "snapshot.storage.k8s.io/v1",
    kind: "VolumeSnapshotClass",
    metadata: {
      name: "fast",
      annotations: { "snapshot.storage.kubernetes.io/is-default-class": "true" },
    },
    driver: "fast.example.com",
    deletionPolicy: "Delete",
  });
  on.double.play.jobPods((job) => success(job));
  const restic = { repository: "restic", copyMethod: "Snapshot", destinationPVC: "data" } as const;
  await on.destination("back", { restic });
  await on.quiet();
  const first = on.destinationNow("back").status?.latestImage;
  assert.equal(first?.kind, "VolumeSnapshot", JSON.stringify(on.destinationNow("back").status));
  assert.match(first.name, /^data-20261126100000$/);
  on.clock.advance(60_000);
  await on.patch(REPLICATION_DESTINATION, "back", { spec: { trigger: { manual: "again" } } });
  await on.quiet();
  const second = on.destinationNow("back").status?.latestImage;
  assert.match(second?.name ?? "", /^data-20261126100100$/);
  const left = on.double.objects.list(VOLUME_SNAPSHOT, NAMESPACE).map((each) => each.metadata.name);
  assert.deepEqual(left, [second?.name]);
});
