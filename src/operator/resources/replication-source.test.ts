// Reading resources: what is wrong is named, what is unknown stays.

import assert from "node:assert/strict";
import { test } from "node:test";
import { readReplicationDestination } from "./replication-destination.ts";
import { readReplicationSource } from "./replication-source.ts";

const base = {
  apiVersion: "volsync.backube/v1alpha1",
  kind: "ReplicationSource",
  metadata: { name: "odoo-filestore", namespace: "business-system", uid: "1", generation: 4 },
};

test("unknown fields stay in the object at every depth", () => {
  const object = {
    ...base,
    added: 1,
    spec: {
      novel: { a: 1 },
      restic: { hence: true, moverSecurityContext: { later: "x" }, retain: { decades: 1 } },
    },
    status: { another: [1], external: { "holdfast.dev/run": "{}" } },
  };
  assert.deepEqual(readReplicationSource(object), object);
});

test("an object without a spec has an empty one", () => {
  assert.deepEqual(readReplicationSource(base).spec, {});
  assert.deepEqual(readReplicationDestination(base).spec, {});
});

test("a wrong type is an error that names the field", () => {
  const cases: [unknown, RegExp][] = [
    [{ restic: { retain: { daily: "7" } } }, /^spec\.restic\.retain\.daily: /],
    [{ restic: { copyMethod: "Copy" } }, /^spec\.restic\.copyMethod: /],
    [{ restic: { accessModes: [] } }, /^spec\.restic\.accessModes: /],
    [{ restic: { cacheCapacity: "two" } }, /^spec\.restic\.cacheCapacity: /],
    [{ trigger: { schedule: "* * * MON *" } }, /^spec\.trigger\.schedule: /],
    [{ paused: "yes" }, /^spec\.paused: /],
  ];
  for (const [spec, message] of cases) {
    assert.throws(() => readReplicationSource({ ...base, spec }), {
      code: "RESOURCE_INVALID",
      message,
    });
  }
  assert.throws(() => readReplicationSource(null), { code: "RESOURCE_INVALID" });
});

test("the schedules that upstream's pattern lets pass, and those that it does not", () => {
  const accepts = (schedule: string): boolean => {
    try {
      readReplicationSource({ ...base, spec: { trigger: { schedule } } });
      return true;
    } catch {
      return false;
    }
  };
  for (const schedule of [
    "0 4 * * *",
    "CRON_TZ=Asia/Tokyo 0 4 * * *",
    "@daily",
    "@dailyfoo",
    "garbage 0 4 * * *",
    "12345",
    "0 4 * * 7",
  ])
    assert.ok(accepts(schedule), schedule);
  for (const schedule of ["0 4 * * SUN", "* * * * 1-5,7", "@midnight", "@every 5m", "? 0 * * L"])
    assert.ok(!accepts(schedule), schedule);
});
