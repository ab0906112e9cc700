// Runs that meet something: a pause, a restore into the same claim, what VolSync left half done, a writer that comes first, a copy of the
// volume that has grown old.

import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { CLAIM, JOB, SECRET } from "../../src/operator/cluster/kinds.ts";
import type { Job } from "../../src/operator/cluster/kube-object.ts";
import { ANNOTATION, EXTERNAL } from "../../src/operator/names.ts";
import { REPLICATION_SOURCE } from "../../src/operator/resources/replication-source.ts";
import {
  failure,
  NAMESPACE,
  OperatorOnDouble,
  planOf,
  startOnDouble,
  success,
} from "./operator-on-double.ts";

let on: OperatorOnDouble;
afterEach(async () => await on.close());

const { conditions } = OperatorOnDouble;
const SNAPSHOT_CRD = {
  apiVersion: "apiextensions.k8s.io/v1",
  kind: "CustomResourceDefinition",
  metadata: { name: "volumesnapshots.snapshot.storage.k8s.io" },
  spec: {
    group: "snapshot.storage.k8s.io",
    scope: "Namespaced",
    names: { plural: "volumesnapshots", kind: "VolumeSnapshot" },
    versions: [
      {
        name: "v1",
        served: true,
        storage: true,
        schema: {
          openAPIV3Schema: { type: "object", "x-kubernetes-preserve-unknown-fields": true },
        },
      },
    ],
  },
};
const CLONE = { restic: { repository: "restic", copyMethod: "Clone" } } as const;

/** A Job of VolSync's own, as it makes them: no label of ours. */
function jobOfVolSync(args: string[]): Job {
  const source = on.sourceNow("files");
  const { name, uid = "" } = source.metadata;
  const owner = { apiVersion: source.apiVersion, kind: source.kind, name, uid, controller: true };
  return on.double.objects.put(JOB, {
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: {
      name: `volsync-src-${name}`,
      namespace: NAMESPACE,
      labels: { "app.kubernetes.io/created-by": "volsync", "volsync.backube/cleanup": uid },
      ownerReferences: [owner],
    },
    spec: {
      parallelism: 1,
      backoffLimit: 8,
      template: { spec: { containers: [{ name: "restic", args }] } },
    },
  });
}

test("a source waits while its claim is being restored", async () => {
  on = await startOnDouble();
  const order: string[] = [];
  let endRestore = (): void => {};
  on.double.play.jobPods((job) => {
    order.push(job.metadata.name);
    if (!job.metadata.name.startsWith("volsync-dst")) return success(job);
    return new Promise((resolve) => (endRestore = () => resolve(success(job))));
  });
  await on.destination("back");
  await on.quiet();
  await on.source("files");
  await on.quiet();
  assert.deepEqual(order, ["volsync-dst-back"]);
  assert.equal(conditions(on.sourceNow("files"))[1], "Problem=True/WaitingForRestore");
  assert.ok(on.events().some((event) => event.startsWith("WaitingForRestore: ")));
  endRestore();
  await on.quiet();
  assert.deepEqual(order, ["volsync-dst-back", "volsync-src-files"]);
  assert.equal(conditions(on.sourceNow("files"))[1], "Problem=False/None");
});

test("paused: a run under way ends; the next one has a Job without a pod until it is not paused", async () => {
  on = await startOnDouble();
  const ends: (() => void)[] = [];
  on.double.play.jobPods((job) => {
    return new Promise((resolve) => ends.push(() => resolve(success(job))));
  });
  await on.source("files");
  await on.quiet();
  await on.patch(REPLICATION_SOURCE, "files", { spec: { paused: true } });
  await on.quiet();
  assert.equal(on.double.objects.list(JOB, NAMESPACE)[0]?.spec.parallelism, 1);
  ends[0]?.();
  await on.quiet();
  assert.equal(on.sourceNow("files").status?.lastManualSync, "first");
  await on.patch(REPLICATION_SOURCE, "files", { spec: { trigger: { manual: "second" } } });
  await on.quiet();
  assert.equal(ends.length, 1);
  assert.equal(on.double.objects.list(JOB, NAMESPACE)[0]?.spec.parallelism, 0);
  await on.patch(REPLICATION_SOURCE, "files", { spec: { paused: false } });
  await on.quiet();
  assert.equal(ends.length, 2);
  ends[1]?.();
  await on.quiet();
  assert.equal(on.sourceNow("files").status?.lastManualSync, "second");
});

test("safe mode does not begin while it is paused", async () => {
  on = await startOnDouble({ settings: { defaultMode: "safe" } });
  on.double.play.jobPods((job) => success(job));
  await on.source("files", { paused: true });
  await on.quiet();
  assert.equal(planOf(on.sourceNow("files")), undefined);
  assert.equal(conditions(on.sourceNow("files"))[1], "Problem=True/Paused");
  await on.patch(REPLICATION_SOURCE, "files", { spec: { paused: false } });
  await on.quiet();
  assert.equal(on.sourceNow("files").status?.lastManualSync, "first");
});

test("a run that VolSync began is led to its end by its own Job", async () => {
  on = await startOnDouble({ start: false });
  const jobs: string[] = [];
  let end = (): void => {};
  await on.source("files");
  on.double.objects.update(REPLICATION_SOURCE, NAMESPACE, "files", (source) => {
    source.status = { lastSyncStartTime: "2026-11-26T09:58:00Z" };
  });
  jobOfVolSync(["prune", "backup"]);
  on.double.play.jobPods((job) => {
    jobs.push(job.metadata.uid ?? "");
    return new Promise((resolve) => (end = () => resolve({ exit: 0, log: "snapshot 1 saved\n" })));
  });
  on.operator();
  await on.quiet();
  assert.equal(jobs.length, 1);
  end();
  await on.quiet();
  const { status } = on.sourceNow("files");
  assert.equal(jobs.length, 1, "no Job of ours beside it");
  assert.equal(status?.lastManualSync, "first");
  assert.equal(status?.lastSyncDuration, "2m0s");
  assert.equal(status?.restic?.lastPruned, "2026-11-26T10:00:00Z");
  assert.equal(status?.latestMoverStatus?.logs, "snapshot 1 saved");
  assert.equal(on.double.objects.list(JOB, NAMESPACE).length, 0);
});

test("a run that VolSync began without a Job is made by us", async () => {
  on = await startOnDouble({ start: false });
  await on.source("files");
  on.double.objects.update(REPLICATION_SOURCE, NAMESPACE, "files", (source) => {
    source.status = { lastSyncStartTime: "2026-11-26T09:58:00Z" };
  });
  on.double.play.jobPods((job) => success(job));
  on.operator();
  await on.quiet();
  assert.equal(on.sourceNow("files").status?.lastSyncDuration, "2m0s");
});

test("who writes first is read again: no trigger is lost, and nothing runs twice", async () => {
  on = await startOnDouble();
  let runs = 0;
  on.double.play.jobPods((job) => {
    runs += 1;
    return success(job);
  });
  const match = { verb: "update", plural: "replicationsources", subresource: "status" } as const;
  on.double.fault(match, { status: 409 }, { times: 4 });
  await on.source("files");
  await on.quiet();
  assert.equal(runs, 1);
  assert.equal(on.sourceNow("files").status?.lastManualSync, "first");
});

test("after three failed attempts the copy of the volume is made anew", async () => {
  on = await startOnDouble();
  const copies: (string | undefined)[] = [];
  on.double.play.jobPods((job) => {
    const copy = on.double.objects.get(CLAIM, NAMESPACE, "volsync-files-src");
    copies.push(copy?.metadata.uid);
    return copies.length > 3 ? success(job) : failure(job, { code: "REPO_LOCKED", message: "x" });
  });
  await on.source("files", CLONE);
  await on.quiet();
  for (let i = 0; i < 4; i++) await on.after(3_600_000);
  assert.equal(copies.length, 4);
  assert.equal(new Set(copies.slice(0, 3)).size, 1);
  assert.notEqual(copies[3], copies[0]);
  assert.equal(on.double.objects.get(CLAIM, NAMESPACE, "volsync-files-src"), undefined);
});

test("a Secret that is deleted while a mover runs is told, and the run ends all the same", async () => {
  on = await startOnDouble();
  let end = (): void => {};
  on.double.play.jobPods((job) => new Promise((done) => (end = () => done(success(job)))));
  await on.source("files");
  await on.quiet();
  on.double.objects.remove(SECRET, NAMESPACE, "restic");
  end();
  await on.quiet();
  assert.equal(on.sourceNow("files").status?.lastManualSync, "first");
});

test("annotations that look like the trigger are told of once", async () => {
  on = await startOnDouble();
  on.double.play.jobPods((job) => success(job));
  await on.source("files", {}, { "volsync.backube/trigger-sync": "1" });
  await on.quiet();
  const told = on.events().filter((event) => event.startsWith("UnknownTrigger: "));
  assert.equal(told.length, 1);
  assert.match(told[0] ?? "", new RegExp(ANNOTATION.trigger));
});

test("without a trigger one run follows the other", async () => {
  on = await startOnDouble();
  const ends: (() => void)[] = [];
  on.double.play.jobPods((job) => {
    return new Promise((resolve) => ends.push(() => resolve(success(job))));
  });
  await on.source("files", { trigger: {} });
  await on.quiet();
  const times: (string | undefined)[] = [];
  for (let run = 0; run < 3; run++) {
    on.clock.advance(5000);
    ends[run]?.();
    await on.quiet();
    assert.equal(conditions(on.sourceNow("files"))[0], "Synchronizing=True/SyncInProgress");
    times.push(on.sourceNow("files").status?.lastSyncTime);
  }
  assert.equal(new Set(times).size, 3);
});

test("a resource that is deleted takes its Job along, and its metrics", async () => {
  on = await startOnDouble();
  on.double.play.jobPods(() => new Promise(() => {}));
  await on.source("files");
  await on.quiet();
  assert.match(on.metrics.text(), /obj_name="files"/);
  await on.double.api().delete(REPLICATION_SOURCE, { namespace: NAMESPACE, name: "files" });
  await on.quiet();
  assert.equal(on.double.objects.list(JOB, NAMESPACE).length, 0);
  assert.doesNotMatch(on.metrics.text(), /obj_name="files"/);
});

test("an empty source: successful as with VolSync, and said aloud", async () => {
  on = await startOnDouble();
  on.double.play.jobPods((job) => {
    const said = { code: "SOURCE_EMPTY", message: "nothing to back up" } as const;
    const end = success(job, { problems: [said] });
    const { snapshot: _, ...verdict } = JSON.parse(end.message!) as { snapshot: string };
    return { ...end, message: JSON.stringify(verdict) };
  });
  await on.source("files");
  await on.quiet();
  const source = on.sourceNow("files");
  assert.equal(source.status?.latestMoverStatus?.result, "Successful");
  assert.equal(conditions(source)[1], "Problem=True/SourceEmpty");
  assert.equal(source.status?.external?.[EXTERNAL.pointInTime], undefined);
  assert.ok(on.events().some((event) => event.startsWith("SourceEmpty: ")));
});

test("nothing is written, and nobody asked, while nothing happens", async () => {
  on = await startOnDouble();
  on.double.play.jobPods((job) => success(job));
  await on.source("files", { trigger: { schedule: "0 4 1 * *" } });
  await on.destination("back");
  await on.quiet();
  const before = on.double.calls.length;
  await on.after(3_600_000 * 3);
  const asked = on.double.calls.slice(before).filter(({ verb }) => !/list|watch/.test(verb));
  assert.deepEqual(asked, []);
  assert.equal(on.destinationNow("back").status?.lastManualSync, "restore-once");
});

test("snapshots that the cluster learns of later are watched then", async () => {
  on = await startOnDouble({ double: { snapshots: false } });
  on.double.play.jobPods((job) => success(job));
  await on.source("files", { restic: { repository: "restic", copyMethod: "Snapshot" } });
  await on.quiet();
  assert.equal(conditions(on.sourceNow("files"))[0], "Synchronizing=False/Error");
  await on.double.addCrd(SNAPSHOT_CRD);
  const before = on.notices.length;
  await on.after(61_000);
  const told = on.notices.slice(before).map(({ message }) => message);
  assert.ok(told.includes("watching 1 sources and 0 destinations"), told.join("; "));
});
