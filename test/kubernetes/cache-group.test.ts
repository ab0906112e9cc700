// The cache of a source whose mover has no fsGroup: once a mover said that it could not write there, a pod of the cache alone gives it to a
// group, and the movers after that are in it. The data is never given to a group for it, and nothing waits for it.

import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { CLAIM, POD, STORAGE_CLASS } from "../../src/operator/cluster/kinds.ts";
import type { Job, Pod } from "../../src/operator/cluster/kube-object.ts";
import { REPLICATION_SOURCE } from "../../src/operator/resources/replication-source.ts";
import type { ApiCall } from "./api-double/faults.ts";
import { NAMESPACE, OperatorOnDouble, startOnDouble, success } from "./operator-on-double.ts";

const NAME = "volsync-src-files-cache";
const GROUP = 65_532;
let on: OperatorOnDouble;
let jobs: Job[];
afterEach(async () => await on.close());

async function start(spec: object = {}): Promise<void> {
  on = await startOnDouble();
  jobs = [];
  on.double.objects.put(STORAGE_CLASS, {
    apiVersion: "storage.k8s.io/v1",
    kind: "StorageClass",
    metadata: {
      name: "ceph",
      annotations: { "storageclass.kubernetes.io/is-default-class": "true" },
    },
    provisioner: "played.csi.test",
  });
  on.double.play.jobPods((job) => {
    jobs.push(job);
    return success(job, { uncached: groupsOf(job) === undefined });
  });
  await on.source("files", spec);
  await on.quiet();
}

async function again(tag: string): Promise<void> {
  await on.patch(REPLICATION_SOURCE, "files", { spec: { trigger: { manual: tag } } });
  await on.quiet();
  assert.equal(on.sourceNow("files").status?.lastManualSync, tag);
}

function groupsOf(job: Job | undefined): number[] | undefined {
  return job?.spec.template.spec.securityContext?.supplementalGroups;
}

function cachePod(): Pod | undefined {
  return on.double.objects.get(POD, NAMESPACE, NAME);
}

function end(phase: "Succeeded" | "Failed"): void {
  on.double.objects.update(POD, NAMESPACE, NAME, (pod) => {
    pod.status = { phase };
  });
}

function groupOfCache(): string | undefined {
  const { metadata } = on.double.objects.get(CLAIM, NAMESPACE, NAME)!;
  return metadata.annotations?.["holdfast.dev/cache-group"];
}

test("the next mover is in the group of the cache, and its data in none", async () => {
  await start();
  const { spec } = cachePod()!;
  assert.equal(spec.securityContext?.fsGroup, GROUP);
  assert.deepEqual(spec.volumes, [{ name: "cache", persistentVolumeClaim: { claimName: NAME } }]);
  end("Succeeded");
  await on.quiet();
  // It would keep the claim.
  assert.equal(cachePod(), undefined);
  assert.equal(groupOfCache(), String(GROUP));
  await again("second");
  assert.deepEqual(groupsOf(jobs[1]), [GROUP]);
  for (const job of jobs) assert.equal(job.spec.template.spec.securityContext?.fsGroup, undefined);
  await again("third");
  assert.deepEqual(groupsOf(jobs[2]), [GROUP]);
  assert.equal(cachePod(), undefined);
});

test("a pod that has not ended, or failed, is in nobody's way, and comes once more", async () => {
  await start();
  const first = cachePod()?.metadata.uid;
  await again("second");
  assert.equal(groupsOf(jobs[1]), undefined);
  const second = cachePod()?.metadata.uid;
  assert.ok(second !== undefined && second !== first);
  end("Failed");
  await on.quiet();
  assert.equal(cachePod(), undefined);
  await again("third");
  assert.equal(groupsOf(jobs[2]), undefined);
  assert.equal(groupOfCache(), undefined);
});

test("where the pod may not be made, backups go on without", async () => {
  await start();
  on.double.objects.remove(POD, NAMESPACE, NAME);
  const isIt = ({ verb, body }: ApiCall): boolean =>
    verb === "create" && (body as Pod | undefined)?.metadata.name === NAME;
  on.double.deny(isIt, "no such pods here");
  await again("second");
  assert.equal(cachePod(), undefined);
  await again("third");
  assert.equal(OperatorOnDouble.conditions(on.sourceNow("files"))[1], "Problem=False/None");
});

test("who says how movers are gets movers as he says", async () => {
  await start({
    restic: {
      repository: "restic",
      copyMethod: "Direct",
      moverSecurityContext: { runAsUser: 5 },
    },
  });
  assert.equal(jobs.length, 1);
  assert.equal(cachePod(), undefined);
});
