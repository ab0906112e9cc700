// Barman itself is asked: whether it reads the backup.info that we write and finds the same in it, what it writes of the
// same values, how it names segments, and which backups it would keep.

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import {
  formatBackupInfo,
  parseBackupInfo,
  type BackupInfo,
} from "../../src/barman/backup-info.ts";
import { formatLsn, readLsn, segmentAt, segmentStart } from "../../src/barman/lsn.ts";
import {
  formatRetentionPolicy,
  judgeBackups,
  parseRetentionPolicy,
} from "../../src/barman/retention.ts";
import type { Keep, Verdict } from "../../src/barman/retention.ts";
import { readWalName, segmentName, segmentNumber, walFolder } from "../../src/barman/wal-name.ts";
import { peer } from "../peers.ts";
import { anyBackupInfo } from "./arbitraries.ts";
import { ask, sample } from "./oracle.ts";

/** What Barman has under each name of a field. */
function barmanValues(info: BackupInfo): Record<string, unknown> {
  const lsn = (value: bigint | null): string | null => (value === null ? null : formatLsn(value));
  return {
    backup_label: info.backupLabel,
    backup_name: info.backupName,
    begin_offset: info.beginOffset,
    begin_time: info.beginTime?.micros ?? null,
    begin_wal: info.beginWal,
    begin_xlog: lsn(info.beginLsn),
    compression: info.compression,
    config_file: info.configFile,
    deduplicated_size: info.deduplicatedSize,
    end_offset: info.endOffset,
    end_time: info.endTime?.micros ?? null,
    end_wal: info.endWal,
    end_xlog: lsn(info.endLsn),
    error: info.error,
    hba_file: info.hbaFile,
    ident_file: info.identFile,
    included_files: info.includedFiles,
    mode: info.mode,
    pgdata: info.pgdata,
    server_name: info.serverName,
    size: info.size,
    status: info.status,
    systemid: info.systemId,
    tablespaces: info.tablespaces?.map(({ name, oid, location }) => [name, oid, location]) ?? null,
    timeline: info.timeline,
    version: info.version,
    xlog_segment_size: info.segmentSize,
  };
}

const VERDICTS: Readonly<Record<string, Verdict>> = {
  VALID: "valid",
  OBSOLETE: "obsolete",
  "OBSOLETE*": "extra",
  "KEEP:FULL": "keep-full",
  "KEEP:STANDALONE": "keep-standalone",
  "-": "none",
};

const DAY = 86_400_000;
const NOW = Date.UTC(2026, 10, 23, 10, 15, 30);

const anyCatalogue = fc.record({
  backups: fc.uniqueArray(
    fc.record({
      id: fc.integer({ min: 0, max: 9999 }).map((n) => `2026${String(n).padStart(4, "0")}T101530`),
      endTime: fc.integer({ min: 0, max: 60 * 24 }).map((hours) => NOW - hours * (DAY / 24)),
      status: fc.constantFrom(
        "DONE",
        "DONE",
        "DONE",
        "DONE",
        "FAILED",
        "STARTED",
        "WAITING_FOR_WALS",
        "EMPTY",
      ),
      keep: fc.constantFrom<(Keep | null)[]>(null, null, null, "full", "standalone"),
    }),
    { maxLength: 12, selector: ({ id }) => id },
  ),
  policy: fc
    .tuple(
      fc.constantFrom(
        "REDUNDANCY %",
        "RECOVERY WINDOW OF % DAYS",
        "RECOVERY WINDOW OF % WEEKS",
        "recovery window of % month",
      ),
      fc.integer({ min: 1, max: 12 }),
    )
    .map(([words, count]) => words.replace("%", String(count))),
  minimum: fc.integer({ min: 0, max: 4 }),
});

for (const name of ["barman-oldest", "barman-newest"] as const) {
  suite(name, { skip: peer(name).skip }, () => {
    test("reads what we write, and we read what it writes of it", () => {
      const infos = sample(anyBackupInfo, 1500);
      const fields = Object.keys(barmanValues(infos[0]!));
      const texts = infos.map((info) => formatBackupInfo(info).toString());
      const answers = ask<{ values: unknown; saved: string; unknown: boolean }>(
        name,
        texts.map((text) => ({ ask: "info", text, fields })),
      );
      let known = 0;
      for (const [i, { values, saved, unknown }] of answers.entries()) {
        const info = infos[i]!;
        assert.deepEqual(values, barmanValues(info));
        const read = parseBackupInfo(Buffer.from(saved), "saved");
        assert.equal(read.readOnly, false);
        assert.deepEqual({ ...read, extra: info.extra, copyStats: info.copyStats }, info);
        if (unknown) continue;
        known++;
        assert.equal(formatBackupInfo(read).toString(), saved);
        // Newer ones have more fields.
        if (name === "barman-oldest") assert.equal(saved, texts[i]);
      }
      assert.ok(known > 1000, `${known} of ${infos.length} compared to the byte`);
    });

    test("names segments as we do, at every size", () => {
      const anyPlace = fc.record({
        lsn: fc.bigInt({ min: 0n, max: (1n << 63n) - 1n }).map(formatLsn),
        timeline: fc.integer({ min: 1, max: 0xffffffff }),
        size: fc.integer({ min: 20, max: 30 }).map((bits) => 2 ** bits),
      });
      const places = sample(anyPlace, 3000);
      const answers = ask<{
        name: string;
        offset: number;
        folder: string;
        position: string;
        next: string[];
      }>(
        name,
        places.map((place) => ({ ask: "segment", ...place })),
      );
      for (const [i, answer] of answers.entries()) {
        const { lsn: text, timeline, size } = places[i]!;
        const lsn = readLsn(text)!;
        const segment = segmentAt(lsn, size);
        assert.equal(segmentName(timeline, segment, size), answer.name);
        assert.equal(segmentNumber(answer.name, size), segment);
        assert.equal(walFolder(readWalName(answer.name)!), answer.folder);
        assert.equal(lsn - segmentStart(segment, size), BigInt(answer.offset));
        assert.equal(answer.position, text);
        assert.deepEqual(
          [0, 1, 2, 3].map((n) => segmentName(timeline, segment + n, size)),
          answer.next,
        );
      }
    });

    test("knows the kinds of names that we know", () => {
      const piece = fc.constantFrom(
        "000000010000000000000001",
        "00000002",
        ".history",
        ".partial",
        ".00000028.backup",
        ".gz",
        ".tmp",
        "0",
        "",
      );
      const texts = sample(
        fc.tuple(piece, piece, piece).map((pieces) => pieces.join("")),
        3000,
      );
      const answers = ask<Record<string, boolean>>(
        name,
        texts.map((text) => ({ ask: "name", text })),
      );
      for (const [i, answer] of answers.entries()) {
        const read = readWalName(texts[i]!);
        // Barman takes the suffix off before it asks.
        const kind = read?.compression === null ? read.kind : undefined;
        assert.equal(answer["any"], kind !== undefined, texts[i]);
        if (kind !== undefined) assert.ok(answer[kind], texts[i]);
      }
    });

    test("keeps the backups that we keep", () => {
      const catalogues = sample(anyCatalogue, 2000);
      const answers = ask<{ report: Record<string, string>; words: string }>(
        name,
        catalogues.map((catalogue) => ({ ask: "retention", now: NOW, ...catalogue })),
      );
      for (const [i, { report, words }] of answers.entries()) {
        const { backups, policy: text, minimum } = catalogues[i]!;
        const policy = parseRetentionPolicy(text, "policy");
        assert.equal(formatRetentionPolicy(policy), words);
        const judged = judgeBackups({
          backups: backups.map(({ id, endTime, status, keep }) => ({
            id,
            endTime,
            isDone: status === "DONE",
            keep: keep ?? undefined,
          })),
          policy,
          now: NOW,
          minimum,
        });
        const ours = Object.fromEntries([...judged].map(([id, { verdict }]) => [id, verdict]));
        const theirs = Object.fromEntries(
          Object.entries(report).map(([id, verdict]) => [id, VERDICTS[verdict]]),
        );
        assert.deepEqual(ours, theirs, JSON.stringify(catalogues[i]));
      }
    });
  });
}
