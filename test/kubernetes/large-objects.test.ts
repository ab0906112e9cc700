// Who makes objects as large as an API server takes does not fill the operator's memory, nor keep it from reading what there is: lists
// come in smaller pieces, and of a resource that is too large no more is kept than what it takes to say so.

import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { CONFIG_MAP, JOB } from "../../src/operator/cluster/kinds.ts";
import { REPLICATION_SOURCE } from "../../src/operator/resources/replication-source.ts";
import { slimResource } from "../../src/operator/resources/slim-resource.ts";
import { startApiDouble } from "./api-double.ts";
import { OperatorOnDouble, startOnDouble, success } from "./operator-on-double.ts";

const LARGE = 300_000;

test("objects that do not fit into one answer are listed in several, all of them", async (t: TestContext) => {
  const double = await startApiDouble();
  t.after(() => double.close());
  const names = Array.from({ length: 60 }, (_, i) => `large-${String(i).padStart(2, "0")}`);
  for (const name of names) {
    double.objects.put(CONFIG_MAP, {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name, namespace: "default" },
      data: { content: "x".repeat(LARGE) },
    });
  }
  const { items } = await double.api().list(CONFIG_MAP, {
    namespace: "default",
    slim: ({ apiVersion, kind, metadata }) => ({ apiVersion, kind, metadata }),
  });
  const found = items
    .map(({ metadata }) => metadata.name)
    .filter((name) => name.startsWith("large"));
  assert.deepEqual(found, names);
  assert.ok(double.countCalls({ verb: "list", kind: "ConfigMap" }) > 2);
});

test("a resource that is too large says so, runs nothing, and is as before when it is mended", async (t) => {
  const on = await startOnDouble();
  t.after(() => on.close());
  on.double.play.jobPods((job) => success(job));
  await on.source("files");
  await on.quiet();
  const done = on.sourceNow("files").status;
  assert.equal(done?.lastManualSync, "first");
  const labels = Object.fromEntries(
    Array.from({ length: 4000 }, (_, i) => [`label-${i}`, "x".repeat(60)]),
  );
  const restic = (moverPodLabels: object | null) => ({ restic: { moverPodLabels } });
  const trigger = { manual: "second" };
  await on.patch(REPLICATION_SOURCE, "files", { spec: { ...restic(labels), trigger } });
  await on.quiet();
  await on.after(120_000);
  const { status, spec, metadata } = on.sourceNow("files");
  const [, problem] = status?.conditions ?? [];
  assert.equal(problem?.reason, "ResourceInvalid");
  assert.match(problem?.message ?? "", /have \d{3} KiB, and more than 128 KiB are not read/);
  assert.deepEqual(on.double.objects.list(JOB), []);
  // A status is written without what was not kept, and takes nothing away.
  assert.equal(Object.keys(spec.restic?.moverPodLabels ?? {}).length, 4000);
  assert.equal(status?.lastSyncTime, done?.lastSyncTime);
  assert.equal(metadata.name, "files");
  await on.patch(REPLICATION_SOURCE, "files", { spec: restic(null) });
  await on.quiet();
  assert.equal(on.sourceNow("files").status?.lastManualSync, "second");
  assert.equal(OperatorOnDouble.conditions(on.sourceNow("files"))[1], "Problem=False/None");
});

test("what is not the operator's is no part of a resource's size, and stays in the cluster", async (t) => {
  const on = await startOnDouble();
  t.after(() => on.close());
  on.double.play.jobPods((job) => success(job));
  await on.source("files");
  const annotations = { "example.org/large": "x".repeat(200_000) };
  await on.patch(REPLICATION_SOURCE, "files", { metadata: { annotations } });
  await on.quiet();
  const source = on.sourceNow("files");
  assert.equal(source.status?.lastManualSync, "first");
  assert.equal(source.metadata.annotations?.["example.org/large"]?.length, 200_000);
  assert.ok(JSON.stringify(slimResource(source)).length < 5000);
});
