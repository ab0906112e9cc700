// A clock that ran ahead for a while leaves times behind that lie in the future. None of them may keep a resource from its next run.

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { EXTERNAL } from "../names.ts";
import { decide } from "./decide.ts";
import { planRun } from "./plan-run.ts";
import { timeText, type SyncResource, type SyncStatus } from "./sync-resource.ts";
import { pendingCause } from "./trigger.ts";

const NOW = Date.UTC(2026, 10, 26, 10, 0, 0);
const AHEAD = timeText(Date.UTC(2036, 0, 1));
const SOON = timeText(NOW + 60_000);

function source(status: SyncStatus): SyncResource {
  return {
    apiVersion: "volsync.backube/v1alpha1",
    kind: "ReplicationSource",
    metadata: { name: "files", namespace: "odoo", uid: "u", generation: 1 },
    spec: { trigger: { schedule: "0 4 * * *" }, restic: {} },
    status,
  };
}

function planOf(resource: SyncResource, started: string): ReturnType<typeof planRun> {
  return planRun({
    resource,
    role: "source",
    cause: { kind: "initial" },
    secretHash: "h",
    defaultMode: "compat",
    now: NOW,
    id: "aaaaaaaaaa",
    started,
  });
}

suite("times from the future", () => {
  test("a last run that has not been yet is none to wait for", () => {
    const at = { role: "source", now: NOW } as const;
    assert.equal(pendingCause(source({ lastSyncTime: AHEAD }), at)?.kind, "schedule");
    // Two clocks that differ by a little are no reason.
    assert.equal(pendingCause(source({ lastSyncTime: SOON }), at), undefined);
  });

  test("an attempt is never put off for longer than the longest delay", () => {
    const lastSyncStartTime = timeText(NOW - 1000);
    const pinned = JSON.stringify(planOf(source({}), lastSyncStartTime));
    const waiting = (retryAt: string): string => {
      const external = { [EXTERNAL.run]: pinned, [EXTERNAL.retryAt]: retryAt };
      const resource = source({ lastSyncStartTime, external });
      return decide({ resource, role: "source", now: NOW, job: undefined }).kind;
    };
    assert.equal(waiting(AHEAD), "retry");
    assert.equal(waiting(SOON), "hold");
  });

  test("a prune that has not been yet is due", () => {
    const pruned = (lastPruned: string): boolean | undefined =>
      planOf(source({ restic: { lastPruned } }), timeText(NOW)).prune;
    assert.equal(pruned(AHEAD), true);
    assert.equal(pruned(SOON), false);
  });
});
