// What the status and the events of a resource say of its volumes while a run waits for them, with the whole operator at work.

import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { CLAIM, JOB, POD, VOLUME_SNAPSHOT } from "../../src/operator/cluster/kinds.ts";
import { ANNOTATION } from "../../src/operator/names.ts";
import {
  failure,
  NAMESPACE,
  startOnDouble,
  success,
  type OperatorOnDouble,
} from "./operator-on-double.ts";

let on: OperatorOnDouble;
afterEach(async () => await on.close());

const SNAPSHOT = { repository: "restic", copyMethod: "Snapshot" as const };

function problem(): [string | undefined, string | undefined] {
  const found = on.sourceNow("files").status?.conditions?.find(({ type }) => type === "Problem");
  return [found?.reason, found?.message];
}

test("a copy trigger that is late: a failed run that goes on, and succeeds when it comes", async () => {
  on = await startOnDouble();
  on.double.play.jobPods((job) => success(job));
  on.double.objects.update(CLAIM, NAMESPACE, "data", ({ metadata }) => {
    metadata.annotations = { [ANNOTATION.useCopyTrigger]: "" };
  });
  await on.source("files", { restic: SNAPSHOT });
  await on.quiet();
  assert.equal(on.sourceNow("files").status?.latestMoverStatus, undefined);
  await on.after(601_000);
  assert.equal(on.sourceNow("files").status?.latestMoverStatus?.result, "Failed");
  assert.equal(problem()[0], "CopyTriggerLate");
  assert.match(problem()[1] ?? "", /volsync\.backube\/copy-trigger on PersistentVolumeClaim data/);
  assert.equal(on.double.objects.list(VOLUME_SNAPSHOT, NAMESPACE).length, 0);
  await on.patch(CLAIM, "data", { metadata: { annotations: { [ANNOTATION.copyTrigger]: "now" } } });
  await on.quiet();
  const { status } = on.sourceNow("files");
  assert.equal(status?.lastManualSync, "first");
  assert.equal(status?.latestMoverStatus?.result, "Successful");
  assert.equal(problem()[0], "None");
  assert.deepEqual(on.double.objects.list(VOLUME_SNAPSHOT, NAMESPACE), []);
  const claim = on.double.objects.get(CLAIM, NAMESPACE, "data");
  assert.equal(claim?.metadata.annotations?.[ANNOTATION.latestCopyStatus], "Completed");
});

test("failed attempts keep a copy that an application gave its word for", async () => {
  on = await startOnDouble();
  let attempts = 0;
  const uids = new Set<string | undefined>();
  on.double.play.jobPods((job) => {
    attempts += 1;
    uids.add(on.double.objects.get(VOLUME_SNAPSHOT, NAMESPACE, "volsync-files-src")?.metadata.uid);
    return attempts < 6
      ? failure(job, { code: "REPO_LOCKED", message: "locked", retryable: false })
      : success(job);
  });
  on.double.objects.update(CLAIM, NAMESPACE, "data", ({ metadata }) => {
    metadata.annotations = { [ANNOTATION.useCopyTrigger]: "", [ANNOTATION.copyTrigger]: "one" };
  });
  await on.source("files", { restic: SNAPSHOT });
  await on.quiet();
  for (let wait = 0; wait < 8; wait++) await on.after(3_600_000);
  assert.equal(on.sourceNow("files").status?.lastManualSync, "first");
  assert.equal(attempts, 6);
  assert.equal(uids.size, 1);
});

test("a clone that comes with the mover's pod: the application is told while the mover is at work", async () => {
  on = await startOnDouble();
  on.double.play.jobPods(() => new Promise(() => {}));
  on.double.objects.update(CLAIM, NAMESPACE, "data", ({ metadata }) => {
    metadata.annotations = { [ANNOTATION.useCopyTrigger]: "", [ANNOTATION.copyTrigger]: "one" };
  });
  await on.source("files", { restic: { repository: "restic", copyMethod: "Clone" } });
  await on.quiet();
  assert.equal(on.double.objects.list(JOB, NAMESPACE).length, 1);
  const claim = on.double.objects.get(CLAIM, NAMESPACE, "data");
  assert.equal(claim?.metadata.annotations?.[ANNOTATION.latestCopyStatus], "Completed");
  assert.equal(claim?.metadata.annotations?.[ANNOTATION.latestCopyTrigger], "one");
});

/** A pod of the application, which mounts the claim. */
function pod(name: string, spec: object, phase: "Running" | "Succeeded" = "Running"): void {
  on.double.objects.put(POD, {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: NAMESPACE },
    spec: {
      nodeName: "node-3",
      volumes: [{ name: "files", persistentVolumeClaim: { claimName: "data" } }],
      containers: [{ name: "odoo", volumeMounts: [{ name: "files", mountPath: "/files" }] }],
      ...spec,
    },
    status: { phase },
  });
}

test("a volume that one pod may have, and has: told in the status, and gone on with at its end", async () => {
  on = await startOnDouble({ start: false });
  on.double.play.jobPods((job) => success(job));
  on.double.objects.update(CLAIM, NAMESPACE, "data", ({ spec }) => {
    spec.accessModes = ["ReadWriteOncePod"];
  });
  pod("odoo-0", {});
  on.operator();
  await on.source("files");
  await on.quiet();
  assert.equal(problem()[0], "VolumeInUse");
  assert.match(problem()[1] ?? "", /pod odoo-0 uses it/);
  assert.deepEqual(on.double.objects.list(JOB, NAMESPACE), []);
  pod("odoo-0", {}, "Succeeded");
  await on.quiet();
  assert.equal(on.sourceNow("files").status?.lastManualSync, "first");
  assert.equal(problem()[0], "None");
});

test("an application that runs as root where movers may not: told with the fix, and the run is made", async () => {
  on = await startOnDouble({ start: false });
  on.double.play.jobPods(() => new Promise(() => {}));
  const labels = { "pod-security.kubernetes.io/enforce": "restricted" };
  on.double.addNamespace(NAMESPACE, { labels });
  pod("odoo-0", { securityContext: { runAsUser: 0 } });
  on.operator();
  await on.source("files");
  await on.quiet();
  const [job] = on.double.objects.list(JOB, NAMESPACE);
  assert.deepEqual(job?.spec.template.spec.nodeSelector, { "kubernetes.io/hostname": "node-3" });
  assert.equal(job?.spec.template.spec.securityContext?.runAsUser, undefined);
  assert.equal(job?.spec.template.spec.securityContext?.runAsNonRoot, true);
  const told = on.events().filter((each) => each.startsWith("ApplicationRunsAsRoot"));
  assert.equal(told.length, 1);
  assert.match(told[0] ?? "", /kubectl label namespace/);
});
