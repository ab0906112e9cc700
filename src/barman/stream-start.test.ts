import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { segmentStart } from "./lsn.ts";
import { chooseStart, timelineOf } from "./stream-start.ts";
import type { Stretch } from "./timelines.ts";

const SIZE = 1 << 20;
const at = (segment: number, offset = 0): bigint => segmentStart(segment, SIZE) + BigInt(offset);
const sets = (known: Record<number, number[]>): Map<number, Set<number>> =>
  new Map(
    Object.entries(known).map(([timeline, segments]) => [Number(timeline), new Set(segments)]),
  );
const one: Stretch[] = [{ timeline: 1, from: 0n, to: undefined }];
/** The second timeline begins within segment 7, the third within segment 9. */
const three: Stretch[] = [
  { timeline: 1, from: 0n, to: at(7, 100) },
  { timeline: 2, from: at(7, 100), to: at(9, 5) },
  { timeline: 3, from: at(9, 5), to: undefined },
];

void suite("where a stream begins", () => {
  const choose = (
    path: Stretch[],
    archived: Record<number, number[]>,
    restart?: bigint,
  ): { timeline: number; segment: number; otherwise: readonly number[] } =>
    chooseStart({ path, archived: sets(archived), restart, position: at(12, 7), size: SIZE });

  void test("an empty archive begins with what the server keeps, or with what it writes", () => {
    assert.deepEqual(choose(one, {}, at(4, 9)), { timeline: 1, segment: 4, otherwise: [] });
    assert.deepEqual(choose(one, {}), { timeline: 1, segment: 12, otherwise: [] });
    assert.deepEqual(choose(three, {}, at(7)), { timeline: 2, segment: 7, otherwise: [] });
  });

  void test("behind the last one, and not before a hole that is lost anyway", () => {
    assert.deepEqual(choose(one, { 1: [2, 3, 4, 5, 6] }), {
      timeline: 1,
      segment: 7,
      otherwise: [],
    });
    assert.deepEqual(choose(one, { 1: [2, 3, 5, 6] }, at(6)), {
      timeline: 1,
      segment: 7,
      otherwise: [],
    });
  });

  void test("at a hole that the server still keeps", () => {
    assert.deepEqual(choose(one, { 1: [2, 3, 5, 6] }, at(3, 1)), {
      timeline: 1,
      segment: 4,
      otherwise: [],
    });
  });

  void test("at a recent hole when nobody knows what the server keeps, and behind it if it has nothing there", () => {
    const known = { 1: [5, 20, 21, 23] };
    assert.deepEqual(choose(one, known), { timeline: 1, segment: 22, otherwise: [24] });
    const old = { 1: [5, 20, 21, 22, 23, 24, 25, 26, 27, 28] };
    assert.deepEqual(choose(one, old), { timeline: 1, segment: 29, otherwise: [] });
    assert.deepEqual(choose(one, { 1: [6] }), { timeline: 1, segment: 7, otherwise: [] });
  });

  void test("a server that keeps less than what is missing is asked all the same", () => {
    assert.deepEqual(choose(one, { 1: [2, 3] }, at(9)), {
      timeline: 1,
      segment: 4,
      otherwise: [9],
    });
  });

  void test("a segment with a fork is asked for on the new timeline", () => {
    assert.deepEqual(choose(three, { 1: [4, 5] }, at(5)), {
      timeline: 1,
      segment: 6,
      otherwise: [],
    });
    assert.deepEqual(choose(three, { 1: [4, 5, 6] }, at(5)), {
      timeline: 2,
      segment: 7,
      otherwise: [],
    });
    assert.deepEqual(choose(three, { 1: [6], 2: [7, 8] }, at(6)), {
      timeline: 3,
      segment: 9,
      otherwise: [],
    });
  });

  void test("what the old primary wrote behind the fork is not on the way", () => {
    const known = { 1: [5, 6, 7, 8, 9, 10, 11] };
    assert.deepEqual(choose(three, known, at(6)), { timeline: 2, segment: 7, otherwise: [] });
  });

  void test("two forks within one segment leave it to the last timeline", () => {
    const path: Stretch[] = [
      { timeline: 1, from: 0n, to: at(3, 10) },
      { timeline: 2, from: at(3, 10), to: at(3, 20) },
      { timeline: 3, from: at(3, 20), to: undefined },
    ];
    assert.equal(timelineOf(path, 2, SIZE), 1);
    assert.equal(timelineOf(path, 3, SIZE), 3);
    assert.deepEqual(choose(path, { 1: [1, 2], 2: [3] }), {
      timeline: 3,
      segment: 3,
      otherwise: [],
    });
  });

  void test("never skips a segment that the server keeps and the archive does not have", () => {
    const segments = fc.uniqueArray(fc.integer({ min: 0, max: 30 }));
    const property = fc.property(
      segments,
      segments,
      fc.nat({ max: 30 }),
      (first, second, restart) => {
        const path: Stretch[] = [
          { timeline: 1, from: 0n, to: at(15, 3) },
          { timeline: 2, from: at(15, 3), to: undefined },
        ];
        const archived = sets({ 1: first, 2: second });
        const start = chooseStart({
          path,
          archived,
          restart: at(restart),
          position: at(31),
          size: SIZE,
        });
        for (let segment = restart; segment < start.segment; segment++) {
          const timeline = segment < 15 ? 1 : 2;
          assert.ok(archived.get(timeline)?.has(segment), `${segment} before ${start.segment}`);
        }
        if (start.otherwise.length > 0)
          assert.ok(start.segment < restart && start.otherwise.includes(restart));
        const has = archived.get(start.timeline)?.has(start.segment);
        assert.ok(!has, "what is there already is not asked for first");
      },
    );
    fc.assert(property);
  });
});
