// A mover that finds that the files are another's than the operator guessed: it is started again as their owner, at once and once in a
// run, whichever process looks; and what a pod says of an owner never makes anybody root who may not be.

import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { POD, STORAGE_CLASS } from "../../src/operator/cluster/kinds.ts";
import type { Job } from "../../src/operator/cluster/kube-object.ts";
import type { MoverVerdict } from "../../src/operator/mover-verdict.ts";
import { EXTERNAL } from "../../src/operator/names.ts";
import {
  REPLICATION_DESTINATION,
  type ReplicationDestination,
} from "../../src/operator/resources/replication-destination.ts";
import { REPLICATION_SOURCE } from "../../src/operator/resources/replication-source.ts";
import {
  failure,
  NAMESPACE,
  OperatorOnDouble,
  startOnDouble,
  success,
} from "./operator-on-double.ts";
import type { PodEnd } from "./api-double/played-controllers.ts";

let on: OperatorOnDouble;
afterEach(async () => await on.close());

const { conditions } = OperatorOnDouble;
const FOUND = { code: "OTHER_OWNER", message: "they are of 101:102", retryable: false } as const;
const OWNER = { uid: 101, gid: 102 };

/** Ends a mover that does not know whose the files are with `owner`, and any other well. */
function mover(owner: MoverVerdict["owner"] | object): (job: Job) => PodEnd {
  return (job) => {
    const { securityContext } = job.spec.template.spec;
    const isKnown = variable(job, "HOLDFAST_IDENTITY") === "owner";
    if (isKnown || securityContext?.runAsUser === OWNER.uid) return success(job);
    return failure(job, FOUND, { owner: owner as MoverVerdict["owner"] });
  };
}

function variable(job: Job, name: string): string | undefined {
  return job.spec.template.spec.containers[0]?.env?.find((each) => each.name === name)?.value;
}

/** Every Job that is made, in order. */
function keepJobs(script: (job: Job) => PodEnd | Promise<PodEnd>): Job[] {
  const jobs: Job[] = [];
  on.double.play.jobPods((job) => {
    jobs.push(job);
    return script(job);
  });
  return jobs;
}

function enforce(level: string): void {
  const labels = { "pod-security.kubernetes.io/enforce": level };
  on.double.addNamespace(NAMESPACE, { labels });
}

test("a restore without a workload: a second mover at once, as the owner of the files, and no failure", async () => {
  on = await startOnDouble({ start: false });
  enforce("restricted");
  const jobs = keepJobs(mover(OWNER));
  on.operator();
  await on.destination("back");
  await on.quiet();
  assert.deepEqual(
    jobs.map((job) => variable(job, "HOLDFAST_IDENTITY")),
    ["unknown", "owner"],
  );
  assert.equal(jobs[0]?.spec.template.spec.securityContext?.runAsUser, undefined);
  assert.equal(variable(jobs[0]!, "HOLDFAST_ROOT_ALLOWED"), undefined);
  assert.deepEqual(jobs[1]?.spec.template.spec.securityContext, {
    runAsNonRoot: true,
    runAsUser: 101,
    runAsGroup: 102,
    fsGroup: 102,
    fsGroupChangePolicy: "OnRootMismatch",
    seccompProfile: { type: "RuntimeDefault" },
  });
  const { status } = on.destinationNow("back");
  assert.equal(status?.lastManualSync, "restore-once");
  assert.equal(status?.latestMoverStatus?.result, "Successful");
  assert.equal(status?.external?.[EXTERNAL.failures], undefined);
  assert.equal(conditions(on.destinationNow("back"))[1], "Problem=False/None");
  assert.ok(on.events().some((event) => event.startsWith("OwnerFound: ")));
});

test("the next run begins as that owner and looks again; a source's volume keeps its groups", async () => {
  on = await startOnDouble();
  const jobs = keepJobs(mover(OWNER));
  await on.source("files");
  await on.quiet();
  on.double.play.jobPods((job) => {
    jobs.push(job);
    return success(job);
  });
  await on.patch(REPLICATION_SOURCE, "files", { spec: { trigger: { manual: "second" } } });
  await on.quiet();
  const seen = jobs.map((job) => [
    variable(job, "HOLDFAST_IDENTITY"),
    job.spec.template.spec.securityContext?.runAsUser,
    job.spec.template.spec.securityContext?.fsGroup,
  ]);
  const [first, second, third] = seen;
  assert.deepEqual(first, ["unknown", undefined, undefined]);
  assert.deepEqual(second, ["owner", 101, undefined]);
  assert.deepEqual(third, ["unknown", 101, undefined]);
  assert.equal(on.sourceNow("files").status?.lastManualSync, "second");
});

test("once in a run: a mover that says it again has failed, and waits as any other", async () => {
  on = await startOnDouble();
  const jobs = keepJobs((job) => failure(job, FOUND, { owner: OWNER }));
  await on.destination("back");
  await on.quiet();
  assert.equal(jobs.length, 2);
  const { status } = on.destinationNow("back");
  assert.equal(status?.external?.[EXTERNAL.failures], "1");
  assert.equal(conditions(on.destinationNow("back"))[1], "Problem=True/OtherOwner");
  await on.after(61_000);
  assert.equal(jobs.length, 3);
  assert.equal(variable(jobs[2]!, "HOLDFAST_IDENTITY"), "owner");
});

test("an operator that starts in between does the same", async () => {
  on = await startOnDouble({ start: false });
  const jobs = keepJobs(mover(OWNER));
  // Nothing comes after the status that says whose the files are: the process that wrote it is gone.
  const fault = on.double.fault(
    ({ plural, verb }) => {
      const isIt = plural === "jobs" && verb === "delete";
      if (isIt) void operator.stop();
      return isIt;
    },
    { status: 503 },
  );
  const operator = on.operator();
  await on.destination("back");
  await on.quiet();
  assert.equal(jobs.length, 1);
  assert.match(on.destinationNow("back").status?.external?.[EXTERNAL.owner] ?? "", / 101:102$/);
  assert.ok(fault.hits > 0);
  fault.remove();
  on.operator();
  await on.quiet();
  assert.equal(jobs.length, 2);
  assert.equal(jobs[1]?.spec.template.spec.securityContext?.runAsUser, 101);
  assert.equal(on.destinationNow("back").status?.lastManualSync, "restore-once");
});

const ROOT = { uid: 0, gid: 0 };
for (const [level, expected] of [
  ["restricted", [undefined]],
  ["baseline", [undefined, 0]],
] as const) {
  test(`files of root: in a namespace that enforces ${level}`, async () => {
    on = await startOnDouble({ start: false });
    enforce(level);
    const jobs = keepJobs(mover(ROOT));
    on.operator();
    await on.destination("back");
    await on.quiet();
    const users = jobs.map((job) => job.spec.template.spec.securityContext?.runAsUser);
    assert.deepEqual(users, expected);
    for (const { spec } of jobs) {
      const [container] = spec.template.spec.containers;
      assert.deepEqual(container?.securityContext?.capabilities, { drop: ["ALL"] });
    }
    const done = on.destinationNow("back").status?.lastManualSync;
    assert.equal(done, level === "baseline" ? "restore-once" : undefined);
  });
}

test("an owner that is none, and one in the status of a namespace that turned restricted, change nobody", async () => {
  on = await startOnDouble({ start: false });
  enforce("restricted");
  const forged = [
    { uid: -1, gid: 5 },
    { uid: 1.5, gid: 5 },
    { uid: "7", gid: 5 },
    { uid: 2 ** 31, gid: 5 },
    { uid: 7 },
  ];
  const jobs = keepJobs((job) => failure(job, FOUND, { owner: forged[jobs.length - 1] as never }));
  on.operator();
  await on.destination("back");
  await on.quiet();
  for (let i = 1; i < forged.length; i++) await on.after(3_600_000);
  await on.patch(REPLICATION_DESTINATION, "back", {
    spec: { trigger: { manual: "again" } },
  });
  on.double.objects.update(REPLICATION_DESTINATION, NAMESPACE, "back", (found) => {
    const { external } = (found as ReplicationDestination).status!;
    external![EXTERNAL.owner] = "abcdef0123 0:0";
  });
  await on.after(3_600_000);
  assert.ok(jobs.length > forged.length);
  for (const job of jobs) {
    assert.equal(job.spec.template.spec.securityContext?.runAsUser, undefined);
    assert.equal(variable(job, "HOLDFAST_IDENTITY"), "unknown");
  }
});

/** A pod of an application that mounts the claim `data` as 101:102. */
function application(): void {
  const securityContext = { runAsUser: 101, runAsGroup: 102 };
  const volumes = [{ name: "d", persistentVolumeClaim: { claimName: "data" } }];
  const volumeMounts = [{ name: "d", mountPath: "/d" }];
  on.double.objects.put(POD, {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "odoo", namespace: NAMESPACE },
    spec: { securityContext, volumes, containers: [{ name: "odoo", volumeMounts }] },
    status: { phase: "Running" },
  });
}

const usersOf = (jobs: readonly Job[]): unknown[] =>
  jobs.map((job) => [
    variable(job, "HOLDFAST_IDENTITY"),
    job.spec.template.spec.securityContext?.runAsUser,
  ]);

test("nobody mounts a volume that a restore filled: its first backup is one Job, as the owner that was found then", async () => {
  on = await startOnDouble();
  const jobs = keepJobs(mover(OWNER));
  await on.destination("back", {
    restic: { repository: "restic", destinationPVC: "data", copyMethod: "Direct" },
  });
  await on.quiet();
  await on.source("files");
  await on.quiet();
  assert.deepEqual(usersOf(jobs).slice(2), [["unknown", 101]]);
  // The volume may be live.
  assert.equal(jobs[2]?.spec.template.spec.securityContext?.fsGroup, undefined);
  assert.equal(on.sourceNow("files").status?.lastManualSync, "first");
});

test("the application that was backed up is gone: a restore from its repository is one Job, as its user", async () => {
  on = await startOnDouble();
  application();
  const jobs = keepJobs((job) => success(job));
  await on.source("files");
  await on.quiet();
  on.double.objects.remove(POD, NAMESPACE, "odoo");
  on.double.objects.put(STORAGE_CLASS, {
    apiVersion: "storage.k8s.io/v1",
    kind: "StorageClass",
    metadata: { name: "ceph" },
    provisioner: "played.csi.test",
  });
  const place = { capacity: "1Gi", storageClassName: "ceph" };
  const restic = { repository: "restic", copyMethod: "Direct", ...place } as const;
  await on.destination("back", { restic: { ...restic, accessModes: ["ReadWriteOnce"] } });
  await on.quiet();
  await on.patch(REPLICATION_SOURCE, "files", { spec: { trigger: { manual: "second" } } });
  await on.quiet();
  assert.deepEqual(usersOf(jobs), [
    ["application", 101],
    ["unknown", 101],
    ["unknown", 101],
  ]);
});

test("where others know different owners, or only of another volume than the one to restore into, none is taken", async () => {
  on = await startOnDouble();
  application();
  const jobs = keepJobs((job) => success(job));
  await on.source("files");
  on.claim("other");
  await on.quiet();
  const restic = { repository: "restic", copyMethod: "Direct" } as const;
  await on.destination("back", { restic: { ...restic, destinationPVC: "other" } });
  await on.quiet();
  assert.deepEqual(usersOf(jobs)[1], ["unknown", undefined]);
  const source = structuredClone(on.sourceNow("files"));
  source.status!.external![EXTERNAL.owner] = "abcdef0123 7:7";
  source.metadata = { name: "twin", namespace: NAMESPACE };
  source.spec = { ...source.spec, paused: true, sourcePVC: "data" };
  on.double.objects.put(REPLICATION_SOURCE, source);
  on.claim("third");
  await on.source("third", { sourcePVC: "third" });
  await on.quiet();
  assert.deepEqual(usersOf(jobs)[2], ["unknown", undefined]);
});
