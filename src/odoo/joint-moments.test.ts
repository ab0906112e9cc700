import { suite, test } from "node:test";
import assert from "node:assert/strict";
import {
  Archive,
  doneInfo,
  MINUTE,
  name,
  read,
  simple,
  START,
  stored,
} from "../../test/barman/archives.ts";
import { databaseReaches, findJointMoments, union } from "./joint-moments.ts";
import type { FullSnapshot } from "./retention.ts";
import type { MarkedCapture } from "./watermark.ts";

const full = (minute: number, length = 2): FullSnapshot => ({
  id: `full-${minute}`,
  time: minute * MINUTE,
  end: (minute + length) * MINUTE,
});

function capture(minute: number, since?: number, at?: number): MarkedCapture {
  const position =
    at === undefined ? undefined : { systemId: "7", timeline: 1, lsn: 1n, time: at * MINUTE };
  const whole = since === undefined ? undefined : `full-${since}`;
  const mark = { database: "odoo", since: whole, position, missing: 0, corrupt: 0 };
  return { id: `capture-${minute}`, time: minute * MINUTE, mark };
}

const inMinutes = (stretches: readonly { from: number; to: number }[]): number[][] =>
  stretches.map(({ from, to }) => [from / MINUTE, to / MINUTE]);

suite("what the database reaches", () => {
  const shown = (archive: Archive): number[][] =>
    databaseReaches(read(archive)).map(({ timeline, from, to }) => [
      timeline,
      (from - START) / MINUTE,
      (to - START) / MINUTE,
    ]);

  test("from the end of the first backup to the last segment, across a change of timelines", () => {
    assert.deepEqual(shown(simple()), [[1, 12, 30]]);
    const promoted = simple()
      .history(2, stored(31), [1, 20n << 24n])
      .wal({ timeline: 2, first: 20, last: 40, time: (segment) => stored(segment + 12) });
    assert.deepEqual(shown(promoted), [
      [1, 12, 30],
      [2, 12, 52],
    ]);
  });

  test("behind a hole only what a later backup reaches", () => {
    const archive = simple().remove(name(20));
    archive.backup(doneInfo({ first: 24, last: 25, time: stored(26) }));
    assert.deepEqual(shown(archive), [
      [1, 12, 19],
      [1, 26, 30],
    ]);
    assert.deepEqual(shown(new Archive().wal({ first: 1, last: 5, time: stored })), []);
  });
});

suite("moments of both", () => {
  const reaches = [{ from: 10 * MINUTE, to: 200 * MINUTE }];
  const found = (options: Partial<Parameters<typeof findJointMoments>[0]>): number[][][] => {
    const { stretches, moments } = findJointMoments({
      snapshots: [],
      captures: [],
      reaches,
      ...options,
    });
    return [inMinutes(stretches), [moments.map(({ time }) => time / MINUTE)]];
  };

  test("with snapshots alone: when they began, inside of what the database reaches", () => {
    const snapshots = [full(5), full(50), full(100), full(300)];
    assert.deepEqual(found({ snapshots }), [[], [[50, 100]]]);
    assert.deepEqual(found({ snapshots, reaches: [] }), [[], [[]]]);
  });

  test("with captures: everything from the end of the snapshot that they go on from", () => {
    const captures = [capture(60, 50), capture(99, 50), capture(190, 100), capture(210, 100)];
    assert.deepEqual(found({ snapshots: [full(5), full(50), full(100)], captures }), [
      [[52, 200]],
      [[]],
    ]);
  });

  test("a pause of the captures is a hole, and a snapshot in it stands alone", () => {
    const captures = [capture(60, 50), capture(190, 150)];
    assert.deepEqual(found({ snapshots: [full(50), full(100), full(150)], captures }), [
      [
        [52, 60],
        [152, 190],
      ],
      [[100]],
    ]);
  });

  test("without the snapshot that they go on from, captures are not enough", () => {
    const captures = [capture(60, 50), capture(80, 50)];
    assert.deepEqual(found({ captures }), [[], [[]]]);
    assert.deepEqual(found({ captures: [...captures, capture(70), capture(90)] })[0], [[70, 90]]);
  });

  test("a position's time goes before that of the capture", () => {
    const captures = [capture(60, 50, 58)];
    assert.deepEqual(found({ snapshots: [full(50)], captures })[0], [[52, 58]]);
  });

  test("stretches that overlap are one", () => {
    const stretches = [
      { from: 5, to: 7 },
      { from: 1, to: 2 },
      { from: 2, to: 4 },
      { from: 6, to: 6 },
    ];
    assert.deepEqual(union(stretches), [
      { from: 1, to: 4 },
      { from: 5, to: 7 },
    ]);
  });
});
