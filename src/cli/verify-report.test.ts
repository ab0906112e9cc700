import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { read, simple } from "../../test/barman/archives.ts";
import { HoldfastError } from "../base/errors.ts";
import type { BackupReport, VerifyReport } from "../postgres/verify.ts";
import { openMemoryStorage } from "../storage/memory.ts";
import { failureOf, verifyMessage, viewVerify } from "./verify-report.ts";

const ARCHIVE = { storage: openMemoryStorage(), server: "odoo-db", location: "gs://bucket/base" };

function backup(id: string, fields: Partial<BackupReport>): BackupReport {
  return {
    id,
    verdict: "verified",
    reason: undefined,
    findings: [],
    more: 0,
    files: 0,
    bytes: 0,
    ...fields,
  };
}

function report(fields: Partial<VerifyReport>): VerifyReport {
  return {
    catalogue: read(simple()),
    backups: [backup("20261101T000000", { files: 970, bytes: 5 << 20 })],
    wal: { verdict: "verified", reason: undefined, findings: [], more: 0, read: 23, objects: 23 },
    bytesRead: 1 << 20,
    denied: [],
    ...fields,
  };
}

suite("what a verification says", () => {
  test("every verdict with its reason, and nothing that a terminal would obey", () => {
    const mixed = report({
      backups: [
        backup("20261101T000000", { files: 970, bytes: 5 << 20 }),
        backup("20261102T000000", { verdict: "structure", reason: "no sums", files: 1, bytes: 10 }),
        backup("20261103T000000", {
          verdict: "damaged",
          findings: ['"a\x1b" is missing'],
          more: 7,
        }),
        backup("20261104T000000", { verdict: "unread", reason: "it is FAILED: \x07" }),
      ],
      wal: {
        verdict: "unread",
        reason: "the amount was used up",
        findings: [],
        more: 0,
        read: 3,
        objects: 9,
      },
    });
    assert.equal(
      viewVerify(ARCHIVE, mixed).join("\n"),
      `\
Server odoo-db at gs://bucket/base

20261101T000000  verified, 970 files, 5.000 MiB
20261102T000000  structure only, 1 files, 10 B: no sums
20261103T000000  DAMAGED
  "\\"a\\x1b\\" is missing"
  and 7 more
20261104T000000  not checked: "it is FAILED: \\a"
WAL              not checked, 3 of 9 objects read: the amount was used up

backups: 1 verified, 1 structure only, 1 DAMAGED, 1 not checked; read 1.000 MiB`,
    );
    const message = verifyMessage(ARCHIVE, mixed) as { ok: boolean; complete: boolean };
    assert.deepEqual([message.ok, message.complete], [false, true]);
  });

  test("the status: damage before what could not be read, and green only without both", () => {
    const code = (fields: Partial<VerifyReport>): string | undefined =>
      failureOf(report(fields))?.code;
    const { catalogue } = report({});
    const problem = new HoldfastError("INCOMPLETE", "x was not read");
    const unread = { catalogue: { ...catalogue, problems: [problem] } };
    const damaged = { backups: [backup("20261101T000000", { verdict: "damaged" as const })] };
    const wal = { wal: { ...report({}).wal, verdict: "damaged" as const } };
    assert.equal(code({}), undefined);
    assert.equal(code(unread), "INCOMPLETE");
    assert.equal(code({ denied: ["base/x"] }), "INCOMPLETE");
    assert.equal(code({ ...unread, ...wal }), "WAL_INVALID");
    assert.equal(code({ ...unread, ...wal, ...damaged }), "BACKUP_DAMAGED");
    // What nobody asked for, or what failed when it was made, is no fault of today.
    const failed = [backup("20261101T000000", { verdict: "unread", reason: "it is FAILED" })];
    assert.equal(code({ backups: failed }), undefined);
  });
});
