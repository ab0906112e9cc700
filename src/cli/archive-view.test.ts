import assert from "node:assert/strict";
import { before, suite, test } from "node:test";
import {
  Archive,
  DAY,
  doneInfo,
  idAt,
  name,
  read,
  SEGMENT_SIZE,
  START,
  walPath,
} from "../../test/barman/archives.ts";
import { segmentStart } from "../barman/lsn.ts";
import { takeInventory } from "../barman/inventory.ts";
import type { ListedServer } from "./archive-message.ts";
import { infoMessage, listMessage } from "./archive-message.ts";
import { viewServer, viewServers } from "./archive-view.ts";

before(() => {
  process.env["TZ"] = "UTC";
});

const at = (segment: number): number => START + segment * DAY;
const NOW = at(30);
const VIEW = { timeZone: "UTC", now: NOW, columns: 80 };

/** Two timelines, a hole, an increment, a failure, leftovers of every kind. */
function example(): Archive {
  const archive = new Archive().wal({ first: 0, last: 22, time: at });
  archive.history(2, at(22), [1, segmentStart(23, SEGMENT_SIZE)]);
  archive.wal({ timeline: 2, first: 23, last: 30, time: at });
  const failed = { status: "FAILED", error: "disk \x1b[31m full", endTime: null } as const;
  archive.backup(doneInfo({ first: 2, time: at(2), more: failed }), { id: idAt(at(2)) });
  const full = archive.backup(doneInfo({ first: 4, last: 5, time: at(4) }), { keep: "full" });
  const extra = new Map([["parent_backup_id", full]]);
  archive.backup(doneInfo({ first: 6, time: at(6), more: { extra, size: 0 } }));
  archive.backup(doneInfo({ first: 15, time: at(15), more: { size: 5 << 20 } }));
  archive.backup(doneInfo({ timeline: 2, first: 26, time: at(26), more: { version: 180004 } }));
  archive.put("base/20261103T000000/data.tar.gz", at(2), 10);
  archive.put(walPath(1, 18, ".partial"), at(18), SEGMENT_SIZE);
  archive.put(walPath(1, 19), at(19), 7);
  archive.put("notes\x1b[2J", at(1), 5);
  return archive.remove(name(10)).remove(name(11));
}

function listed(archive: Archive, server = "odoo-db"): ListedServer {
  const location = `gs://bucket/base/${server}`;
  return { server, location, inventory: takeInventory(read(archive, NOW), NOW) };
}

suite("what a person sees of an archive", () => {
  test("everything, the moments first", () => {
    assert.equal(
      viewServer(listed(example()), VIEW).join("\n"),
      `\
Server odoo-db at gs://bucket/base/odoo-db
  PostgreSQL 18.4, system identifier 7, WAL segments of 16.000 MiB

Recovery
  any moment on timeline 1 from 2026-11-05 00:00:00 (3 weeks ago), 0/5000190
                           to   2026-11-10 00:00:00 (3 weeks ago), 0/A000000
    with backup 20261104T235900
  any moment on timeline 1 from 2026-11-16 00:00:00 (2 weeks ago), 0/F000190
                           to   2026-11-23 00:00:00 (1 week ago), 0/17000000
    with backup 20261115T235900
  any moment on timeline 2 from 2026-11-23 00:00:00 (1 week ago), 0/17000000
                           to   2026-12-01 00:00:00 (just now), 0/1F000000
    with backup 20261115T235900, 20261126T235900
  1  ×····●━━━━×━━━━━━━━···············●━━━━━━━━━━━━━━━━━━·····················
  2  ····················································━━━━━━━━━━━●━━━━━━━━━━
     4 weeks ago                                                            now

Timelines
  1                                      21 segments, 82.031 KiB  000000010000000000000000 to 000000010000000000000016
  └ 2  left 1 at 0/17000000, 1 week ago  8 segments, 31.250 KiB   000000020000000000000017 to 00000002000000000000001E

Missing WAL
  00000001000000000000000A to 00000001000000000000000B (2 segments): LOST; cannot be followed past it: 20261104T235900, 20261106T235900

Backups
  ID               State   Ended                Age          Type                          Size       Stored     Took  TL  WAL                       Keep
  -------------------------------------------------------------------------------------------------------------------------------------------------------
  20261102T235900  FAILED                       4 weeks ago  full                          1000 B     4.883 KiB        1   000000010000000000000002
  20261104T235900  done    2026-11-05 00:00:00  3 weeks ago  full                          1000 B     4.883 KiB  1:00  1   000000010000000000000004  full
                                                                                                                           000000010000000000000005
  20261106T235900  FLAWED  2026-11-07 00:00:00  3 weeks ago  increment of 20261104T235900             4.883 KiB  1:00  1   000000010000000000000006
  20261115T235900  done    2026-11-16 00:00:00  2 weeks ago  full                          5.000 MiB  4.883 KiB  1:00  1   00000001000000000000000F
  20261126T235900  done    2026-11-27 00:00:00  4 days ago   full                          1000 B     4.883 KiB  1:00  2   00000002000000000000001A
  -------------------------------------------------------------------------------------------------------------------------------------------------------
  Timestamps shown in UTC
  5 backups, 24.414 KiB stored
  20261102T235900 cannot be restored: "it is FAILED: disk \\x1b[31m full"
  20261106T235900 cannot be restored: it is an increment of 20261104T235900, to be combined first

What depends on one backup alone
  20261104T235900: increments 20261106T235900
  20261104T235900: every moment of timeline 1 from 2026-11-05 00:00:00 (3 weeks ago) to 2026-11-10 00:00:00 (3 weeks ago)
  20261115T235900: every moment of timeline 1 from 2026-11-16 00:00:00 (2 weeks ago) to 2026-11-23 00:00:00 (1 week ago)
  20261115T235900: every moment of timeline 2 from 2026-11-23 00:00:00 (1 week ago) to 2026-11-27 00:00:00 (4 days ago)

Leftovers
  20261102T235900: a backup that failed (2 objects, 5.394 KiB, 4 weeks ago)
  20261103T000000: a backup without backup.info, under way or cut off (1 object, 10 B, 4 weeks ago)
  000000010000000000000012.partial: a partial segment whose whole one is there (1 object, 16.000 MiB, 1 week ago)
  1 not of an archive, never touched (5 B): "notes\\x1b[2J"
  1 too short to be a segment (7 B): wals/0000000100000000/000000010000000000000013

3 of 5 backups can be restored; backups 27.037 KiB, 29 segments 113.281 KiB, 4 objects of no use 16.000 MiB`,
    );
  });

  test("nothing that can be recovered, and what could not be read", () => {
    const archive = new Archive().wal({ first: 1, last: 3, time: at });
    archive.put("base/20261103T000000/backup.info", at(3), Buffer.from("no field \x07\n"));
    const lines = viewServer(listed(archive, "a\x1bb"), VIEW);
    assert.equal(lines[0], 'Server "a\\x1bb" at "gs://bucket/base/a\\x1bb"');
    assert.ok(lines.includes("  NOTHING can be recovered: no whole backup with its WAL is there"));
    const problems = lines.slice(lines.indexOf("Problems"));
    assert.match(problems[1]!, /^ {2}base\/20261103T000000\/backup\.info:1: /);
    assert.match(problems[2]!, /^ {4}hint: /);
    assert.ok(lines.every((line) => !/[\x00-\x1f\x7f]/.test(line)));
  });

  test("a line for each of several servers", () => {
    const none = new Archive().wal({ first: 1, last: 3, time: at });
    assert.equal(
      viewServers([listed(example()), listed(none, "other")], VIEW).join("\n"),
      `\
Server   Backups  Newest                            Recoverable from                   to                              WAL gaps  Size        Problems
-----------------------------------------------------------------------------------------------------------------------------------------------------
odoo-db  3 of 5   2026-11-27 00:00:00 (4 days ago)  2026-11-05 00:00:00 (3 weeks ago)  2026-12-01 00:00:00 (just now)  1 LOST    16.137 MiB
other    0        none                              NOTHING                                                                      11.719 KiB
-----------------------------------------------------------------------------------------------------------------------------------------------------
Timestamps shown in UTC
2 servers`,
    );
  });
});

suite("what a program sees of it", () => {
  test("the messages of the manual, field by field", () => {
    const one = listed(example());
    const list = JSON.parse(JSON.stringify(listMessage(one))) as Record<string, never>;
    assert.deepEqual(Object.keys(list), [
      "message_type",
      "server",
      "location",
      "backups",
      "problems",
    ]);
    const [, full] = list["backups"] as unknown as Record<string, unknown>[];
    assert.deepEqual(full, {
      id: "20261104T235900",
      state: "done",
      restorable: true,
      type: "full",
      parent: null,
      name: null,
      keep: "full",
      begin_time: "2026-11-04T23:59:00.000Z",
      end_time: "2026-11-05T00:00:00.000Z",
      duration_seconds: 60,
      size: 1000,
      stored_bytes: 5000,
      timeline: 1,
      begin_lsn: "0/4000028",
      end_lsn: "0/5000190",
      begin_wal: "000000010000000000000004",
      end_wal: "000000010000000000000005",
      system_id: "7",
      postgres_version: 150018,
      tablespaces: [],
      error: null,
      flaws: [],
      increments: ["20261106T235900"],
      only_way_to: [
        {
          timeline: 1,
          from_lsn: "0/5000190",
          from_time: "2026-11-05T00:00:00.000Z",
          to_lsn: "0/A000000",
          to_time: "2026-11-10T00:00:00.000Z",
        },
      ],
    });
    const info = JSON.parse(JSON.stringify(infoMessage("gs://bucket/base", [one], NOW))) as {
      time: string;
      servers: Record<string, unknown>[];
    };
    assert.equal(info.time, "2026-12-01T00:00:00.000Z");
    const [server] = info.servers;
    assert.deepEqual(server!["gaps"], [
      {
        timeline: 1,
        state: "lost",
        first_missing: "00000001000000000000000A",
        last_missing: "00000001000000000000000B",
        segments: 2,
        cuts_off: ["20261104T235900", "20261106T235900"],
        has_partial: false,
      },
    ]);
    assert.deepEqual((server!["timelines"] as unknown[])[1], {
      timeline: 2,
      parent: 1,
      fork_lsn: "0/17000000",
      begun: "2026-11-23T00:00:00.000Z",
      descent_known: true,
      segments: 8,
      wal_bytes: 32_000,
      first_wal: "000000020000000000000017",
      last_wal: "00000002000000000000001E",
    });
    assert.deepEqual((server!["windows"] as unknown[])[2], {
      timeline: 2,
      from_lsn: "0/17000000",
      from_time: "2026-11-23T00:00:00.000Z",
      to_lsn: "0/1F000000",
      to_time: "2026-12-01T00:00:00.000Z",
      partial_segment: null,
      backups: ["20261115T235900", "20261126T235900"],
    });
    assert.deepEqual(server!["totals"], {
      restorable_backups: 3,
      backups: 5,
      backup_bytes: 27_686,
      segments: 29,
      wal_bytes: 116_000,
      leftover_objects: 4,
      leftover_bytes: SEGMENT_SIZE + 22,
    });
    assert.deepEqual(
      [
        server!["read_only"],
        server!["complete"],
        server!["system_id"],
        server!["postgres_version"],
      ],
      [false, true, "7", 180004],
    );
  });
});
