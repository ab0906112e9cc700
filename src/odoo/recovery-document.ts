// The report of a recovery as JSON: what lies beside what was recovered, and what --json prints. Times are ISO 8601, sizes bytes.

import { formatLsn } from "../barman/lsn.ts";
import { targetDocument } from "../barman/recovery-target.ts";
import { hasAllFiles } from "./recover-files.ts";
import type { RecoveryPlan } from "./recovery-plan.ts";
import type { RecoveryReport } from "./recovery.ts";
import type { Coverage } from "./recovery/coverage.ts";

/** The document of a report, ready for JSON. */
export function recoveryDocument(report: RecoveryReport): Record<string, unknown> {
  const { plan, references, files, seconds, reached, left } = report;
  const { choice } = plan.database;
  return {
    report: "recovery",
    version: 1,
    program: report.program,
    complete: hasAllFiles(files),
    asked: askedDocument(plan.asked),
    database: report.database,
    begun: iso(report.begun),
    ended: iso(report.ended),
    rto_seconds: rounded(seconds.total),
    seconds: Object.fromEntries(
      Object.entries(seconds).map(([stage, value]) => [stage, rounded(value)]),
    ),
    archive: plan.archive.location,
    server: plan.archive.server,
    backup: choice.backup.id,
    timeline: choice.timeline,
    postgres: report.postgres,
    system_id: report.restored.control.systemId,
    reached: { lsn: reached.lsn, timeline: reached.timeline, last_commit: reached.time ?? null },
    left: { state: left.state, timeline: left.timeline },
    restored: {
      files: report.restored.files,
      bytes: report.restored.bytes,
      verified: report.restored.isVerified,
      notes: report.restored.notes,
    },
    repository: plan.repository.storage.location,
    captures: plan.captures?.storage.location ?? null,
    coverage: coverageDocument(report.coverage),
    files: filesDocument(report),
    rows: {
      all: references.rows,
      external: Object.fromEntries(references.external),
      cloud_storage: references.cloud,
      url: references.urls,
      in_database: references.inDatabase,
      empty: references.empty,
      unknown: references.unknown,
    },
    data_directory: report.dataDirectory ?? null,
    filestore: report.filestore,
    copied: report.copied
      ? {
          database: report.copied.name,
          server: report.copied.place,
          tables: report.copied.tables,
          rows: report.copied.rows,
        }
      : null,
    damage: report.damage,
  };
}

/** Counts, and what could not be had by its class: names, each with the attachments that it belongs to. */
function filesDocument({ files, records }: RecoveryReport): Record<string, unknown> {
  const list = (names: readonly string[]): object[] =>
    names.map((sha1) => ({ sha1, attachments: records.get(sha1) ?? [] }));
  return {
    referenced: files.referenced,
    ok: files.ok,
    bytes: files.bytes,
    there_already: files.kept,
    from_captures: files.fromCaptures,
    from_another_copy: files.fromOtherCopy,
    missing: list(files.missing),
    corrupt: list(files.corrupt),
    missing_at_source: list(files.missingAtSource),
    corrupt_at_source: list(files.corruptAtSource),
    regenerable: list(files.regenerable),
  };
}

/** A moment that was asked for. */
export function askedDocument(asked: RecoveryPlan["asked"]): Record<string, unknown> {
  return asked.kind === "latest-complete" ? { kind: asked.kind } : targetDocument(asked);
}

/** What captures say of a moment. */
export function coverageDocument(coverage: Coverage): Record<string, unknown> {
  if (coverage.kind === "unknown") return { kind: "unknown", why: coverage.why };
  const { kind, capture, position } = coverage;
  return {
    kind,
    capture,
    lsn: formatLsn(position.lsn),
    timeline: position.timeline,
    time: iso(position.time),
    ...(kind === "covered" && {
      missing_at_source: coverage.missing,
      corrupt_at_source: coverage.corrupt,
    }),
  };
}

function iso(milliseconds: number): string {
  return new Date(milliseconds).toISOString();
}

function rounded(seconds: number): number {
  return Math.round(seconds * 1000) / 1000;
}
