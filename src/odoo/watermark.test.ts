import { suite, test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  Archive,
  doneInfo,
  name,
  NOW,
  read,
  SEGMENT_SIZE,
  simple,
  stored,
  walPath,
} from "../../test/barman/archives.ts";
import { isHoldfastError } from "../base/errors.ts";
import type { Catalogue } from "../barman/catalogue.ts";
import { segmentStart } from "../barman/lsn.ts";
import { chooseRecovery } from "../barman/recovery-choice.ts";
import type { CaptureMark } from "./capture-mark.ts";
import {
  computeWatermark as compute,
  type MarkedCapture,
  type Watermark,
  type WatermarkOptions,
} from "./watermark.ts";

/** With no full snapshots, unless a test has some. */
const computeWatermark = (
  options: Omit<WatermarkOptions, "snapshots"> & Partial<WatermarkOptions>,
): Watermark => compute({ snapshots: new Set(), ...options });

/** A capture whose position lies `offset` bytes into a segment. */
function capture(segment: number, options: Partial<CaptureMark> & Place = {}): MarkedCapture {
  const { timeline = 1, offset = 5000n, systemId = "7", ...mark } = options;
  const lsn = segmentStart(segment, SEGMENT_SIZE) + offset;
  return {
    id: `${segment}-${timeline}-${offset}`.padStart(64, "0"),
    time: stored(segment),
    mark: {
      database: "odoo",
      since: undefined,
      position: { systemId, timeline, lsn, time: stored(segment) },
      missing: 0,
      corrupt: 0,
      ...mark,
    },
  };
}

interface Place {
  timeline?: number;
  offset?: bigint;
  systemId?: string;
}

function outcome({ point, newest, obstacle }: Watermark): unknown[] {
  return [point?.position.lsn, newest?.position.lsn, obstacle];
}

const at = (segment: number, offset = 5000n): bigint =>
  segmentStart(segment, SEGMENT_SIZE) + offset;

suite("what is not there is named", () => {
  const catalogue = read(simple());

  test("no capture, and none with a position", () => {
    assert.deepEqual(outcome(computeWatermark({ captures: [], catalogue })), [
      undefined,
      undefined,
      "no-captures",
    ]);
    const captures = [capture(20, { position: undefined })];
    assert.equal(computeWatermark({ captures, catalogue }).obstacle, "no-position");
  });

  test("no archive, that of another cluster, and one without a backup", () => {
    const captures = [capture(20)];
    const blind = computeWatermark({ captures, catalogue: undefined });
    assert.deepEqual(outcome(blind), [undefined, at(20), "no-archive"]);
    const foreign = computeWatermark({ captures: [capture(20, { systemId: "8" })], catalogue });
    assert.deepEqual(outcome(foreign), [undefined, at(20), "foreign"]);
    const bare = read(new Archive().wal({ first: 8, last: 30, time: stored }));
    assert.equal(computeWatermark({ captures, catalogue: bare }).obstacle, "no-backup");
  });

  test("a capture without the full snapshot that it goes on from", () => {
    const since = "ab".repeat(32);
    const captures = [capture(19), capture(20, { since })];
    const gone = computeWatermark({ captures, catalogue });
    assert.deepEqual(outcome(gone), [at(19), at(20), "snapshot-gone"]);
    const there = computeWatermark({ captures, catalogue, snapshots: new Set([since]) });
    assert.deepEqual(outcome(there), [at(20), at(20), undefined]);
  });

  test("a point before the end of the first backup, and one behind the WAL", () => {
    assert.equal(computeWatermark({ captures: [capture(9)], catalogue }).obstacle, "no-way");
    // The backup ends 400 bytes into segment 11.
    const early = computeWatermark({ captures: [capture(11, { offset: 399n })], catalogue });
    assert.equal(early.obstacle, "no-way");
    const first = computeWatermark({ captures: [capture(11, { offset: 400n })], catalogue });
    assert.deepEqual(outcome(first), [at(11, 400n), at(11, 400n), undefined]);
    assert.equal(computeWatermark({ captures: [capture(31)], catalogue }).obstacle, "wal-behind");
    // The end of the last whole segment is in it.
    const last = computeWatermark({ captures: [capture(31, { offset: 0n })], catalogue });
    assert.equal(last.obstacle, undefined);
  });
});

suite("the newest that counts", () => {
  test("is told with what keeps a newer one from it", () => {
    const captures = [
      capture(12, { missing: 2 }),
      capture(40),
      capture(25, { missing: 3, corrupt: 1 }),
    ];
    const found = computeWatermark({ captures, catalogue: read(simple()) });
    assert.deepEqual(outcome(found), [at(25), at(40), "wal-behind"]);
    assert.deepEqual([found.point!.missing, found.point!.corrupt], [3, 1]);
  });

  test("a hole ends what counts", () => {
    const captures = [20, 21, 22, 23].map((segment) => capture(segment));
    const found = computeWatermark({ captures, catalogue: read(simple().remove(name(22))) });
    assert.deepEqual(outcome(found), [at(21), at(23), "wal-behind"]);
  });

  test("a partial segment counts as far as it was seen to reach", () => {
    const path = `${walPath(1, 31, ".partial.gz")}`;
    const catalogue = read(simple().put(path, stored(31), 900));
    const captures = [capture(31), capture(30)];
    const unknown = computeWatermark({ captures, catalogue });
    assert.deepEqual(outcome(unknown), [at(30), at(31), "partial-unknown"]);
    const reach = (lsn: bigint): Watermark =>
      computeWatermark({ captures, catalogue, partialReach: new Map([[path, lsn]]) });
    assert.deepEqual(outcome(reach(at(31) - 1n)), [at(30), at(31), "wal-behind"]);
    assert.deepEqual(outcome(reach(at(31))), [at(31), at(31), undefined]);
  });
});

suite("timelines", () => {
  const FORK = at(20);
  /** A standby took over in segment 20; its timeline has the segment of the fork, the old one may not. */
  const promoted = (): Archive =>
    simple()
      .history(2, stored(21), [1, FORK])
      .wal({ timeline: 2, first: 20, last: 40, time: stored });

  test("the newest timeline comes first, and a point that was left behind says so", () => {
    const captures = [capture(30), capture(22, { timeline: 2 })];
    const found = computeWatermark({ captures, catalogue: read(promoted()) });
    assert.equal(found.point!.position.timeline, 2);
    assert.equal(found.point!.isLeft, false);
    const left = computeWatermark({ captures: [capture(30)], catalogue: read(promoted()) });
    assert.deepEqual([left.point!.position.lsn, left.point!.isLeft], [at(30), true]);
    const before = computeWatermark({ captures: [capture(19)], catalogue: read(promoted()) });
    assert.equal(before.point!.isLeft, false);
  });

  test("the end of the old timeline is in the first segment of the new one", () => {
    let archive = promoted();
    for (let segment = 20; segment <= 30; segment++) archive = archive.remove(name(segment));
    const found = (offset: bigint): Watermark =>
      computeWatermark({ captures: [capture(20, { offset })], catalogue: read(archive) });
    assert.equal(found(5000n).obstacle, undefined);
    assert.equal(found(5001n).obstacle, "wal-behind");
    // Without the new one's first segment nothing holds it.
    archive.remove(name(20, 2));
    assert.equal(found(5000n).obstacle, "wal-behind");
  });

  test("a promoted server whose first segment is still growing", () => {
    const path = walPath(2, 20, ".partial.gz");
    const archive = simple().history(2, stored(21), [1, FORK]).put(path, stored(21), 900);
    const catalogue = read(archive);
    const captures = [capture(20, { timeline: 2, offset: 9000n })];
    assert.equal(computeWatermark({ captures, catalogue }).obstacle, "partial-unknown");
    const partialReach = new Map([[path, at(20, 9000n)]]);
    assert.equal(computeWatermark({ captures, catalogue, partialReach }).obstacle, undefined);
  });
});

suite("properties", () => {
  const anyHistory = fc.record({
    backups: fc.array(
      fc.record({
        first: fc.integer({ min: 8, max: 40 }),
        timeline: fc.integer({ min: 1, max: 3 }),
      }),
      {
        maxLength: 4,
      },
    ),
    forks: fc.tuple(fc.integer({ min: 15, max: 25 }), fc.integer({ min: 20, max: 35 })),
    holes: fc.array(
      fc.record({
        segment: fc.integer({ min: 8, max: 45 }),
        timeline: fc.integer({ min: 1, max: 3 }),
      }),
      {
        maxLength: 5,
      },
    ),
    captures: fc.array(
      fc.record({
        segment: fc.integer({ min: 8, max: 48 }),
        timeline: fc.integer({ min: 1, max: 3 }),
        offset: fc.bigInt({ min: 0n, max: BigInt(SEGMENT_SIZE) - 1n }),
      }),
      { minLength: 1, maxLength: 6 },
    ),
  });
  type History = typeof anyHistory extends fc.Arbitrary<infer T> ? T : never;

  /** Timeline 1 has segments 8 to 40, 2 comes out of it, 3 out of 2; the holes are cut out. */
  function archiveOf({ backups, forks, holes }: History): Archive {
    const [second, third] = [forks[0], Math.max(forks[0], forks[1])];
    const archive = new Archive().wal({ first: 8, last: 40, time: stored });
    archive.history(2, stored(second), [1, at(second)]);
    archive.wal({ timeline: 2, first: second, last: 42, time: stored });
    archive.history(3, stored(third), [1, at(second)], [2, at(third, 7000n)]);
    archive.wal({ timeline: 3, first: third, last: 45, time: stored });
    for (const [number, { first, timeline }] of backups.entries())
      archive.backup(doneInfo({ first, timeline, time: stored(first) + number * 1000 }));
    for (const { segment, timeline } of holes) archive.remove(name(segment, timeline));
    return archive;
  }

  const markedOf = ({ captures }: History): MarkedCapture[] =>
    captures.map(({ segment, ...place }) => capture(segment, place));

  test("what is called recoverable, a recovery can be chosen for; and nothing newer could be", () => {
    const canChoose = (catalogue: Catalogue, { mark }: MarkedCapture): boolean => {
      const { lsn, timeline } = mark.position!;
      return [1, 2, 3].some((followed) => {
        const path = catalogue.timelines.get(followed)!;
        const stretch = path.find((one) => one.timeline === timeline);
        if (stretch === undefined || lsn < stretch.from) return false;
        if (stretch.to !== undefined && lsn > stretch.to) return false;
        // A recovery along a later timeline passes the point on its way to where that begins.
        const end = path.at(-1)!.timeline === timeline ? lsn : path.at(-1)!.from + 1n;
        return catalogue.backups.some(({ id, flaws, info }) => {
          if (flaws.length > 0 || info!.timeline! > timeline) return false;
          if (info!.timeline === timeline && info!.endLsn! > lsn) return false;
          try {
            const target = { kind: "lsn", lsn: end } as const;
            chooseRecovery({ catalogue, target, timeline: followed, backup: id, now: NOW });
            return true;
          } catch (error) {
            if (!isHoldfastError(error, "TARGET_UNREACHABLE")) throw error;
            return false;
          }
        });
      });
    };
    fc.assert(
      fc.property(anyHistory, (history) => {
        const catalogue = read(archiveOf(history));
        const captures = markedOf(history);
        const { point } = computeWatermark({ captures, catalogue });
        const possible = captures.filter((one) => canChoose(catalogue, one));
        const best = possible
          .map(({ mark }) => mark.position!)
          .toSorted((a, b) => b.timeline - a.timeline || (a.lsn < b.lsn ? 1 : -1))[0];
        assert.deepEqual(point?.position.lsn, best?.lsn);
        assert.deepEqual(point?.position.timeline, best?.timeline);
      }),
      { numRuns: 300 },
    );
  });

  test("losing an object never brings the watermark forward, whatever order captures come in", () => {
    fc.assert(
      fc.property(anyHistory, fc.nat(), (history, pick) => {
        const archive = archiveOf(history);
        const captures = markedOf(history);
        const place = (): bigint => {
          const { point } = computeWatermark({ captures, catalogue: read(archive) });
          return point === undefined
            ? -1n
            : (BigInt(point.position.timeline) << 64n) + point.position.lsn;
        };
        const before = place();
        captures.reverse();
        assert.equal(place(), before);
        const { path } = archive.objects[pick % archive.objects.length]!;
        // A history that is gone leaves timelines of which nobody can say where they come from.
        if (path.endsWith(".history")) return;
        archive.remove(path);
        assert.ok(place() <= before);
      }),
      { numRuns: 200 },
    );
  });
});
