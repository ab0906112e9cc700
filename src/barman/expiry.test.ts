// What may be let go: held against a model of what PostgreSQL reads in a recovery, and against the catalogue of what is
// left when the plan was carried out.

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import {
  Archive,
  DAY,
  doneInfo,
  idAt,
  name,
  NOW,
  read,
  SEGMENT_SIZE,
  simple,
  START,
  stored,
} from "../../test/barman/archives.ts";
import type { BackupInfo } from "./backup-info.ts";
import type { Catalogue } from "./catalogue.ts";
import { planExpiry, type ExpiryPlan } from "./expiry.ts";
import { segmentStart } from "./lsn.ts";
import { parseRetentionPolicy } from "./retention.ts";
import { segmentName } from "./wal-name.ts";

const plan = (archive: Archive, policy: string, now = NOW): ExpiryPlan =>
  planExpiry({
    catalogue: read(archive, now),
    policy: parseRetentionPolicy(policy, "policy"),
    now,
  });

const released = ({ releasable }: ExpiryPlan): string[] =>
  releasable.map(({ path }) => path.slice(-27).replace(/\.gz$/, ""));

suite("plans", () => {
  test("WAL before the first backup that stays is released, and nothing behind it", () => {
    const archive = simple();
    archive.backup(doneInfo({ first: 20, time: stored(20) }));
    const { judged, firstWal, blocked, releasable } = plan(archive, "REDUNDANCY 1");
    assert.deepEqual(
      [...judged.values()].map(({ verdict }) => verdict),
      ["obsolete", "valid"],
    );
    assert.deepEqual([...firstWal], [[idAt(stored(20)), name(20)]]);
    assert.equal(blocked, undefined);
    assert.equal(releasable.length, 12);
    assert.ok(releasable.every(({ path }) => path.slice(-27, -3) < name(20)));
  });

  test("a standalone backup holds its own WAL only, unless the window begins with it", () => {
    const archive = new Archive().wal({ first: 1, last: 40, time: (n) => START + n * DAY });
    const at = (segment: number): number => START + segment * DAY;
    archive.backup(doneInfo({ first: 5, last: 6, time: at(6) }), { keep: "standalone" });
    archive.backup(doneInfo({ first: 10, time: at(10) }));
    archive.backup(doneInfo({ first: 20, time: at(20) }));
    const open = released(plan(archive, "REDUNDANCY 1", at(40)));
    const expected = [1, 2, 3, 4, ...Array.from({ length: 13 }, (_, i) => i + 7)].map((n) =>
      name(n),
    );
    assert.deepEqual(
      open.map((path) => path.slice(-24)).toSorted((a, b) => (a < b ? -1 : 1)),
      expected,
    );
    assert.equal(plan(archive, "2d", at(10)).releasable.length, 4);
  });

  test("nothing is released while anything is in doubt", () => {
    const unknown = simple();
    unknown.backup(
      doneInfo({ first: 20, time: stored(20), more: { extra: new Map([["future", "1"]]) } }),
    );
    assert.match(plan(unknown, "REDUNDANCY 1").blocked!, /not known/);
    const damaged = simple().put("base/20261101T100000/backup.info", START, Buffer.from("?"));
    assert.match(plan(damaged, "REDUNDANCY 1").blocked!, /backup 20261101T100000 needs/);
    const contradictory = simple()
      .history(2, START, [1, 100n])
      .history(3, START, [1, 101n], [2, 200n]);
    assert.match(plan(contradictory, "REDUNDANCY 1").blocked!, /timeline 2/);
    for (const archive of [unknown, damaged, contradictory])
      assert.deepEqual(plan(archive, "REDUNDANCY 1").releasable, []);
  });

  test("without a backup that wants what lies behind it, nothing is released", () => {
    assert.deepEqual(
      plan(new Archive().wal({ first: 1, last: 9, time: stored }), "7d").releasable,
      [],
    );
    const failed = new Archive().wal({ first: 1, last: 9, time: stored });
    failed.backup(doneInfo({ first: 8, time: stored(8), more: { status: "FAILED" } }));
    assert.deepEqual(plan(failed, "7d").releasable, []);
  });

  test("a backup that may be under way holds its WAL, an old one that never ended does not", () => {
    const archive = new Archive()
      .wal({ first: 1, last: 30, time: stored })
      .wal({ timeline: 2, first: 1, last: 30, time: stored });
    archive.backup(
      doneInfo({ first: 2, time: stored(2), more: { status: "STARTED", endTime: null } }),
    );
    archive.backup(doneInfo({ first: 10, time: stored(10) }));
    archive.backup(
      doneInfo({
        timeline: 2,
        first: 5,
        time: stored(12),
        more: { status: "STARTED", endTime: null },
      }),
    );
    const gone = released(plan(archive, "REDUNDANCY 1"));
    // Where timeline 2 comes from is not known, so all of it is needed.
    assert.deepEqual(
      gone.map((path) => path.slice(-24)),
      Array.from({ length: 9 }, (_, i) => name(i + 1)),
    );
  });

  test("a timeline that is newer than all backups keeps its WAL: its first backup may be under way", () => {
    // Somebody went back to a moment before the only backup, and went on from there.
    const archive = new Archive().wal({ first: 1, last: 30, time: stored });
    archive.backup(doneInfo({ first: 10, time: stored(10) }));
    archive.history(2, stored(31), [1, segmentStart(5, SEGMENT_SIZE) + 9n]);
    archive.wal({ timeline: 2, first: 5, last: 40, time: stored });
    assert.equal(plan(archive, "REDUNDANCY 1").releasable.length, 9);
    archive.backup(doneInfo({ timeline: 2, first: 38, time: stored(41) }));
    assert.equal(plan(archive, "REDUNDANCY 2").releasable.length, 9 + 33);
    assert.equal(plan(archive, "REDUNDANCY 1").releasable.length, 30 + 33);
  });

  test("backups of a branch that was left behind do not take the place of those that lead to what is written now", () => {
    const at = (segment: number): number => START + segment * DAY;
    const archive = new Archive().wal({ first: 1, last: 30, time: at });
    const live = archive.backup(doneInfo({ first: 5, time: at(5) }));
    const dead = archive.backup(doneInfo({ first: 20, time: at(20) }));
    const older = archive.backup(doneInfo({ first: 2, time: at(2) }));
    // On the last day somebody went back to a moment before the newest backup.
    archive.history(2, at(31), [1, segmentStart(10, SEGMENT_SIZE) + 9n]);
    archive.wal({ timeline: 2, first: 10, last: 12, time: (n) => at(n + 21) });
    for (const policy of ["REDUNDANCY 1", "7d"]) {
      const { judged } = plan(archive, policy, at(34));
      assert.equal(judged.get(dead)!.verdict, "valid", policy);
      assert.equal(judged.get(live)!.verdict, "valid", policy);
      assert.equal(judged.get(older)!.verdict, "obsolete", policy);
    }
    // Once there is one of the new timeline, and the moments of the old one are out of the window.
    archive.backup(doneInfo({ timeline: 2, first: 12, time: at(33) }));
    for (const policy of ["REDUNDANCY 1", "7d"]) {
      const { judged } = plan(archive, policy, at(45));
      assert.equal(judged.get(live)!.verdict, "obsolete", policy);
    }
  });

  test("a standalone backup holds nothing of the timelines that come out of its own", () => {
    const archive = new Archive().wal({ first: 5, last: 7, time: stored });
    archive.backup(doneInfo({ first: 5, time: stored(5) }), { keep: "standalone" });
    archive.history(2, stored(7), [1, segmentStart(7, SEGMENT_SIZE) + 9n]);
    archive.wal({ timeline: 2, first: 7, last: 30, time: stored });
    archive.backup(doneInfo({ timeline: 2, first: 20, time: stored(20) }));
    const gone = released(plan(archive, "REDUNDANCY 1")).map((path) => path.slice(-24));
    const expected = [name(6), name(7), ...Array.from({ length: 13 }, (_, i) => name(i + 7, 2))];
    assert.deepEqual(gone, expected);
  });

  test("a backup whose segments had another size holds what may be its own", () => {
    const archive = new Archive().wal({ first: 300, last: 340, time: stored });
    archive.backup(doneInfo({ first: 300, time: stored(300) }), { keep: "full" });
    // The names with numbers below 64 are names under the larger size too, and of smaller numbers.
    const now = doneInfo({ first: 200, time: stored(400) });
    const size = 4 * SEGMENT_SIZE;
    const [beginLsn, endLsn] = [segmentStart(200, size) + 40n, segmentStart(200, size) + 1000n];
    const wal = segmentName(1, 200, size);
    const more = { beginLsn, endLsn, beginWal: wal, endWal: wal, beginOffset: 40, endOffset: 1000 };
    archive.backup({ ...now, ...more, segmentSize: size });
    assert.deepEqual(plan(archive, "REDUNDANCY 1").releasable, []);
  });

  test("labels and a partial segment go with the segments around them", () => {
    const archive = new Archive().wal({ first: 10, last: 30, time: stored });
    archive.put(`wals/0000000100000000/${name(9)}.partial`, START, SEGMENT_SIZE);
    archive.put(`wals/0000000100000000/${name(31)}.partial`, START, SEGMENT_SIZE);
    const label = `${name(9)}.00000028.backup`;
    archive.put(`wals/0000000100000000/${label}`, START, 300);
    archive.put(`wals/0000000100000000/${name(10)}.00000028.backup`, START, 300);
    archive.backup(doneInfo({ first: 10, time: stored(10) }));
    assert.deepEqual(released(plan(archive, "7d")), [
      `${name(9)}.partial`.slice(-27),
      label.slice(-27),
    ]);
  });
});

interface Scene {
  readonly forks: readonly {
    readonly parent: number;
    readonly segment: number;
    readonly offset: number;
  }[];
  readonly backups: readonly {
    readonly timeline: number;
    readonly first: number;
    readonly length: number;
    readonly keep: string;
    readonly status: string;
  }[];
  readonly holes: readonly number[];
  readonly hidden: boolean;
  readonly policy: string;
}

const anyScene: fc.Arbitrary<Scene> = fc.record({
  forks: fc.array(
    fc.record({
      parent: fc.nat(),
      segment: fc.integer({ min: 1, max: 30 }),
      offset: fc.constantFrom(0, 500),
    }),
    { maxLength: 3 },
  ),
  backups: fc.array(
    fc.record({
      timeline: fc.nat(),
      first: fc.integer({ min: 1, max: 38 }),
      length: fc.integer({ min: 0, max: 2 }),
      keep: fc.constantFrom("", "", "", "full", "standalone"),
      status: fc.constantFrom("DONE", "DONE", "DONE", "DONE", "FAILED", "STARTED"),
    }),
    { maxLength: 7 },
  ),
  holes: fc.array(fc.integer({ min: 0, max: 160 }), { maxLength: 3 }),
  hidden: fc.boolean(),
  policy: fc.constantFrom("REDUNDANCY 1", "REDUNDANCY 2", "3d", "10d", "3w"),
});

const LAST = 40;
const dayOf = (segment: number): number => START + segment * DAY;

/** The archive of a scene; a segment lasts a day. Timeline n+2 leaves the timeline of `forks[n]`. */
function build({ forks, backups, holes, hidden }: Scene): {
  archive: Archive;
  lines: [number, bigint][][];
} {
  const archive = new Archive();
  const lines: [number, bigint][][] = [[]];
  for (const { parent, segment, offset } of forks) {
    const from = parent % lines.length;
    const before = lines[from]!.at(-1)?.[1] ?? 0n;
    const at = segmentStart(segment, SEGMENT_SIZE) + BigInt(offset);
    lines.push([...lines[from]!, [from + 1, at > before ? at : before]]);
  }
  let place = 0;
  for (const [i, line] of lines.entries()) {
    const timeline = i + 1;
    const from = line.at(-1);
    const first = from ? Number(from[1] / BigInt(SEGMENT_SIZE)) : 0;
    for (let segment = first; segment <= LAST; segment++)
      if (!holes.includes(place++))
        archive.wal({ timeline, first: segment, last: segment, time: dayOf });
    if (from && !(hidden && i === lines.length - 1))
      archive.history(timeline, dayOf(first), ...line);
  }
  const seen = new Set<number>();
  for (const { timeline: given, first: wanted, length, keep, status } of backups) {
    const timeline = (given % lines.length) + 1;
    const fork = lines[timeline - 1]!.at(-1)?.[1] ?? 0n;
    const size = BigInt(SEGMENT_SIZE);
    const first = Math.max(wanted, Number((fork + size - 1n) / size));
    if (seen.has(first + length) || first > LAST) continue;
    seen.add(first + length);
    const more = { status: status as BackupInfo["status"] };
    const info = doneInfo({
      timeline,
      first,
      last: first + length,
      time: dayOf(first + length),
      more,
    });
    archive.backup(info, keep === "" ? {} : { keep });
  }
  return { archive, lines };
}

/** The files that PostgreSQL may read in a recovery that begins with a backup, to any timeline. */
function filesOf(
  backup: { timeline: number; first: number; endLsn: bigint },
  lines: readonly [number, bigint][][],
): Set<string> {
  const files = new Set<string>();
  for (const [i, line] of lines.entries()) {
    const way = [...line.map(([timeline]) => timeline), i + 1];
    const at = way.indexOf(backup.timeline);
    if (at === -1 || (at < line.length && backup.endLsn > line[at]![1])) continue;
    for (let segment = backup.first; segment <= LAST; segment++) {
      // The newest timeline on the way that has begun in or before the segment.
      const steps = line.filter(([, lsn]) => Number(lsn / BigInt(SEGMENT_SIZE)) <= segment).length;
      files.add(name(segment, way[steps]));
    }
  }
  return files;
}

/** What is left when the plan was carried out. */
function carryOut(archive: Archive, { judged, releasable }: ExpiryPlan): Archive {
  const left = new Archive();
  const gone = new Set(releasable.map(({ path }) => path));
  for (const object of archive.objects) {
    const id = /^base\/([^/]+)\//.exec(object.path)?.[1];
    if (gone.has(object.path) || (id && judged.get(id)?.verdict === "obsolete")) continue;
    left.objects.push(object);
  }
  for (const [path, content] of archive.contents) left.contents.set(path, content);
  return left;
}

const reach = ({ windows }: Catalogue, id: string): string[] =>
  windows
    .filter(({ backups }) => backups.includes(id))
    .map(({ timeline, to }) => `${timeline} ${to.lsn}`);

suite("any archive", () => {
  test("no segment that a kept backup needs is ever released", () => {
    let count = 0;
    fc.assert(
      fc.property(anyScene, (scene) => {
        const { archive, lines } = build(scene);
        const now = dayOf(LAST + 1);
        const expiry = plan(archive, scene.policy, now);
        const gone = new Set(released(expiry).map((path) => path.slice(-24)));
        count += gone.size;
        const catalogue = read(archive, now);
        for (const { id, info, segments, keep, state } of catalogue.backups) {
          const { verdict } = expiry.judged.get(id)!;
          if (verdict === "obsolete" || state !== "done") continue;
          const { first, last } = segments!;
          for (let segment = first; segment <= last; segment++)
            assert.ok(
              !gone.has(name(segment, info!.timeline!)),
              `${id} needs ${segment} of itself`,
            );
          if (keep === "standalone") continue;
          for (const file of filesOf(
            { timeline: info!.timeline!, first, endLsn: info!.endLsn! },
            lines,
          ))
            assert.ok(!gone.has(file), `${id} needs ${file}`);
        }
      }),
      { numRuns: 4000 },
    );
    assert.ok(count > 10_000, `${count} released`);
  });

  test("carried out, it takes no moment from a backup that stays, and a second plan finds nothing more", () => {
    fc.assert(
      fc.property(anyScene, (scene) => {
        const { archive } = build(scene);
        const now = dayOf(LAST + 1);
        const expiry = plan(archive, scene.policy, now);
        const [before, left] = [read(archive, now), carryOut(archive, expiry)];
        const after = read(left, now);
        for (const { id, keep } of after.backups) {
          if (keep === "standalone")
            assert.equal(reach(after, id).length > 0, reach(before, id).length > 0);
          else assert.deepEqual(reach(after, id), reach(before, id));
        }
        const again = plan(left, scene.policy, now);
        assert.ok([...again.judged.values()].every(({ verdict }) => verdict !== "obsolete"));
        assert.deepEqual(again.releasable, []);
      }),
      { numRuns: 2000 },
    );
  });

  test("every moment of the window that could be recovered still can", () => {
    fc.assert(
      fc.property(anyScene, (scene) => {
        const { archive } = build(scene);
        const now = dayOf(LAST + 1);
        const days = { "3d": 3, "10d": 10, "3w": 21 }[scene.policy] ?? 0;
        const left = read(carryOut(archive, plan(archive, scene.policy, now)), now);
        const before = read(archive, now);
        // On which branches, as one that was left behind may be what somebody wants back.
        const covers = ({ windows }: Catalogue, time: number): string =>
          windows
            .filter(({ from, to }) => from.time! <= time && time <= to.time!)
            .map(({ timeline }) => timeline)
            .join();
        for (let time = now - days * DAY; days > 0 && time < now; time += DAY / 4)
          assert.equal(covers(left, time), covers(before, time), new Date(time).toISOString());
      }),
      { numRuns: 2000 },
    );
  });
});
