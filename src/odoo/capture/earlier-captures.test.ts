import assert from "node:assert/strict";
import { test } from "node:test";
import { goingCaptures, type EarlierCapture } from "./earlier-captures.ts";

/** Captures that are left after one each `every` milliseconds for `duration`. */
function leftAfter(duration: number, every: number, hasPosition = true): EarlierCapture[] {
  let left: EarlierCapture[] = [];
  for (let time = 0; time <= duration; time += every) {
    const newest = { id: String(time), time, hasPosition };
    const going = new Set(goingCaptures(left, newest));
    left = [...left.filter((one) => !going.has(one)), newest];
  }
  return left;
}

test("however far behind an archive is, there is a capture that is not much further behind", () => {
  const day = 86_400_000;
  for (const every of [1000, 20_000, 60_000]) {
    const left = leftAfter(day, every);
    assert.ok(left.length < 90, `${left.length} captures, one each ${every} ms`);
    for (let behind = 0; behind < 100 * 60_000; behind += 1000) {
      const best = left.findLast(({ time }) => day - time >= behind)!;
      const more = day - best.time - behind;
      assert.ok(more <= Math.max(15_000, every * 2, behind * 0.3), `${behind}: ${more}`);
    }
  }
});

test("captures without a position tell nothing that the newest one does not", () => {
  assert.equal(leftAfter(600_000, 20_000, false).length, 1);
});
