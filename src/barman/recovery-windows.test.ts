import assert from "node:assert/strict";
import { suite, test } from "node:test";
import {
  Archive,
  doneInfo,
  ID,
  idAt,
  name,
  read,
  SEGMENT_SIZE,
  stored,
} from "../../test/barman/archives.ts";
import { isDescription } from "./catalogue.ts";
import { segmentStart } from "./lsn.ts";

suite("timelines", () => {
  /** A standby took over in the middle of segment 20, from timeline 1, which went on to 22; timeline 2 has 20 to 40. */
  const FORK = segmentStart(20, SEGMENT_SIZE) + 5000n;
  function promoted(): Archive {
    const archive = new Archive().wal({ first: 8, last: 22, time: stored });
    archive.backup(doneInfo({ first: 10, last: 11, time: stored(12) }));
    return archive
      .history(2, stored(21), [1, FORK])
      .wal({ timeline: 2, first: 20, last: 40, time: stored });
  }

  test("a backup serves the timelines that come out of its own, behind it", () => {
    const { windows, gaps, problems } = read(promoted());
    assert.deepEqual([gaps, problems], [[], []]);
    assert.deepEqual(
      windows.map(({ timeline, from, to, backups }) => [
        timeline,
        from.lsn,
        from.time,
        to.lsn,
        backups,
      ]),
      [
        [
          1,
          segmentStart(11, SEGMENT_SIZE) + 400n,
          stored(12),
          segmentStart(23, SEGMENT_SIZE),
          [ID],
        ],
        [2, FORK, stored(21), segmentStart(41, SEGMENT_SIZE), [ID]],
      ],
    );
  });

  test("a backup that ended after the fork is of no use on the other timeline", () => {
    const archive = promoted();
    archive.backup(doneInfo({ first: 21, last: 22, time: stored(22) }));
    const ids = read(archive).windows.map(({ timeline, backups }) => [timeline, backups]);
    assert.deepEqual(ids, [
      [1, [ID, idAt(stored(22))]],
      [2, [ID]],
    ]);
  });

  test("what cannot be followed past a hole: not a standalone backup, nor one behind the fork", () => {
    const archive = promoted().remove(name(25, 2));
    archive.backup(doneInfo({ first: 21, last: 22, time: stored(22) }));
    archive.backup(doneInfo({ first: 13, time: stored(13) }), { keep: "standalone" });
    const { gaps } = read(archive);
    assert.deepEqual(
      gaps.map(({ firstMissing, cutsOff }) => [firstMissing, cutsOff]),
      [[name(25, 2), [ID]]],
    );
  });

  test("holes at a fork: before it, in the segment of it, and behind it", () => {
    const tail = read(
      promoted()
        .remove(`${name(19)}`)
        .remove(name(20))
        .remove(name(21))
        .remove(name(22)),
    );
    assert.deepEqual(
      tail.gaps.map(({ timeline, firstMissing, count, cutsOff }) => [
        timeline,
        firstMissing,
        count,
        cutsOff,
      ]),
      [[1, name(19), 1, [ID]]],
    );
    assert.deepEqual(
      tail.windows.map(({ timeline }) => timeline),
      [1],
    );
    const head = read(promoted().remove(name(20, 2)));
    assert.deepEqual(
      head.gaps.map(({ timeline, firstMissing }) => [timeline, firstMissing]),
      [[2, name(20, 2)]],
    );
    assert.deepEqual(
      head.windows.map(({ timeline }) => timeline),
      [1],
    );
    const behind = read(promoted().remove(name(21, 2)));
    assert.equal(behind.windows[1]!.to.lsn, segmentStart(21, SEGMENT_SIZE));
    // The segment of the fork is needed of the new timeline only.
    assert.deepEqual(read(promoted().remove(name(20)).remove(name(21)).remove(name(22))).gaps, []);
  });

  test("without its history, a timeline stands alone", () => {
    const archive = promoted().remove("00000002.history");
    archive.backup(doneInfo({ timeline: 2, first: 30, time: stored(30) }));
    const { windows, gaps } = read(archive);
    assert.deepEqual(gaps, []);
    assert.deepEqual(
      windows.map(({ timeline, backups }) => [timeline, backups]),
      [
        [1, [ID]],
        [2, [idAt(stored(30))]],
      ],
    );
  });

  test("contradictory histories are one problem, and what does not depend on them is still there", () => {
    const archive = promoted().history(3, stored(50), [1, FORK + 1n], [2, FORK + 9n]);
    const { problems, windows } = read(archive);
    assert.deepEqual(
      problems.map(({ code }) => code),
      ["BARMAN_HISTORY_DAMAGED"],
    );
    assert.match(
      problems[0]!.message,
      /00000002\.history.*00000003\.history|00000003\.history.*00000002\.history/,
    );
    assert.deepEqual(
      windows.map(({ timeline }) => timeline),
      [1],
    );
  });

  test("what has to be read is told beforehand", () => {
    assert.deepEqual(
      promoted()
        .objects.map(({ path }) => path)
        .filter(isDescription),
      [`base/${ID}/backup.info`, "wals/00000002.history"],
    );
    assert.ok(isDescription(`base/${ID}/annotations/keep`));
    assert.ok(isDescription("wals/00000002.history.gz"));
  });
});
