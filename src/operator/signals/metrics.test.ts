// The metrics, read back by a strict reader: VolSync's three without their faults, and ours.

import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeClock } from "../../../test/fake-clock.ts";
import { readExposition, valueOf, type ReadSample } from "../../../test/kubernetes/exposition.ts";
import { ObjectStore } from "../cluster/object-store.ts";
import { EXTERNAL } from "../names.ts";
import { OperatorMetrics } from "./metrics.ts";
import type { SignalledResource } from "./resource-record.ts";
import { runFactsText } from "./run-facts.ts";

const HOUR = 3_600_000;
const BEGIN = Date.UTC(2026, 0, 2, 3, 0, 0);

function at(milliseconds: number): string {
  return new Date(milliseconds).toISOString().replace(/\.\d+/, "");
}

function source(
  spec: SignalledResource["spec"] = {},
  status?: SignalledResource["status"],
  name = "files",
): SignalledResource {
  return {
    apiVersion: "volsync.backube/v1alpha1",
    kind: "ReplicationSource",
    metadata: { name, namespace: "odoo", uid: `uid-${name}` },
    spec: { restic: {}, ...spec },
    ...(status ? { status } : {}),
  };
}

function begin(): { clock: FakeClock; metrics: OperatorMetrics; read: () => ReadSample[] } {
  const clock = new FakeClock(BEGIN);
  const metrics = new OperatorMetrics({ clock, version: "1.2.3" });
  return { clock, metrics, read: () => readExposition(metrics.text()) };
}

test("out of sync, and back, by what the status says and the clock", async () => {
  const { clock, metrics, read } = begin();
  const spec = { trigger: { schedule: "0 * * * *" } };
  metrics.observeSource(source(spec));
  assert.equal(valueOf(read(), "volsync_volume_out_of_sync"), 1, "never synchronized");
  metrics.observeSource(source(spec, { lastSyncTime: at(BEGIN + 60_000) }));
  assert.equal(valueOf(read(), "volsync_volume_out_of_sync"), 0);
  await clock.advance(1.9 * HOUR);
  assert.equal(valueOf(read(), "volsync_volume_out_of_sync"), 0, "the slot of four is under way");
  await clock.advance(0.1 * HOUR);
  assert.equal(valueOf(read(), "volsync_volume_out_of_sync"), 1, "that of five has come");
  assert.equal(valueOf(read(), "volsync_missed_intervals_total"), 1);
  await clock.advance(2 * HOUR);
  assert.equal(valueOf(read(), "volsync_missed_intervals_total"), 3);
  metrics.observeSource(source(spec, { lastSyncTime: at(clock.now()) }));
  assert.equal(valueOf(read(), "volsync_volume_out_of_sync"), 0, "the alert clears");
  assert.equal(valueOf(read(), "volsync_missed_intervals_total"), 3, "a counter does not go back");
});

test("an operator that begins anew says the same as the one before", async () => {
  const { clock, metrics, read } = begin();
  const status = { lastSyncTime: at(BEGIN), lastSyncDuration: "1m33.549925697s" };
  const late = source({ trigger: { schedule: "0 * * * *" } }, status);
  metrics.observeSource(late);
  await clock.advance(4 * HOUR);
  const second = new OperatorMetrics({ clock, version: "1.2.3" });
  second.observeSource(late);
  assert.equal(second.text(), metrics.text());
  assert.equal(valueOf(read(), "volsync_missed_intervals_total"), 3);
  const p99 = valueOf(read(), "volsync_sync_duration_seconds", { quantile: "0.99" });
  assert.ok(p99 !== undefined && Math.abs(p99 - 93.549925697) < 1e-6);
});

test("a destination that restores when asked is never out of sync", () => {
  const { metrics, read } = begin();
  metrics.observeDestination(source({ trigger: { manual: "restore-once" } }));
  assert.equal(valueOf(read(), "volsync_volume_out_of_sync"), undefined);
  metrics.observeDestination(source({ trigger: { schedule: "0 4 * * *" } }));
  assert.equal(valueOf(read(), "volsync_volume_out_of_sync", { role: "destination" }), 1);
});

test("a schedule that cannot be understood, and one of every minute a year ago, do no harm", () => {
  const { metrics, read } = begin();
  const old = { lastSyncTime: at(BEGIN - 400 * 24 * HOUR) };
  metrics.observeSource(source({ trigger: { schedule: "garbage" } }, old, "a"));
  metrics.observeSource(source({ trigger: { schedule: "* * * * *" } }, old, "b"));
  assert.equal(valueOf(read(), "volsync_volume_out_of_sync", { obj_name: "b" }), 1);
  assert.ok(valueOf(read(), "volsync_missed_intervals_total", { obj_name: "b" })! >= 1_000);
});

test("counters count what changed in the status: once, however often it is seen", () => {
  const { metrics, read } = begin();
  const problem = {
    type: "Problem",
    status: "True",
    reason: "WrongPassword",
    message: "m",
    lastTransitionTime: at(BEGIN),
  } as const;
  metrics.observeSource(source());
  assert.equal(valueOf(read(), "holdfast_sync_success_total"), 0);
  const failed = source({}, { external: { [EXTERNAL.failures]: "1" }, conditions: [problem] });
  metrics.observeSource(failed);
  metrics.observeSource(failed);
  const reason = "WrongPassword";
  assert.equal(valueOf(read(), "holdfast_sync_failure_total", { reason }), 1);
  assert.equal(valueOf(read(), "holdfast_problem", { reason }), 1);
  const good = source({}, { lastSyncTime: at(BEGIN + HOUR), external: {} });
  metrics.observeSource(good);
  metrics.observeSource(good);
  assert.equal(valueOf(read(), "holdfast_sync_success_total"), 1);
  assert.equal(valueOf(read(), "holdfast_sync_failure_total", { reason }), 1);
  assert.equal(valueOf(read(), "holdfast_problem"), undefined);
});

test("the numbers of the last run, and the age of the data rather than of the job", () => {
  const { metrics, read } = begin();
  const facts = runFactsText({
    v: 1,
    result: "ok",
    run: "r",
    files: 12,
    bytes: 3456,
    added: 7,
    snapshots: 9,
    locks: [{ id: "0".repeat(64), hostname: "h", exclusive: false, time: at(BEGIN) }],
  });
  metrics.observeSource(
    source(
      {},
      {
        lastSyncTime: at(BEGIN),
        external: { [EXTERNAL.facts]: facts, [EXTERNAL.pointInTime]: at(BEGIN - 72 * HOUR) },
      },
    ),
  );
  const samples = read();
  const numbers = ["snapshot_files", "snapshot_bytes", "added_bytes", "repository_snapshots"];
  const values = numbers.map((name) => valueOf(samples, `holdfast_${name}`));
  assert.deepEqual(values, [12, 3456, 7, 9]);
  assert.equal(valueOf(samples, "holdfast_repository_locks"), 1);
  const point = valueOf(samples, "holdfast_recovery_point_timestamp_seconds");
  assert.equal(point, (BEGIN - 72 * HOUR) / 1000);
});

test("series follow a store: a resource that is gone has none, and its successor begins anew", () => {
  const { metrics, read } = begin();
  const store = new ObjectStore<SignalledResource>({ indexes: undefined, onError: assert.ifError });
  store.replaceAll([source()]);
  const stop = metrics.follow("source", store);
  store.set(source({}, { lastSyncTime: at(BEGIN) }));
  assert.equal(valueOf(read(), "holdfast_sync_success_total"), 1);
  const successor = source();
  successor.metadata.uid = "another";
  store.set(successor);
  assert.equal(valueOf(read(), "holdfast_sync_success_total"), 0);
  store.remove(successor);
  assert.equal(valueOf(read(), "holdfast_sync_success_total"), undefined);
  store.set(source({ restic: undefined }));
  assert.equal(valueOf(read(), "holdfast_sync_success_total"), undefined, "of another mover");
  store.set(source());
  assert.equal(valueOf(read(), "holdfast_sync_success_total"), 0);
  stop();
  store.set(source());
  assert.equal(valueOf(read(), "holdfast_sync_success_total"), undefined);
});

test("hostile names and nonsense in the status cannot break a scrape", () => {
  const { metrics, read } = begin();
  const name = 'a"} 1\nevil{x="\\ \ud800';
  metrics.observeSource(
    source(
      {},
      {
        lastSyncTime: "yesterday",
        lastSyncDuration: "soon",
        external: {
          [EXTERNAL.facts]: '{"bytes":-1,"files":"x","evil":5}',
          [EXTERNAL.failures]: "x",
        },
      },
      name,
    ),
  );
  const samples = read();
  assert.equal(samples.filter(({ name: metric }) => metric === "evil").length, 0);
  const label = 'a"} 1\nevil{x="\\ \ufffd';
  assert.equal(valueOf(samples, "holdfast_sync_success_total", { obj_name: label }), 0);
  assert.equal(valueOf(samples, "holdfast_snapshot_bytes"), undefined);
});

test("what the operator says of itself", () => {
  const { metrics, read } = begin();
  metrics.leader = true;
  metrics.watchQueue("sources", () => 3);
  metrics.reconciled("sources", 30, false);
  metrics.reconciled("sources", 30, true);
  metrics.watchFailed();
  const samples = read();
  assert.equal(valueOf(samples, "holdfast_operator_leader"), 1);
  assert.equal(valueOf(samples, "holdfast_workqueue_depth", { queue: "sources" }), 3);
  assert.equal(valueOf(samples, "holdfast_reconcile_seconds_count"), 2);
  assert.equal(valueOf(samples, "holdfast_reconcile_seconds_bucket", { le: "0.025" }), 0);
  assert.equal(valueOf(samples, "holdfast_reconcile_seconds_bucket", { le: "0.1" }), 2);
  assert.equal(valueOf(samples, "holdfast_reconcile_errors_total", { queue: "sources" }), 1);
  assert.equal(valueOf(samples, "holdfast_watch_failures_total"), 1);
  assert.equal(valueOf(samples, "holdfast_operator_info", { version: "1.2.3" }), 1);
});
