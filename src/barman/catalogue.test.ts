import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import {
  Archive,
  doneInfo,
  ID,
  idAt,
  MINUTE,
  name,
  NOW,
  read,
  SEGMENT_SIZE,
  simple,
  START,
  stored,
  walPath,
} from "../../test/barman/archives.ts";
import { formatBackupInfo } from "./backup-info.ts";
import { planExpiry } from "./expiry.ts";
import { segmentStart } from "./lsn.ts";
import { parseRetentionPolicy } from "./retention.ts";

suite("backups and windows", () => {
  test("an archive without fault", () => {
    const { backups, gaps, windows, orphans, problems, readOnly, segmentSize } = read(simple());
    assert.deepEqual(
      backups.map(({ id, state, bytes, flaws, keep }) => ({ id, state, bytes, flaws, keep })),
      [{ id: ID, state: "done", bytes: 5000, flaws: [], keep: undefined }],
    );
    assert.deepEqual(
      [gaps, orphans, problems, readOnly, segmentSize],
      [[], [], [], false, SEGMENT_SIZE],
    );
    assert.deepEqual(windows, [
      {
        timeline: 1,
        from: { lsn: segmentStart(11, SEGMENT_SIZE) + 400n, time: stored(12) },
        to: { lsn: segmentStart(31, SEGMENT_SIZE), time: stored(30) },
        partial: undefined,
        backups: [ID],
      },
    ]);
  });

  test("what we note of the server itself is no leftover, and anything else there is foreign", () => {
    const archive = simple().put("meta/cluster.json", START, 30).put("meta/cluster.txt", START, 30);
    archive.put("meta/a/cluster.json", START, 30);
    assert.deepEqual(
      read(archive).orphans.map(({ path, why }) => [path, why]),
      [
        ["meta/cluster.txt", "foreign"],
        ["meta/a/cluster.json", "foreign"],
      ],
    );
  });

  test("an empty archive, and WAL without a backup", () => {
    const empty = read(new Archive());
    assert.deepEqual([empty.backups, empty.windows, empty.gaps], [[], [], []]);
    const wal = read(new Archive().wal({ first: 1, last: 9, time: stored }));
    assert.deepEqual([wal.windows, wal.gaps], [[], []]);
    assert.deepEqual(wal.wal.get(1)!.ranges, [{ first: 1, last: 9 }]);
  });

  test("a missing segment ends a window, and the next backup begins another", () => {
    const archive = simple().remove(name(15)).remove(name(16));
    archive.backup(doneInfo({ first: 20, time: stored(20) }));
    const later = idAt(stored(20));
    const { gaps, windows, backups } = read(archive);
    assert.deepEqual(gaps, [
      {
        timeline: 1,
        firstMissing: name(15),
        lastMissing: name(16),
        count: 2,
        state: "lost",
        cutsOff: [ID],
        hasPartial: false,
      },
    ]);
    assert.deepEqual(
      windows.map(({ from, to, backups: ids }) => [from.time, to.lsn, ids]),
      [
        [stored(12), segmentStart(15, SEGMENT_SIZE), [ID]],
        [stored(20), segmentStart(31, SEGMENT_SIZE), [later]],
      ],
    );
    assert.ok(backups.every(({ flaws }) => flaws.length === 0));
  });

  test("several backups without a hole between them share a window, which begins with the first", () => {
    const archive = simple();
    archive.backup(doneInfo({ first: 20, time: stored(20) }));
    const { windows } = read(archive);
    assert.equal(windows.length, 1);
    assert.equal(windows[0]!.from.time, stored(12));
    assert.deepEqual(windows[0]!.backups, [ID, idAt(stored(20))]);
  });

  test("an archive that is behind is late, however long ago a backup ended", () => {
    const now = stored(500);
    const archive = new Archive().wal({ first: 8, last: 10, time: stored });
    archive.wal({ first: 12, last: 14, time: () => now - MINUTE });
    archive.backup(doneInfo({ first: 10, last: 11, time: stored(12) }));
    assert.deepEqual(
      read(archive, now).gaps.map(({ state, firstMissing }) => [state, firstMissing]),
      [["late", name(11)]],
    );
  });

  test("a segment is late while its successor is young, and lost after that", () => {
    const archive = simple().remove(name(15));
    assert.equal(read(archive, stored(16) + MINUTE).gaps[0]?.state, "late");
    assert.equal(read(archive, stored(16) + 14 * MINUTE).gaps[0]?.state, "late");
    assert.equal(read(archive, stored(16) + 16 * MINUTE).gaps[0]?.state, "lost");
  });

  test("the WAL of a backup itself is missing", () => {
    for (const [segment, missing] of [
      [10, 10],
      [11, 11],
    ] as const) {
      const { backups, windows, gaps } = read(simple().remove(name(segment)));
      assert.deepEqual(backups[0]!.flaws, [`WAL ${name(missing)}, which it needs, is missing`]);
      assert.deepEqual(windows, []);
      assert.equal(gaps[0]!.firstMissing, name(missing));
      assert.deepEqual(gaps[0]!.cutsOff, [ID]);
    }
    // The end was never archived, as on a server where nothing is written.
    const quiet = new Archive().wal({ first: 8, last: 10, time: stored });
    quiet.backup(doneInfo({ first: 10, last: 11, time: stored(12) }));
    assert.equal(read(quiet, stored(13)).gaps[0]!.state, "late");
    assert.equal(read(quiet).gaps[0]!.state, "lost");
    const none = new Archive();
    none.backup(doneInfo({ first: 10, last: 11, time: stored(12) }));
    assert.equal(read(none).gaps[0]!.count, 2);
  });

  test("between a backup that is kept for itself and the next one nothing is missing", () => {
    const archive = new Archive();
    archive.backup(doneInfo({ first: 10, last: 11, time: stored(12) }), { keep: "standalone" });
    archive.wal({ first: 10, last: 11, time: stored }).wal({ first: 20, last: 30, time: stored });
    archive.backup(doneInfo({ first: 20, time: stored(20) }));
    const { gaps, windows, backups } = read(archive);
    assert.deepEqual(
      gaps.map(({ state, count }) => [state, count]),
      [["expired", 8]],
    );
    assert.equal(windows.length, 2);
    assert.equal(windows[0]!.to.lsn, segmentStart(12, SEGMENT_SIZE));
    assert.deepEqual(
      backups.map(({ keep }) => keep),
      ["standalone", undefined],
    );
  });

  test("failed, unfinished and unreadable backups are shown, and give no window", () => {
    const archive = new Archive().wal({ first: 1, last: 50, time: stored });
    archive.backup(
      doneInfo({
        first: 2,
        time: stored(2),
        more: { status: "FAILED", endTime: null, error: "no space" },
      }),
    );
    archive.backup(
      doneInfo({ first: 20, time: stored(20), more: { status: "STARTED", endTime: null } }),
    );
    archive.put("base/20261101T100000/backup.info", START, Buffer.from("status=DONE\n"));
    archive.put("base/20261101T110000/backup.info", START, 300);
    archive.put("base/20261101T120000/data.tar", START, 300);
    const { backups, windows, orphans, problems } = read(archive);
    assert.deepEqual(
      backups.map(({ state, flaws }) => [state, flaws[0]]),
      [
        ["failed", "it is FAILED: no space"],
        ["unfinished", "it is STARTED"],
        [
          "unreadable",
          "base/20261101T100000/backup.info:1: the backup is DONE, but has no begin_time",
        ],
        ["unreadable", "base/20261101T110000/backup.info was not read"],
      ],
    );
    assert.deepEqual(windows, []);
    assert.deepEqual(
      problems.map(({ code }) => code),
      ["BARMAN_INFO_DAMAGED", "INCOMPLETE"],
    );
    assert.deepEqual(
      orphans.map(({ path, why }) => [path, why]),
      [["base/20261101T120000/data.tar", "no-info"]],
    );
  });

  test("tars that are missing", () => {
    const cases: [tars: string[], flaws: string[]][] = [
      [[], ["data.tar is missing", "16385.tar is missing"]],
      [["data.tar"], ["16385.tar is missing"]],
      [["data.tar.gz", "data_0001.tar.gz", "16385.tar"], []],
      [["data_0001.tar", "16385.tar"], ["data.tar is missing"]],
      [["data.tar", "data_0002.tar", "16385.tar"], ["data_0001.tar is missing"]],
      [["data.tar", "data_x.tar", "16385.tar"], []],
    ];
    const tablespaces = [{ name: "t", oid: 16385, location: "/t" }];
    for (const [tars, flaws] of cases) {
      const archive = new Archive().wal({ first: 8, last: 30, time: stored });
      archive.backup(doneInfo({ first: 10, time: stored(12), more: { tablespaces } }), { tars });
      const { backups, windows } = read(archive);
      assert.deepEqual(backups[0]!.flaws, flaws, tars.join(" "));
      assert.equal(windows.length, flaws.length === 0 ? 1 : 0);
    }
    const empty = simple().remove("data.tar.gz").put(`base/${ID}/data.tar`, START, 0);
    assert.deepEqual(read(empty).backups[0]!.flaws, [`base/${ID}/data.tar is empty`]);
  });

  test("backups of another cluster, with other segments, or increments are not for restoring", () => {
    const archive = simple();
    archive.backup(doneInfo({ first: 20, time: stored(20), more: { systemId: "8" } }));
    assert.match(read(archive).backups[0]!.flaws[0]!, /cluster 7, later backups are of 8/);
    // Only one that is done speaks for the archive.
    const failed = simple();
    const more = { systemId: "8", status: "FAILED" } as const;
    failed.backup(doneInfo({ first: 20, time: stored(20), more }));
    assert.deepEqual(read(failed).backups[0]!.flaws, []);
    const sizes = simple();
    const other = doneInfo({
      first: 0,
      time: stored(5),
      more: { segmentSize: 1 << 20, beginLsn: null, endLsn: null, status: "FAILED" },
    });
    sizes.backup(other);
    assert.equal(read(sizes).segmentSize, SEGMENT_SIZE);
    const increments = simple();
    increments.backup(
      doneInfo({
        first: 20,
        time: stored(20),
        more: { extra: new Map([["parent_backup_id", ID]]) },
      }),
    );
    assert.match(read(increments).backups[1]!.flaws[0]!, /increment of 20261101T/);
  });

  test("an unknown field makes the archive one to look at, and a later one does not", () => {
    const more = (key: string): Archive => {
      const archive = simple();
      archive.backup(
        doneInfo({ first: 20, time: stored(20), more: { extra: new Map([[key, "on"]]) } }),
      );
      return archive;
    };
    assert.ok(read(more("future_field")).readOnly);
    assert.ok(!read(more("data_checksums")).readOnly);
    assert.equal(read(more("future_field")).windows[0]!.backups.length, 2);
  });
});

test("whatever lies in an archive, the catalogue is drawn up", () => {
  const timeline = fc.integer({ min: 1, max: 4 });
  const anyObject = fc.oneof(
    fc
      .tuple(
        timeline,
        fc.integer({ min: 0, max: 12 }),
        fc.constantFrom("", ".gz", ".partial", ".00000028.backup", ".x"),
      )
      .map(([one, segment, suffix]) => ({
        path: walPath(one, segment, suffix),
        content: undefined,
      })),
    fc
      .tuple(
        timeline,
        fc.array(fc.tuple(timeline, fc.bigInt({ min: 0n, max: 1n << 28n })), { maxLength: 3 }),
      )
      .map(([one, forks]) => ({
        path: `wals/0000000${one}.history`,
        content: forks.map(([parent, at]) => `${parent}\t0/${at.toString(16)}\t\n`).join(""),
      })),
    fc
      .tuple(
        fc.constantFrom(1, 2, 3),
        fc.dictionary(
          fc.constantFrom(
            "status",
            "begin_wal",
            "end_wal",
            "begin_xlog",
            "end_xlog",
            "timeline",
            "xlog_segment_size",
            "systemid",
            "x",
          ),
          fc.constantFrom(
            "DONE",
            "FAILED",
            "STARTED",
            "1",
            "2",
            "0/0",
            "0/1000000",
            "FFFFFFFF/FFFFFFFF",
            "000000010000000000000001",
            "00000002FFFFFFFF000000FF",
            "0000000100000000FFFFFFFF",
            "1048576",
            "None",
          ),
        ),
      )
      .map(([day, fields]) => ({
        path: `base/2026110${day}T000000/backup.info`,
        content: Object.entries(fields)
          .map(([key, value]) => `${key}=${value}\n`)
          .join(""),
      })),
    fc
      .tuple(
        fc.integer({ min: 0, max: 12 }),
        timeline,
        fc.constantFrom("DONE", "FAILED", "STARTED"),
      )
      .map(([first, one, status]) => ({
        path: `base/${idAt(stored(first))}/backup.info`,
        content: formatBackupInfo(
          doneInfo({
            timeline: one,
            first,
            time: stored(first),
            more: { status: status as "DONE" },
          }),
        ).toString(),
      })),
    fc
      .constantFrom(
        "base/20261101T000000/data.tar",
        "base/20261101T000000/annotations/keep",
        "base/x",
        "",
        "/",
      )
      .map((path) => ({ path, content: undefined })),
  );
  fc.assert(
    fc.property(fc.array(anyObject, { maxLength: 25 }), fc.nat(2), (objects, size) => {
      const archive = new Archive();
      for (const { path, content } of objects)
        archive.put(
          path,
          START,
          content === undefined ? [0, 100, SEGMENT_SIZE][size]! : Buffer.from(content),
        );
      const catalogue = read(archive);
      for (const { from, to } of catalogue.windows) assert.ok(from.lsn <= to.lsn);
      for (const { count, firstMissing } of catalogue.gaps)
        assert.ok(count > 0 && firstMissing.length === 24);
      for (const policy of ["REDUNDANCY 1", "3d"]) {
        const plan = planExpiry({ catalogue, policy: parseRetentionPolicy(policy, ""), now: NOW });
        assert.ok(plan.blocked === undefined || plan.releasable.length === 0);
      }
    }),
    { numRuns: 3000 },
  );
});

test("a hundred thousand segments with holes are catalogued", () => {
  const archive = new Archive();
  const count = 100_000;
  for (let segment = 0; segment < count; segment++) {
    if (segment % 1000 !== 999) archive.put(walPath(1, segment, ".gz"), START, 4000);
  }
  archive.backup(doneInfo({ first: 10, time: START }));
  const { gaps, wal } = read(archive);
  assert.equal(gaps.length, 99);
  assert.equal(wal.get(1)!.ranges.length, 100);
});
