// A ReplicationSource from its creation on, on an API server in memory: when it runs, what its status says then, and that each trigger
// is answered once.

import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { JOB } from "../../src/operator/cluster/kinds.ts";
import { ANNOTATION, EXTERNAL } from "../../src/operator/names.ts";
import { REPLICATION_SOURCE } from "../../src/operator/resources/replication-source.ts";
import {
  failure,
  NAMESPACE,
  OperatorOnDouble,
  planOf,
  startOnDouble,
  success,
  type OnDoubleOptions,
} from "./operator-on-double.ts";

let on: OperatorOnDouble;
afterEach(async () => await on.close());

const { conditions } = OperatorOnDouble;

/** Starts, with movers that succeed; the result counts them. */
async function withMovers(options: OnDoubleOptions = {}): Promise<{ runs: string[] }> {
  on = await startOnDouble(options);
  const runs: string[] = [];
  on.double.play.jobPods((job) => {
    runs.push(job.metadata.name);
    return success(job);
  });
  return { runs };
}

test("a manual trigger runs once, and its status is VolSync's", async () => {
  const { runs } = await withMovers();
  await on.source("files");
  await on.quiet();
  const { status } = on.sourceNow("files");
  assert.deepEqual(runs, ["volsync-src-files"]);
  assert.equal(status?.lastManualSync, "first");
  assert.equal(status?.lastSyncTime, "2026-11-26T10:00:00Z");
  assert.equal(status?.lastSyncDuration, "0s");
  assert.equal(status?.lastSyncStartTime, undefined);
  assert.equal(status?.nextSyncTime, undefined);
  assert.deepEqual(status?.latestMoverStatus, {
    result: "Successful",
    logs: "processed 3 files, 4 KiB in 0:00\nsnapshot abababab saved\nRestic completed in 1s",
  });
  assert.deepEqual(conditions(on.sourceNow("files")), [
    "Synchronizing=False/WaitingForManual",
    "Problem=False/None",
  ]);
  assert.equal(status?.external?.[EXTERNAL.snapshot], "abababab");
  assert.equal(status?.external?.[EXTERNAL.run], undefined);
  assert.equal(on.double.objects.list(JOB, NAMESPACE).length, 0, "the Job is gone");
  await on.patch(REPLICATION_SOURCE, "files", { spec: { trigger: { manual: "second" } } });
  await on.quiet();
  assert.equal(runs.length, 2);
  assert.equal(on.sourceNow("files").status?.lastManualSync, "second");
});

test("a run under way says so; what it will do is pinned", async () => {
  on = await startOnDouble();
  on.double.play.jobPods(() => new Promise(() => {}));
  await on.source("files");
  await on.quiet();
  const source = on.sourceNow("files");
  assert.equal(source.status?.lastSyncStartTime, "2026-11-26T10:00:00Z");
  assert.deepEqual(conditions(source), ["Synchronizing=True/SyncInProgress", "Problem=False/None"]);
  assert.equal(source.status?.conditions?.[0]?.message, "Synchronization in-progress");
  const plan = planOf(source);
  assert.deepEqual(plan?.cause, { kind: "manual", tag: "first" });
  const [job] = on.double.objects.list(JOB, NAMESPACE);
  assert.equal(job?.metadata.labels?.["holdfast.dev/run"], plan?.id);
  await on.patch(REPLICATION_SOURCE, "files", { spec: { restic: { retain: { daily: 3 } } } });
  await on.quiet();
  assert.deepEqual(planOf(on.sourceNow("files")), plan);
  assert.equal(on.double.objects.list(JOB, NAMESPACE)[0]?.metadata.uid, job?.metadata.uid);
});

test("a schedule runs at once, then at its times; the slots between are not made up for", async () => {
  const { runs } = await withMovers();
  await on.source("files", { trigger: { schedule: "0 4 * * *" } });
  await on.quiet();
  assert.equal(runs.length, 1);
  const source = on.sourceNow("files");
  assert.equal(source.status?.nextSyncTime, "2026-11-27T04:00:00Z");
  assert.equal(conditions(source)[0], "Synchronizing=False/WaitingForSchedule");
  await on.after(17 * 3_600_000);
  assert.equal(runs.length, 1, "3:00");
  await on.after(3_600_000);
  assert.equal(runs.length, 2, "4:00");
  assert.equal(on.sourceNow("files").status?.nextSyncTime, "2026-11-28T04:00:00Z");
});

test("the trigger annotation asks for one run for each value, and the schedule goes on", async () => {
  const { runs } = await withMovers();
  await on.source("files", { trigger: { schedule: "0 4 * * *" } });
  await on.quiet();
  const annotate = async (value: string | null): Promise<void> => {
    const annotations = { [ANNOTATION.trigger]: value };
    await on.patch(REPLICATION_SOURCE, "files", { metadata: { annotations } });
    await on.quiet();
  };
  await annotate("1");
  assert.equal(runs.length, 2);
  await annotate(null);
  await annotate("1");
  assert.equal(runs.length, 2, "taken away and put back");
  await annotate("2");
  assert.equal(runs.length, 3);
  assert.equal(on.sourceNow("files").status?.nextSyncTime, "2026-11-27T04:00:00Z");
});

test("a failed attempt shows at once, and is made again after a pause", async () => {
  on = await startOnDouble();
  let attempts = 0;
  on.double.play.jobPods((job) => {
    attempts += 1;
    if (attempts > 1) return success(job);
    return failure(job, {
      code: "WRONG_PASSWORD",
      message: "no key of the repository opens with this password",
      hint: "Correct RESTIC_PASSWORD in the Secret.",
    });
  });
  await on.source("files");
  await on.quiet();
  const failed = on.sourceNow("files");
  assert.equal(attempts, 1);
  assert.equal(failed.status?.latestMoverStatus?.result, "Failed");
  assert.deepEqual(conditions(failed), [
    "Synchronizing=True/SyncInProgress",
    "Problem=True/WrongPassword",
  ]);
  assert.equal(failed.status?.external?.[EXTERNAL.failures], "1");
  assert.ok(on.events().some((event) => event.startsWith("WrongPassword: ")));
  await on.after(59_000);
  assert.equal(attempts, 1);
  await on.after(2_000);
  assert.equal(attempts, 2);
  const source = on.sourceNow("files");
  assert.equal(source.status?.lastManualSync, "first");
  assert.equal(source.status?.external?.[EXTERNAL.failures], undefined);
  assert.equal(conditions(source)[1], "Problem=False/None");
});

test("a Secret that is mended ends the pause", async () => {
  on = await startOnDouble();
  const attempts: string[] = [];
  on.double.play.jobPods((job) => {
    attempts.push(job.metadata.name);
    return attempts.length < 6
      ? failure(job, { code: "WRONG_PASSWORD", message: "wrong password" })
      : success(job);
  });
  await on.source("files");
  await on.quiet();
  for (let failures = 1; failures < 5; failures++) await on.after(3_600_000);
  assert.equal(attempts.length, 5);
  on.secret("restic", { RESTIC_PASSWORD: "right" });
  await on.after(61_000);
  assert.equal(attempts.length, 6, "the pause would have been 16 minutes");
  assert.equal(on.sourceNow("files").status?.latestMoverStatus?.result, "Successful");
});

test("a Secret that is missing is an error of the condition, and the run begins when it comes", async () => {
  const { runs } = await withMovers();
  await on.source("files", { restic: { repository: "other", copyMethod: "Direct" } });
  await on.quiet();
  const source = on.sourceNow("files");
  assert.deepEqual(conditions(source), ["Synchronizing=False/Error", "Problem=True/SecretInvalid"]);
  assert.match(source.status?.conditions?.[0]?.message ?? "", /there is no Secret .*other/);
  on.secret("other");
  await on.after(61_000);
  assert.equal(runs.length, 1);
  assert.deepEqual(conditions(on.sourceNow("files")), [
    "Synchronizing=False/WaitingForManual",
    "Problem=False/None",
  ]);
});

test("a copy of the volume is made for the run, and goes with it", async () => {
  const { runs } = await withMovers();
  await on.source("files", { restic: { repository: "restic", copyMethod: "Clone" } });
  await on.quiet();
  assert.equal(runs.length, 1);
  assert.equal(conditions(on.sourceNow("files"))[0], "Synchronizing=False/WaitingForManual");
});

test("an operator that is started anew goes on, and runs nothing twice", async () => {
  const { runs } = await withMovers({ start: false });
  await on.source("files");
  for (let round = 0; round < 3; round++) {
    const running = on.operator();
    await on.quiet();
    await running.stop();
  }
  assert.equal(runs.length, 1);
});

test("other movers, two methods and nothing at all are refused with VolSync's words; external is left alone", async () => {
  await withMovers();
  const { restic: _, ...none } = { sourcePVC: "data", restic: undefined };
  const create = async (name: string, spec: object): Promise<void> => {
    await on.double.api().create(REPLICATION_SOURCE, {
      apiVersion: "volsync.backube/v1alpha1",
      kind: "ReplicationSource",
      metadata: { name, namespace: NAMESPACE },
      spec: { ...none, ...spec },
    });
    await on.quiet();
  };
  await create("nothing", {});
  await create("two", { restic: { repository: "restic" }, rclone: {} });
  await create("theirs", { external: { provider: "example.com/x" } });
  const text = (name: string): string | undefined =>
    on.sourceNow(name).status?.conditions?.[0]?.message;
  assert.match(text("nothing") ?? "", /^a replication method must be specified - enabled movers/);
  assert.match(text("two") ?? "", /^only one replication method can be supplied/);
  assert.equal(on.sourceNow("theirs").status, undefined);
});

test("a resource that is made anew under the same name has nothing to do with the one before", async () => {
  on = await startOnDouble();
  const owners: (string | undefined)[] = [];
  on.double.play.jobPods((job) => {
    owners.push(job.metadata.ownerReferences?.[0]?.uid);
    return owners.length === 1 ? new Promise(() => {}) : success(job);
  });
  await on.source("files");
  await on.quiet();
  const first = on.sourceNow("files").metadata.uid;
  await on.double.api().delete(REPLICATION_SOURCE, { namespace: NAMESPACE, name: "files" });
  await on.source("files");
  await on.quiet();
  const second = on.sourceNow("files");
  assert.deepEqual(owners, [first, second.metadata.uid]);
  assert.equal(second.status?.lastManualSync, "first");
});

test("Ready, Reconciling and Stalled are there for whoever asks for them", async () => {
  await withMovers();
  await on.source("files", {}, { [ANNOTATION.readyConditions]: "true" });
  await on.quiet();
  assert.deepEqual(conditions(on.sourceNow("files")), [
    "Synchronizing=False/WaitingForManual",
    "Problem=False/None",
    "Ready=True/Synchronized",
    "Reconciling=False/Synchronized",
    "Stalled=False/NotStalled",
  ]);
});

test("a schedule that cannot be read is an error that names it, and a mended one runs", async () => {
  const { runs } = await withMovers();
  await on.source("files", { trigger: { schedule: "0 4 * * 7" } });
  await on.quiet();
  const source = on.sourceNow("files");
  assert.deepEqual(conditions(source), [
    "Synchronizing=False/Error",
    "Problem=True/ResourceInvalid",
  ]);
  assert.match(source.status?.conditions?.[0]?.message ?? "", /spec\.trigger\.schedule/);
  await on.patch(REPLICATION_SOURCE, "files", { spec: { trigger: { schedule: "0 4 * * 0" } } });
  await on.quiet();
  assert.equal(runs.length, 1);
});

test("a monthly schedule does not run before its month is over", async () => {
  const { runs } = await withMovers();
  await on.source("files", { trigger: { schedule: "0 0 1 9 *" } });
  await on.quiet();
  assert.equal(runs.length, 1);
  for (let month = 0; month < 9; month++) await on.after(30 * 86_400_000);
  assert.equal(runs.length, 1, "August");
  await on.after(10 * 86_400_000);
  assert.equal(runs.length, 2);
});
