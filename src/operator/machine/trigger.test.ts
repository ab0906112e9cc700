// What asks for a run: the schedule by the rules that VolSync's users know, the manual trigger, and the annotation's latch.

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { ANNOTATION, EXTERNAL, type Role } from "../names.ts";
import { nextSync } from "./next-sync.ts";
import { planRun } from "./plan-run.ts";
import { timeText, type SyncResource, type SyncStatus } from "./sync-resource.ts";
import { latchOf, lookAlikes, pendingCause, triggerValue } from "./trigger.ts";

const NOW = Date.parse("2026-11-26T10:00:00Z");

interface Given {
  readonly trigger?: { schedule?: string; manual?: string };
  readonly status?: SyncStatus;
  readonly annotations?: Record<string, string>;
  readonly restic?: object;
}

function given({ trigger, status, annotations = {}, restic }: Given): SyncResource {
  return {
    apiVersion: "volsync.backube/v1alpha1",
    kind: "ReplicationSource",
    metadata: { name: "x", creationTimestamp: "2026-11-26T09:30:00Z", annotations },
    spec: { ...(trigger ? { trigger } : {}), restic },
    ...(status ? { status } : {}),
  };
}

suite("when a schedule is due", () => {
  const after = (schedule: string, lastSyncTime: string): string | undefined => {
    const next = nextSync(given({ trigger: { schedule }, status: { lastSyncTime } }));
    return next === undefined ? undefined : timeText(next);
  };
  const rows: [schedule: string, last: string, next: string][] = [
    ["0 4 * * *", "2026-11-26T04:00:31Z", "2026-11-27T04:00:00Z"],
    ["0 4 * * *", "2026-11-26T03:59:59Z", "2026-11-26T04:00:00Z"],
    ["*/15 * * * *", "2026-11-26T04:00:00Z", "2026-11-26T04:15:00Z"],
    ["CRON_TZ=Asia/Tokyo 0 4 * * *", "2026-11-26T10:00:00Z", "2026-11-26T19:00:00Z"],
    ["TZ=UTC 0 4 * * *", "2026-11-26T10:00:00Z", "2026-11-27T04:00:00Z"],
    ["@weekly", "2026-11-26T10:00:00Z", "2026-11-29T00:00:00Z"],
    ["@monthly", "2026-11-26T10:00:00Z", "2026-12-01T00:00:00Z"],
    // A day of the month and one of the week: either will do.
    ["0 0 13 * 5", "2026-11-26T10:00:00Z", "2026-11-27T00:00:00Z"],
    // Months away: what waits for it must not be a timer that overflows.
    ["0 0 1 9 *", "2026-11-26T10:00:00Z", "2027-09-01T00:00:00Z"],
  ];
  for (const [schedule, last, next] of rows) {
    test(`${schedule} after ${last}`, () => assert.equal(after(schedule, last), next));
  }

  for (const schedule of ["0 4 * * 7", "garbage 0 4 * * *", "12345", "@dailyfoo", "0 0 31 2 *"]) {
    test(`${schedule} passes the CRD's pattern and is refused`, () => {
      const resource = given({ trigger: { schedule }, status: { lastSyncTime: timeText(NOW) } });
      assert.throws(() => nextSync(resource), { code: "RESOURCE_INVALID" });
    });
  }
});

suite("a jitter", () => {
  const lastSyncTime = "2026-11-26T04:30:00Z";
  const due = (jitter: string, uid: string, last = lastSyncTime): number => {
    const resource = given({
      trigger: { schedule: "0 * * * *" },
      status: { lastSyncTime: last },
      annotations: { [ANNOTATION.jitter]: jitter },
    });
    return nextSync({ ...resource, metadata: { ...resource.metadata, uid } }) ?? 0;
  };
  const late = (jitter: string, uid: string): number =>
    due(jitter, uid) - Date.parse("2026-11-26T05:00:00Z");
  const uids = Array.from({ length: 200 }, (_, i) => `uid-${i}`);

  test("spreads resources over its time, in whole seconds, and each is always the same", () => {
    const all = uids.map((uid) => late("10m", uid));
    for (const each of all) assert.ok(each >= 0 && each < 600_000 && each % 1000 === 0, `${each}`);
    assert.ok(new Set(all.map((each) => Math.floor(each / 60_000))).size === 10, "every minute");
    assert.deepEqual(
      all,
      uids.map((uid) => late("10m", uid)),
    );
    assert.ok(uids.some((uid) => late("2h", uid) !== late("10m", uid)));
    assert.equal(late("0m", "uid-1"), 0);
  });

  test("no slot is lost or made twice, even where it is longer than the interval", () => {
    for (const uid of uids.slice(0, 20)) {
      for (const jitter of ["59m", "3h"]) {
        const first = due(jitter, uid);
        const next = due(jitter, uid, timeText(first));
        assert.equal(next - first, 3_600_000);
        // A run that was asked for by hand between two slots moves neither.
        assert.equal(due(jitter, uid, timeText(first + 1000)), next);
      }
    }
  });

  for (const wrong of ["10", "-5m", "1d", "25h", "10m30s", "soon"]) {
    test(`${wrong} is refused`, () =>
      assert.throws(() => due(wrong, "uid-1"), { code: "RESOURCE_INVALID", message: /jitter/ }));
  }
});

suite("what asks for a run", () => {
  const SYNCED = { lastSyncTime: "2026-11-26T09:59:00Z" };
  const kind = (resource: SyncResource, role: Role = "source"): string | undefined =>
    pendingCause(resource, { role, now: NOW })?.kind;
  const schedule = { schedule: "0 4 * * *" };
  const annotated = (value: string, answered?: string): Given => ({
    annotations: { [ANNOTATION.trigger]: value },
    ...(answered === undefined ? {} : { status: { ...SYNCED, external: ours(answered) } }),
  });
  const ours = (value: string): Record<string, string> => ({ [EXTERNAL.trigger]: value });
  const skip = { [ANNOTATION.skipInitialSync]: "true" };

  const rows: [string, Given, string | undefined, Role?][] = [
    ["a new one with a schedule", { trigger: schedule }, "initial"],
    ["one that shall wait for its schedule", { trigger: schedule, annotations: skip }, undefined],
    ["a new one without trigger", {}, "initial"],
    ["a synced one without trigger", { status: SYNCED }, "always"],
    ["a manual trigger", { trigger: { manual: "a" }, status: SYNCED }, "manual"],
    [
      "an answered manual trigger suspends the schedule",
      {
        trigger: { ...schedule, manual: "a" },
        status: { lastSyncTime: "2026-11-01T00:00:00Z", lastManualSync: "a" },
      },
      undefined,
    ],
    [
      "a time that went by",
      { trigger: schedule, status: { lastSyncTime: "2026-11-20T04:00:09Z" } },
      "schedule",
    ],
    ["an annotation", { trigger: schedule, ...annotated("2", "1") }, "annotation"],
    ["an answered one", { trigger: schedule, ...annotated("2", "2") }, undefined],
    ["an empty one", { trigger: schedule, ...annotated("", "2") }, undefined],
    ["the first one after a run", { trigger: schedule, ...annotated("1", "") }, "annotation"],
    [
      "one that was there before us",
      { trigger: schedule, ...annotated("1"), status: SYNCED },
      undefined,
    ],
    [
      "a destination's first one",
      { trigger: schedule, ...annotated("1", "") },
      undefined,
      "destination",
    ],
  ];
  for (const [name, resource, expected, role] of rows) {
    test(`${name}: ${expected}`, () => assert.equal(kind(given(resource), role), expected));
  }

  test("a value is latched when it is seen first, or when it means the restore under way", () => {
    const at = { role: "destination", isRunning: true } as const;
    assert.equal(latchOf(given(annotated("3", "2")), at), "3");
    assert.equal(latchOf(given(annotated("3", "2")), { ...at, isRunning: false }), undefined);
    assert.equal(latchOf(given(annotated("3", "2")), { ...at, role: "source" }), undefined);
    assert.equal(latchOf(given(annotated("3", "")), { ...at, isRunning: false }), "3");
    const foreign = given({ ...annotated("3"), status: SYNCED });
    assert.equal(latchOf(foreign, { role: "source", isRunning: false }), "3");
  });

  test("a long value is kept as its hash, and is answered by it", () => {
    const long = given(annotated("x".repeat(1000), ""));
    const kept = triggerValue(long) ?? "";
    assert.match(kept, /^sha256:[0-9a-f]{64}$/);
    const again = { trigger: schedule, ...annotated("x".repeat(1000), kept) };
    assert.equal(kind(given(again)), undefined);
  });

  test("keys that look like the trigger are found, ours are not", () => {
    const keys = (...names: string[]): string[] =>
      lookAlikes(given({ annotations: Object.fromEntries(names.map((name) => [name, "1"])) }));
    const wrong = ["volsync.backube/trigger-sync", "volsync.backube/triggered", "volsync/trigger"];
    assert.deepEqual(keys(...wrong), wrong);
    assert.deepEqual(keys(...Object.values(ANNOTATION), "kubectl.kubernetes.io/x-trigger"), []);
  });
});

suite("what a run will do", () => {
  const plan = (resource: Given, role: Role = "source"): ReturnType<typeof planRun> =>
    planRun({
      resource: given(resource),
      role,
      cause: { kind: "always" },
      secretHash: "h",
      defaultMode: "compat",
      now: NOW,
      id: "run1",
    });

  test("prune is due so many days after the last one, or after the resource was made", () => {
    const pruned = (lastPruned: string, pruneIntervalDays?: number): boolean | undefined =>
      plan({ status: { restic: { lastPruned } }, restic: { pruneIntervalDays } }).prune;
    assert.equal(pruned("2026-11-19T10:00:00Z"), false);
    assert.equal(pruned("2026-11-19T09:59:59Z"), true);
    assert.equal(pruned("2026-11-19T09:59:59Z", 14), false);
    assert.equal(plan({}).prune, false, "made half an hour ago");
  });

  test("unlock and an accepted shrink are for one run each", () => {
    const restic = { unlock: "u1" };
    assert.equal(plan({ restic }).unlock, "u1");
    assert.equal(plan({ restic, status: { restic: { lastUnlocked: "u1" } } }).unlock, undefined);
    const annotations = { [ANNOTATION.acceptShrink]: "s1" };
    assert.equal(plan({ annotations }).acceptShrink, "s1");
    const external = { [EXTERNAL.acceptShrink]: "s1" };
    assert.equal(plan({ annotations, status: { external } }).acceptShrink, undefined);
  });

  test("keep rules and the choice of a snapshot are taken as they stand", () => {
    const retain = { daily: 7, weekly: 4, monthly: 3, last: "5" };
    assert.deepEqual(plan({ restic: { retain } }).forget, retain);
    assert.deepEqual(plan({}).forget, {});
    const restic = { restoreAsOf: "2026-11-01T00:00:00Z", previous: 2, enableFileDeletion: true };
    const restore = { asOf: "2026-11-01T00:00:00Z", previous: 2, delete: true };
    assert.deepEqual(plan({ restic }, "destination").restore, restore);
  });

  test("the mode is the resource's, or that of all", () => {
    const mode = (value: string): string =>
      plan({ annotations: { [ANNOTATION.mode]: value } }).mode;
    assert.deepEqual([mode("safe"), mode("compat"), mode("else")], ["safe", "compat", "compat"]);
  });
});
