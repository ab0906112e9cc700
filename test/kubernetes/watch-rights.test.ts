// An operator that may not read what it watches: it does nothing, and says so in its log with the right that is missing, in a metric
// and by not being ready; it begins when it has the right.

import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { JOB } from "../../src/operator/cluster/kinds.ts";
import { REPLICATION_SOURCE } from "../../src/operator/resources/replication-source.ts";
import { OPERATOR_RIGHTS, OWN_RIGHTS } from "../../src/operator/rights.ts";
import type { Rule, User } from "./api-double/rbac.ts";
import { NAMESPACE, startOnDouble, success, type OperatorOnDouble } from "./operator-on-double.ts";

const TOKEN = "of-the-operator";

const ALL: readonly Rule[] = [...OPERATOR_RIGHTS, ...OWN_RIGHTS].map((right) => {
  return { apiGroups: [right.group], resources: right.resources, verbs: right.verbs };
});

/** An operator with the rights that `rules` holds, which a test may change. */
async function withRights(t: TestContext, rules: Rule[]): Promise<OperatorOnDouble> {
  const user: User = { name: "system:serviceaccount:volsync-system:holdfast", rules };
  const admin: User = {
    name: "admin",
    rules: [{ verbs: ["*"], apiGroups: ["*"], resources: ["*"] }],
  };
  const on = await startOnDouble({
    start: false,
    double: { users: { [TOKEN]: user, admin } },
    adminToken: "admin",
  });
  t.after(() => on.close());
  on.double.play.jobPods((job) => success(job));
  on.operator({ api: on.double.api(TOKEN) });
  await on.source("files");
  return on;
}

const without = (resource: string): Rule[] =>
  ALL.map((rule) => {
    return { ...rule, resources: rule.resources.filter((each) => each !== resource) };
  });

test("with the rights of the list alone a backup is made", async (t) => {
  const on = await withRights(t, [...ALL]);
  await on.quiet();
  assert.equal(on.sourceNow("files").status?.lastManualSync, "first");
  assert.deepEqual([...on.metrics.refusals.keys()], []);
});

for (const resource of [
  "jobs",
  "persistentvolumeclaims",
  "replicationsources",
  "volumesnapshots",
]) {
  test(`without the right to list ${resource}: it waits, says so, and goes on when it may`, async (t) => {
    const rules = without(resource);
    const on = await withRights(t, rules);
    await on.quiet();
    // A list that is refused is tried again and again.
    for (let i = 0; i < 3; i++) await on.after(31_000);
    assert.deepEqual(on.double.objects.list(JOB, NAMESPACE), []);
    assert.deepEqual([...on.metrics.refusals.keys()], [resource]);
    assert.match(on.metrics.text(), new RegExp(`holdfast_watch_refused{what="${resource}"} 1\n`));
    const said = on.notices.map(({ message }) => message);
    const news = said.filter((each) => each.startsWith(`no right to read ${resource}`));
    assert.equal(news.length, 1, "said once");
    const fix = new RegExp(
      `watch: cannot list .*Grant the right to list ${resource}[.a-z0-9]* in all`,
    );
    assert.ok(
      said.some((each) => fix.test(each)),
      said.join("\n"),
    );
    rules.push(...ALL);
    await on.after(31_000);
    assert.equal(on.sourceNow("files").status?.lastManualSync, "first");
    assert.deepEqual([...on.metrics.refusals.keys()], []);
    assert.doesNotMatch(on.metrics.text(), /holdfast_watch_refused\{/);
    assert.ok(on.notices.some(({ message }) => message === `${resource}: may be read again`));
  });
}

test("a right to watch that is taken away later shows, too", async (t) => {
  const rules = [...ALL];
  const on = await withRights(t, rules);
  await on.quiet();
  const pods = rules.findIndex(
    ({ resources, verbs }) => resources.includes("pods") && verbs.includes("watch"),
  );
  const [right] = rules.splice(pods, 1, { ...rules[pods]!, verbs: ["get", "list"] });
  on.double.cutWatches("pods");
  for (let i = 0; i < 6; i++) await on.after(31_000);
  assert.deepEqual([...on.metrics.refusals.keys()], ["pods"]);
  rules[pods] = right!;
  for (let i = 0; i < 2; i++) await on.after(31_000);
  // A pod that comes tells that the watch is at work.
  await on.patch(REPLICATION_SOURCE, "files", { spec: { trigger: { manual: "second" } } });
  await on.quiet();
  assert.equal(on.sourceNow("files").status?.lastManualSync, "second");
  assert.deepEqual([...on.metrics.refusals.keys()], []);
});

test("without the lease nobody acts, and that shows", async (t) => {
  const rules = without("leases");
  const on = await withRights(t, rules);
  on.operator({ api: on.double.api(TOKEN), leaderElection: true });
  await on.quiet();
  assert.ok(on.metrics.refusals.has("leases"));
  assert.ok(
    on.notices.some(({ message }) => /^lease: .*Grant the right to get leases/.test(message)),
  );
  rules.push(...ALL);
  await on.after(31_000);
  assert.ok(!on.metrics.refusals.has("leases"));
});
