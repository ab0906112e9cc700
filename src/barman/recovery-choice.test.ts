// Choosing, by hand-made archives for each rule. Against a model: src/barman/recovery-model.test.ts.

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import {
  Archive,
  doneInfo,
  ID,
  idAt,
  name,
  NOW,
  read,
  SEGMENT_SIZE,
  simple,
  stored,
} from "../../test/barman/archives.ts";
import { isHoldfastError } from "../base/errors.ts";
import type { Catalogue } from "./catalogue.ts";
import { segmentStart } from "./lsn.ts";
import { chooseRecovery, type RecoveryChoice } from "./recovery-choice.ts";
import type { RecoveryTarget } from "./recovery-target.ts";

const latest: RecoveryTarget = { kind: "latest" };
const at = (milliseconds: number): RecoveryTarget => ({
  kind: "time",
  micros: milliseconds * 1000,
});
const lsn = (segment: number, offset = 100n): RecoveryTarget => ({
  kind: "lsn",
  lsn: segmentStart(segment, SEGMENT_SIZE) + offset,
});

function choose(
  archive: Archive | Catalogue,
  target: RecoveryTarget,
  more: { timeline?: number; backup?: string } = {},
): RecoveryChoice {
  const catalogue = archive instanceof Archive ? read(archive) : archive;
  return chooseRecovery({ catalogue, target, now: NOW, ...more });
}

/** What of a choice matters here. */
function told({ backup, timeline, wal }: RecoveryChoice): unknown[] {
  return [backup.id, timeline, wal.stretches.map((one) => [one.timeline, one.first, one.last])];
}

function refusal(message: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(isHoldfastError(error, "TARGET_UNREACHABLE"), String(error));
    assert.match(error.message, message);
    return true;
  };
}

suite("one timeline", () => {
  test("latest takes the newest backup and all WAL", () => {
    const archive = simple();
    const second = archive.backup(doneInfo({ first: 20, time: stored(21) }));
    assert.deepEqual(told(choose(archive, latest)), [second, 1, [[1, 20, 30]]]);
  });

  test("a time takes the newest backup that ended before, and WAL stored by then and one more", () => {
    const archive = simple();
    const second = archive.backup(doneInfo({ first: 20, time: stored(21) }));
    assert.deepEqual(told(choose(archive, at(stored(21)))), [second, 1, [[1, 20, 22]]]);
    assert.deepEqual(told(choose(archive, at(stored(21) - 1))), [ID, 1, [[1, 10, 21]]]);
  });

  test("a position, to the byte before it", () => {
    const { walObjects, walBytes, ...choice } = choose(simple(), lsn(15));
    assert.deepEqual(told({ ...choice, walObjects, walBytes }), [ID, 1, [[1, 10, 15]]]);
    assert.deepEqual([walObjects, walBytes], [6, 24_000]);
    assert.deepEqual(told(choose(simple(), lsn(15, 0n))), [ID, 1, [[1, 10, 14]]]);
    assert.deepEqual(told(choose(simple(), lsn(31, 0n))), [ID, 1, [[1, 10, 30]]]);
    assert.throws(
      () => choose(simple(), lsn(31, 1n)),
      refusal(new RegExp(`WAL ${name(31)}.*missing`)),
    );
    assert.throws(() => choose(simple(), lsn(11, 399n)), refusal(/every backup ends behind that/));
  });

  test("immediate needs only the WAL of the backup", () => {
    assert.deepEqual(told(choose(simple(), { kind: "immediate" })), [ID, 1, [[1, 10, 11]]]);
  });

  test("names and transactions: the newest backup, and it says so", () => {
    for (const target of [
      { kind: "name", name: "odoo:1" } as const,
      { kind: "xid", xid: 700n } as const,
    ]) {
      const choice = choose(simple(), target);
      assert.equal(choice.notes.length, 1);
      assert.deepEqual(choose(simple(), target, { backup: ID }).notes, []);
    }
  });

  test("the future, before the first backup, behind the end: each with what can be reached", () => {
    const reach = `from ${new Date(stored(12)).toISOString()} \\(0/B000190\\) to ${new Date(stored(30)).toISOString()}`;
    assert.throws(() => choose(simple(), at(NOW + 1)), refusal(/in the future/));
    assert.throws(() => choose(simple(), at(stored(12) - 1)), refusal(/first backup.*ended/));
    assert.throws(() => choose(simple(), at(stored(30) + 1)), refusal(/WAL of the archive ends/));
    assert.throws(() => choose(simple(), at(stored(30) + 1)), refusal(new RegExp(reach)));
  });

  test("between windows the first missing segment is named", () => {
    const archive = simple().remove(name(15)).remove(name(16));
    archive.backup(doneInfo({ first: 20, time: stored(21) }));
    assert.deepEqual(told(choose(archive, at(stored(14)))), [ID, 1, [[1, 10, 14]]]);
    assert.throws(
      () => choose(archive, at(stored(18))),
      refusal(new RegExp(`${name(15)}.*missing`)),
    );
    assert.equal(choose(archive, at(stored(25))).backup.id, idAt(stored(21)));
    assert.throws(
      () => choose(archive, latest, { backup: ID }),
      refusal(new RegExp(`${name(15)}.*missing`)),
    );
  });

  test("a partial segment carries the recovery on", () => {
    const archive = simple().put(
      `wals/${name(31).slice(0, 16)}/${name(31)}.partial.gz`,
      stored(40),
      70,
    );
    assert.equal(choose(archive, at(stored(40))).wal.partial?.size, 70);
    assert.equal(choose(archive, lsn(31, 1n)).wal.partial?.size, 70);
    assert.throws(() => choose(archive, lsn(32, 1n)), refusal(/missing/));
  });

  test("a backup that is not there, or not whole", () => {
    assert.throws(
      () => choose(simple(), latest, { backup: "20200101T000000" }),
      (error) => isHoldfastError(error, "BACKUP_NOT_FOUND"),
    );
    const cut = simple().remove(name(11));
    assert.throws(() => choose(cut, latest, { backup: ID }), refusal(/cannot be restored: WAL/));
    assert.throws(() => choose(cut, latest), refusal(/no backup can be restored/));
    assert.throws(
      () => choose(new Archive(), latest),
      (error) => isHoldfastError(error, "BACKUP_NOT_FOUND"),
    );
  });

  test("a storage that does not tell times refuses none that may be there", () => {
    const archive = new Archive().wal({ first: 8, last: 30, time: () => 0 });
    archive.backup(doneInfo({ first: 10, last: 11, time: stored(12) }));
    assert.equal(choose(archive, at(stored(99))).backup.id, ID);
  });

  test("targets that cannot be", () => {
    const impossible: RecoveryTarget[] = [
      { kind: "name", name: "" },
      { kind: "name", name: "x".repeat(64) },
      { kind: "name", name: "a\nb" },
      { kind: "xid", xid: 2n },
      { kind: "time", micros: Number.NaN },
    ];
    for (const target of impossible)
      assert.throws(
        () => choose(simple(), target),
        (error) => isHoldfastError(error, "USAGE"),
      );
  });
});

suite("several timelines", () => {
  const FORK = segmentStart(20, SEGMENT_SIZE) + 5000n;
  /** Timeline 1 ends in segment 20, `last` is its last whole one; timeline 2 begins there at minute 22. */
  function promoted(last: number): Archive {
    const archive = new Archive().wal({ first: 8, last, time: stored });
    archive.backup(doneInfo({ first: 10, last: 11, time: stored(12) }));
    return archive
      .history(2, stored(22), [1, FORK])
      .wal({ timeline: 2, first: 20, last: 40, time: (segment) => stored(segment + 3) });
  }

  test("latest follows the newest timeline", () => {
    assert.deepEqual(told(choose(promoted(19), latest)), [
      ID,
      2,
      [
        [1, 10, 19],
        [2, 20, 40],
      ],
    ]);
    assert.deepEqual(told(choose(promoted(25), latest)), [
      ID,
      2,
      [
        [1, 10, 19],
        [2, 20, 40],
      ],
    ]);
  });

  test("a moment at which nobody wrote is the end of the parent", () => {
    assert.equal(choose(promoted(19), at(stored(20))).timeline, 2);
    assert.equal(choose(promoted(19), at(stored(21))).timeline, 2);
    assert.equal(choose(promoted(19), at(stored(15))).timeline, 2);
  });

  test("what an old timeline wrote behind the fork stays its own", () => {
    assert.equal(choose(promoted(25), at(stored(21))).timeline, 1);
    assert.equal(choose(promoted(25), at(stored(23))).timeline, 2);
    assert.equal(choose(promoted(25), at(stored(23)), { timeline: 1 }).timeline, 1);
    assert.deepEqual(told(choose(promoted(25), lsn(24))), [
      ID,
      2,
      [
        [1, 10, 19],
        [2, 20, 24],
      ],
    ]);
    assert.match(choose(promoted(25), lsn(24)).notes.join(), /--timeline 1/);
    assert.deepEqual(choose(promoted(25), lsn(15)).notes, []);
    assert.equal(choose(promoted(25), lsn(24), { timeline: 1 }).timeline, 1);
  });

  test("a backup behind the fork of an abandoned timeline is never taken", () => {
    const archive = promoted(25);
    const abandoned = archive.backup(doneInfo({ first: 22, last: 23, time: stored(23) }));
    assert.equal(choose(archive, latest).backup.id, ID);
    assert.equal(choose(archive, at(stored(30))).backup.id, ID);
    assert.throws(
      () => choose(archive, latest, { backup: abandoned, timeline: 2 }),
      refusal(/no backup leads/),
    );
    assert.equal(choose(archive, latest, { timeline: 1 }).backup.id, abandoned);
    // Named, it is followed on its own timeline.
    assert.equal(choose(archive, latest, { backup: abandoned }).timeline, 1);
  });

  test("after a recovery to an earlier moment, the moments that it undid are on the old timeline", () => {
    // Timeline 2 left at segment 14, at minute 35, long after timeline 1 had ended at minute 30.
    const archive = simple()
      .history(2, stored(35), [1, segmentStart(14, SEGMENT_SIZE) + 5n])
      .wal({ timeline: 2, first: 14, last: 20, time: (segment) => stored(segment + 22) });
    assert.equal(choose(archive, at(stored(25))).timeline, 1);
    assert.equal(choose(archive, at(stored(38))).timeline, 2);
    assert.throws(
      () => choose(archive, at(stored(33))),
      refusal(/no WAL of the server that wrote/),
    );
  });

  test("a timeline of unknown descent is followed from its own backups only", () => {
    const archive = promoted(19).remove("00000002.history");
    assert.throws(
      () => choose(archive, latest, { timeline: 2 }),
      (error) => isHoldfastError(error, "BARMAN_TIMELINE_UNKNOWN"),
    );
    const own = archive.backup(doneInfo({ timeline: 2, first: 30, time: stored(34) }));
    assert.deepEqual(told(choose(archive, latest)), [own, 2, [[2, 30, 40]]]);
  });

  test("the newest timeline is not left out in silence when no backup leads to it", () => {
    const unknown = promoted(19).remove("00000002.history");
    const isUnknown = (error: unknown): boolean =>
      isHoldfastError(error, "BARMAN_TIMELINE_UNKNOWN");
    assert.throws(() => choose(unknown, latest), isUnknown);
    assert.equal(choose(unknown, latest, { timeline: 1 }).timeline, 1);
    // Before it began, all is known.
    assert.equal(choose(unknown, at(stored(18))).timeline, 1);
    // The old server went on: both wrote at that moment.
    const both = promoted(30).remove("00000002.history");
    assert.throws(() => choose(both, at(stored(28))), isUnknown);
    assert.match(choose(both, lsn(25)).notes.join(), /timeline 2 was written later/);
    // What is known of it is that the only backup is of the branch that was left behind.
    const abandoned = promoted(30).remove(`base/${ID}`);
    const id = abandoned.backup(doneInfo({ first: 22, last: 23, time: stored(23) }));
    assert.throws(() => choose(abandoned, latest), refusal(/no backup leads to it.*--timeline 1/));
    assert.throws(() => choose(abandoned, at(stored(28))), refusal(/timeline 2 was written then/));
    assert.match(choose(abandoned, latest, { backup: id }).notes.join(), /no backup leads to it/);
    // A copy that wrote for a while, long ago, stands in nobody's way.
    abandoned.wal({ first: 31, last: 60, time: stored });
    assert.equal(choose(abandoned, latest).timeline, 1);
    assert.equal(choose(abandoned, at(stored(50))).timeline, 1);
  });
});
