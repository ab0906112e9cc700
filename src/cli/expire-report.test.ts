import assert from "node:assert/strict";
import { before, suite, test } from "node:test";
import {
  Archive,
  DAY,
  doneInfo,
  idAt,
  name,
  read,
  START,
  walPath,
} from "../../test/barman/archives.ts";
import { expirySteps } from "../barman/expiry-steps.ts";
import { planExpiry } from "../barman/expiry.ts";
import { findLeftovers } from "../barman/leftovers.ts";
import { parseRetentionPolicy } from "../barman/retention.ts";
import type { ExpirePreview } from "../postgres/expire.ts";
import { openMemoryStorage } from "../storage/memory.ts";
import { expireMessage, viewOutcome, viewPlan } from "./expire-report.ts";

before(() => {
  process.env["TZ"] = "UTC";
});

const at = (segment: number): number => START + segment * DAY;
const NOW = at(30);

function previewOf(
  archive: Archive,
  text: string,
  minimum = 0,
): Parameters<typeof viewPlan>[0] & { preview: ExpirePreview } {
  const catalogue = read(archive, NOW);
  const policy = parseRetentionPolicy(text, "policy");
  const plan = planExpiry({ catalogue, policy, now: NOW, minimum });
  const leftovers = findLeftovers(catalogue, { now: NOW });
  const steps = expirySteps({ catalogue, plan, leftovers });
  const storage = openMemoryStorage();
  return {
    archive: { storage, server: "odoo-db", location: "gs://bucket/base/odoo-db" },
    policy,
    preview: { catalogue, plan, leftovers, steps },
    now: NOW,
  };
}

function example(): Archive {
  const archive = new Archive().wal({ first: 0, last: 30, time: at });
  const failed = { status: "FAILED", error: "disk \x07full", endTime: null } as const;
  archive.backup(doneInfo({ first: 1, time: at(1), more: failed }), { id: idAt(at(1)) });
  archive.backup(doneInfo({ first: 3, time: at(3) }), { keep: "standalone" });
  const full = archive.backup(doneInfo({ first: 5, time: at(5) }));
  const extra = new Map([["parent_backup_id", full]]);
  archive.backup(doneInfo({ first: 8, time: at(8), more: { extra } }));
  archive.backup(doneInfo({ first: 12, time: at(12) }));
  archive.backup(doneInfo({ first: 16, time: at(16) }));
  archive.remove(name(16)).backup(doneInfo({ first: 20, time: at(20) }));
  archive.backup(doneInfo({ first: 26, time: at(26) }));
  archive.put("base/20261130T000000/data.tar.gz", at(29), 10);
  return archive.put(walPath(1, 2, ".partial"), at(2), 16 << 20);
}

suite("what expiry says", () => {
  test("why each backup stays or goes", () => {
    assert.equal(
      viewPlan(previewOf(example(), "14 days"), "UTC").join("\n"),
      `\
Server odoo-db at gs://bucket/base/odoo-db
  RECOVERY WINDOW OF 14 DAYS, from 2026-11-17 00:00:00

ID               Ended                Age                 Why
------------------------------------------------------------------------------------------------------------------------------------------------------------------
20261101T235900                                    GOES   "it is FAILED: disk \\afull"
20261103T235900  2026-11-04 00:00:00  3 weeks ago  stays  kept by hand: standalone
20261105T235900  2026-11-06 00:00:00  3 weeks ago  GOES   older than the window needs
20261108T235900  2026-11-09 00:00:00  3 weeks ago  GOES   older than the window needs
20261112T235900  2026-11-13 00:00:00  2 weeks ago  stays  the window begins with it
20261116T235900  2026-11-17 00:00:00  2 weeks ago  stays  as old as others that stay; cannot be restored: WAL 000000010000000000000010, which it needs, is missing
20261120T235900  2026-11-21 00:00:00  1 week ago   stays  it lies in the window
20261126T235900  2026-11-27 00:00:00  4 days ago   stays  it lies in the window
------------------------------------------------------------------------------------------------------------------------------------------------------------------
Timestamps shown in UTC
GOES  000000010000000000000002.partial: a partial segment whose whole one is there (1 object, 16.000 MiB, 4 weeks ago)
stays  20261130T000000: a backup without backup.info, under way or cut off (1 object, 10 B, 1 day ago), too young to go
GOES  11 objects of WAL, 42.969 KiB: 000000010000000000000000.gz to 00000001000000000000000B.gz`,
    );
    const reasons = viewPlan(previewOf(example(), "REDUNDANCY 1", 2), "UTC").filter((line) =>
      line.startsWith("2026"),
    );
    assert.match(reasons[5]!, /GOES   enough newer ones are there$/);
    assert.match(reasons[6]!, /stays  one of the newest$/);
    const few = previewOf(example(), "1d", 3);
    assert.match(
      viewPlan(few, "UTC").find((line) => line.startsWith("20261112"))!,
      /a minimum of backups/,
    );
  });

  test("what was done, what would be, and what was refused", () => {
    const { preview } = previewOf(example(), "14 days");
    assert.match(viewOutcome(preview, undefined)[0]!, /^would delete \d+ objects, /);
    const refusals = [
      {
        backup: "20261105T235900",
        path: "base/20261105T235900/backup.info",
        message: "locked\x1b",
      },
      { backup: undefined, path: "wals/x", message: "denied" },
    ];
    assert.deepEqual(viewOutcome(preview, { backups: [], objects: 3, bytes: 2048, refusals }), [
      "deleted 3 objects, 2.000 KiB",
      'backup 20261105T235900 stays: base/20261105T235900/backup.info: "locked\\x1b"',
      "WAL from here on stays: wals/x: denied",
    ]);
  });

  test("the message names every path that goes, and nothing else", () => {
    const shown = previewOf(example(), "14 days");
    const message = JSON.parse(JSON.stringify(expireMessage(shown, undefined))) as {
      backups: { id: string; goes: boolean; first_wal: string | null }[];
      planned: { paths: string[] };
      deleted: null;
      dry_run: boolean;
    };
    assert.deepEqual([message.dry_run, message.deleted], [true, null]);
    assert.deepEqual(
      message.backups.filter(({ goes }) => goes).map(({ id }) => id),
      [idAt(at(1)), idAt(at(5)), idAt(at(8))],
    );
    const planned = shown.preview.steps.flatMap(({ objects }) => objects.map(({ path }) => path));
    assert.deepEqual(message.planned.paths, planned);
    assert.equal(message.backups.find(({ id }) => id === idAt(at(12)))!.first_wal, name(12));
  });
});
