import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import {
  DAY,
  doneInfo,
  ID,
  idAt,
  name,
  NOW,
  read,
  SEGMENT_SIZE,
  simple,
  stored,
  walPath,
} from "../../test/barman/archives.ts";
import { findDependents } from "./dependents.ts";
import { takeInventory } from "./inventory.ts";
import { segmentStart } from "./lsn.ts";
import { timelineTree } from "./timeline-tree.ts";

const end = (segment: number): bigint => segmentStart(segment, SEGMENT_SIZE) + 400n;

suite("what depends on a backup", () => {
  test("all moments up to where the next one leads in, and all of a window that it leads to alone", () => {
    const archive = simple();
    archive.backup(doneInfo({ first: 20, time: stored(20) }));
    const dependents = findDependents(read(archive));
    assert.deepEqual(dependents.get(ID)!.moments, [
      {
        timeline: 1,
        from: { lsn: end(11), time: stored(12) },
        to: { lsn: end(20), time: stored(20) },
      },
    ]);
    assert.deepEqual(dependents.get(idAt(stored(20)))!.moments, []);
    archive.remove(name(25)).remove(idAt(stored(20)));
    const [alone] = findDependents(read(archive)).get(ID)!.moments;
    assert.deepEqual(alone!.to, { lsn: segmentStart(25, SEGMENT_SIZE), time: stored(24) });
  });

  test("two backups of an ancestor are equal on a later timeline", () => {
    const archive = simple();
    archive.backup(doneInfo({ first: 20, time: stored(20) }));
    archive.history(2, stored(30), [1, segmentStart(28, SEGMENT_SIZE)]);
    archive.wal({ timeline: 2, first: 28, last: 40, time: stored });
    const dependents = findDependents(read(archive));
    const later = [...dependents.values()].flatMap(({ moments }) =>
      moments.filter(({ timeline }) => timeline === 2),
    );
    assert.deepEqual(later, []);
    archive.remove(`base/${ID}`);
    assert.deepEqual(
      findDependents(read(archive))
        .get(idAt(stored(20)))!
        .moments.map(({ timeline, from }) => [timeline, from]),
      [
        [1, { lsn: end(20), time: stored(20) }],
        [2, { lsn: segmentStart(28, SEGMENT_SIZE), time: stored(30) }],
      ],
    );
  });

  test("increments, and increments of increments, even in a circle", () => {
    const archive = simple();
    const on = (parent: string): { extra: Map<string, string> } => ({
      extra: new Map([["parent_backup_id", parent]]),
    });
    const [one, two, three] = [14, 16, 18].map((segment) => idAt(stored(segment))) as [
      string,
      string,
      string,
    ];
    archive.backup(doneInfo({ first: 14, time: stored(14), more: on(ID) }));
    archive.backup(doneInfo({ first: 16, time: stored(16), more: on(one) }));
    archive.backup(doneInfo({ first: 18, time: stored(18), more: on(three) }));
    const dependents = findDependents(read(archive));
    assert.deepEqual(dependents.get(ID)!.increments, [one, two]);
    assert.deepEqual(dependents.get(two)!.increments, []);
    assert.deepEqual(dependents.get(three)!.increments, []);
  });
});

suite("the tree of timelines", () => {
  test("each below its parent, with what is not known said", () => {
    const archive = simple();
    archive.history(2, stored(20), [1, segmentStart(15, SEGMENT_SIZE)]);
    archive.history(4, stored(25), [1, segmentStart(15, SEGMENT_SIZE)], [3, end(18)]);
    archive.wal({ timeline: 2, first: 15, last: 18, time: stored });
    archive.wal({ timeline: 7, first: 15, last: 18, time: stored });
    assert.deepEqual(
      timelineTree(read(archive)).map(({ timeline, depth, parent, forkLsn, begun, isKnown }) => [
        timeline,
        depth,
        parent,
        forkLsn,
        begun,
        isKnown,
      ]),
      [
        [1, 0, undefined, undefined, undefined, true],
        [2, 1, 1, segmentStart(15, SEGMENT_SIZE), stored(20), true],
        [3, 1, 1, segmentStart(15, SEGMENT_SIZE), undefined, true],
        [4, 2, 3, end(18), stored(25), true],
        [7, 0, undefined, undefined, undefined, false],
      ],
    );
  });

  test("a history with ten thousand lines costs no more than its lines", () => {
    const forks = Array.from({ length: 10_000 }, (_, i): [number, bigint] => [
      i + 1,
      segmentStart(i + 1, SEGMENT_SIZE),
    ]);
    const archive = simple().history(10_001, stored(1), ...forks);
    const tree = timelineTree(read(archive));
    assert.equal(tree.length, 10_001);
    assert.equal(tree.at(-1)!.depth, 10_000);
  });
});

suite("totals", () => {
  test("every object is counted once, but for histories and labels", () => {
    const object = fc.record({
      kind: fc.constantFrom("wal", "partial", "duplicate", "foreign", "tar", "meta", "short"),
      segment: fc.integer({ min: 0, max: 30 }),
      size: fc.integer({ min: 1, max: 10_000 }),
    });
    fc.assert(
      fc.property(fc.array(object, { maxLength: 30 }), (found) => {
        const archive = simple();
        const paths = new Set(archive.objects.map(({ path }) => path));
        for (const { kind, segment, size } of found) {
          const id = idAt(stored(segment) + DAY);
          const path = {
            wal: walPath(1, segment, ".gz"),
            partial: walPath(1, segment, ".partial.gz"),
            duplicate: walPath(1, segment, ".zst"),
            foreign: `notes/${segment}`,
            tar: `base/${id}/data.tar`,
            meta: `meta/${id}/backup_manifest`,
            short: walPath(1, segment),
          }[kind]!;
          if (paths.has(path)) continue;
          paths.add(path);
          archive.put(path, stored(segment), size);
        }
        const { totals } = takeInventory(read(archive), NOW);
        const { backupBytes, walBytes, leftoverBytes } = totals;
        assert.equal(
          backupBytes + walBytes + leftoverBytes,
          archive.objects.reduce((sum, { size }) => sum + size, 0),
        );
      }),
    );
  });
});
