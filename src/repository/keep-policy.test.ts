// What differs from restic or is ours alone. That all else is restic's is proved by test/interop/forget-policy.test.ts.

import { suite, test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { parseKeepDuration } from "./keep-duration.ts";
import { applyPolicy, describePolicy, isEmptyPolicy } from "./keep-policy.ts";
import type { KeepPolicy } from "./keep-policy.ts";

const NONE = parseKeepDuration("", "");
const EMPTY: KeepPolicy = {
  counts: { last: 0, hourly: 0, daily: 0, weekly: 0, monthly: 0, yearly: 0 },
  within: NONE,
  withinUnits: { hourly: NONE, daily: NONE, weekly: NONE, monthly: NONE, yearly: NONE },
  tags: [],
  window: NONE,
};
const within = (text: string) => parseKeepDuration(text, "");

const MILLISECONDS = Date.UTC(2026, 5, 15, 12);
const CONTEXT = { now: BigInt(MILLISECONDS) * 1_000_000n, localOffset: () => 0 };

/** Snapshots of so many hours ago. */
function ago(...hours: number[]) {
  return hours.map((hour) => ({
    hour,
    snapshot: { time: new Date(MILLISECONDS - hour * 3_600_000).toISOString(), tags: [] },
  }));
}

const kept = (policy: KeepPolicy, ...hours: number[]): number[] =>
  applyPolicy(ago(...hours), policy, CONTEXT).keep.map(({ hour }) => hour);

suite("the recovery window", () => {
  const window = { ...EMPTY, window: within("2d") };

  test("keeps the newest from before it, and all later ones", () => {
    assert.deepEqual(kept(window, 1, 30, 47, 49, 70, 90), [1, 30, 47, 49]);
    assert.deepEqual(kept(window, 1, 48, 49), [1, 48]);
    assert.deepEqual(kept(window, 500, 400, 300), [300]);
  });

  test("keeps all where nothing reaches back so far", () => {
    assert.deepEqual(kept(window, 1, 30, 47), [1, 30, 47]);
  });

  test("keeps snapshots from the future", () => {
    assert.deepEqual(kept(window, -5, 60, 70), [-5, 60]);
  });

  test("adds to what other rules keep", () => {
    const both = { ...window, counts: { ...EMPTY.counts, daily: 4 } };
    const { reasons } = applyPolicy(ago(1, 2, 50, 75, 99, 200), both, CONTEXT);
    assert.deepEqual(
      reasons.map(({ kept: { hour }, matches }) => [hour, ...matches]),
      [
        [1, "daily snapshot", "recovery window of 2d"],
        [2, "recovery window of 2d"],
        [50, "daily snapshot", "recovery window of 2d"],
        [75, "daily snapshot"],
        [99, "daily snapshot"],
      ],
    );
  });

  test("lets a database of any moment in it find files that are older, and never lets one go that is needed", () => {
    const hours = fc.uniqueArray(fc.integer({ min: -10, max: 200 }), { minLength: 1 });
    fc.assert(
      fc.property(hours, fc.integer({ min: 1, max: 150 }), (all, length) => {
        const policy = { ...EMPTY, window: within(`${length}h`) };
        const left = kept(policy, ...all);
        for (let moment = length; moment >= 0; moment--) {
          const newest = (from: number[]) => Math.min(...from.filter((hour) => hour >= moment));
          assert.equal(newest(left), newest(all));
        }
      }),
    );
  });
});

suite("a policy in words", () => {
  test("is restic's", () => {
    assert.equal(describePolicy(EMPTY), "remove");
    assert.equal(
      describePolicy({
        counts: { last: 3, hourly: -1, daily: 7, weekly: 0, monthly: 0, yearly: 1 },
        within: within("1y2m"),
        withinUnits: { ...EMPTY.withinUnits, hourly: within("5h"), weekly: within("3m") },
        tags: [["a", "b"], ["c"]],
        window: within("14d"),
      }),
      "keep 3 latest, all hourly, 7 daily, 1 yearly snapshots, hourly snapshots within 5h, weekly snapshots within 3m" +
        " and all snapshots with tags [[a, b] [c]] and all snapshots within 1y2m of the newest" +
        " and everything that the recovery window of 14d needs",
    );
  });

  test("is empty only when no rule is given", () => {
    assert.ok(isEmptyPolicy(EMPTY));
    for (const rule of [
      { counts: { ...EMPTY.counts, weekly: -1 } },
      { within: within("1h") },
      { withinUnits: { ...EMPTY.withinUnits, yearly: within("1d") } },
      { tags: [[""]] },
      { window: within("1d") },
    ]) {
      assert.ok(!isEmptyPolicy({ ...EMPTY, ...rule }), JSON.stringify(rule));
    }
  });
});

test("counts tell what is left after each", () => {
  const policy = { ...EMPTY, counts: { ...EMPTY.counts, last: 2, daily: 3, yearly: -1 } };
  const { reasons } = applyPolicy(ago(1, 2, 30), policy, CONTEXT);
  assert.deepEqual(
    reasons.map(({ counters }) => [counters.last, counters.daily, counters.yearly]),
    [
      [1, 2, -1],
      [0, 2, -1],
      [0, 1, -1],
    ],
  );
});
