// What `recover` says of a moment: the plan before anything is written, and what became of it. Ages stand beside times, and
// what is missing is named before what is there.

import { formatLsn } from "../barman/lsn.ts";
import { describeTarget, targetDocument } from "../barman/recovery-target.ts";
import type { AttachmentRecord } from "../odoo/attachment-records.ts";
import { hasAllFiles, type FilesReport } from "../odoo/recover-files.ts";
import {
  backupEnded,
  type MomentTarget,
  type RecoveryPlan,
  type SnapshotSpan,
} from "../odoo/recovery-plan.ts";
import { REPORT_NAME, type RecoveryReport } from "../odoo/recovery.ts";
import { askedDocument, coverageDocument, recoveryDocument } from "../odoo/recovery-document.ts";
import { formatAge, formatBytes, formatDuration, formatLocalTime } from "./format.ts";
import type { Output } from "./output.ts";
import { quoteUnprintable } from "./terminal-text.ts";

/** Names shown of each class; all are in the report. */
const NAMES_SHOWN = 10;

/** Tells the plan. `now` in milliseconds since 1970; `into`: the database in a server that it becomes, for people. */
export function reportRecoveryPlan(
  output: Output,
  plan: RecoveryPlan,
  { now, into }: { readonly now: number; readonly into?: string },
): void {
  if (output.isJson) output.json(planMessage(plan));
  else for (const line of planLines(plan, now, into)) output.print(line);
}

function planLines(plan: RecoveryPlan, now: number, into: string | undefined): string[] {
  const { archive, database, snapshots, captured, asked, capturedDatabase, namedDatabase } = plan;
  const { choice, storedBytes, tablespaces, hasManifest } = database;
  const when = (time: number): string => `${formatLocalTime(time)} (${agoText(now - time)})`;
  const name = namedDatabase ?? capturedDatabase;
  const ended = backupEnded(plan);
  const timelines = choice.path.map(({ timeline, to }) =>
    to === undefined ? `${timeline}` : `${timeline} to ${formatLsn(to)}`,
  );
  const files = plan.filestore ?? plan.place.filestore(name ?? "DATABASE");
  const expected = plan.expected
    ? `, about ${count(plan.expected.files, "file")}, ${formatBytes(plan.expected.bytes)}`
    : "";
  const lines = [
    `Recovery of ${quoteUnprintable(name ?? archive.server)} to ${momentText(asked, now)}`,
    ...(asked.kind === "latest-complete"
      ? [
          `  moment      ${describeTarget(choice.target)}, of ${when(plan.watermark.point!.position.time)}`,
        ]
      : []),
    `  complete    ${coverageText(plan, now)}`,
    `  archive     ${quoteUnprintable(archive.location)}`,
    `  backup      ${choice.backup.id}, ended ${when(ended)}, ${formatBytes(storedBytes)}${hasManifest ? "" : ", without a manifest: its files cannot be checked"}`,
    `  WAL         ${count(choice.walObjects, "object")}, ${formatBytes(choice.walBytes)} at most, timeline ${timelines.join(", then ")}`,
    `  snapshots   ${spanText(snapshots, "full snapshot", when)}`,
    `  captures    ${spanText(captured, "capture", when)}`,
    ...(plan.place.state === "left"
      ? ["  goes on     an earlier recovery did not come to its end here: its good files are kept"]
      : []),
    `  database    ${quoteUnprintable(into ?? plan.place.dataDirectory)}, PostgreSQL ${database.major}`,
    `  files       ${quoteUnprintable(files)}${expected}`,
  ];
  for (const { oid, name: space, folder } of tablespaces)
    lines.push(
      `  tablespace  ${oid} ${quoteUnprintable(space)} in ${quoteUnprintable(folder.path)}`,
    );
  for (const note of choice.notes) lines.push(`  note        ${quoteUnprintable(note)}`);
  lines.push(`  takes       about ${formatDuration(plan.estimatedSeconds)} (a rough guess)`);
  return lines;
}

function momentText(target: MomentTarget, now: number): string {
  if (target.kind === "latest-complete") return "the newest moment that is known to be complete";
  const age = target.kind === "time" ? ` (${agoText(now - target.micros / 1000)})` : "";
  return quoteUnprintable(describeTarget(target)) + age;
}

function agoText(milliseconds: number): string {
  return formatAge(milliseconds / 1000);
}

function coverageText({ coverage, database }: RecoveryPlan, now: number): string {
  switch (coverage.kind) {
    case "covered": {
      const { missing, corrupt, position } = coverage;
      const lost = missing + corrupt;
      const but = lost === 0 ? "" : `, but ${count(lost, "file")} that the source had lost then`;
      // No capture sees what came, was deleted and was collected before it looked again; the recovery would name it.
      return `yes: all files up to ${formatLsn(position.lsn)} are captured${but} (unless collected between two captures)`;
    }
    case "behind": {
      const { position } = coverage;
      const isEnd = database.choice.target.kind === "latest";
      const what = isEnd
        ? "files that were made since then may be missing"
        : "files may be missing";
      return `not known: the newest captured moment is ${formatLocalTime(position.time)} (${agoText(now - position.time)}), ${what}`;
    }
    case "unknown":
      return `not known: ${quoteUnprintable(coverage.why)}`;
  }
}

function spanText(span: SnapshotSpan, what: string, when: (time: number) => string): string {
  const { count: number, oldest, newest } = span;
  if (oldest === undefined || newest === undefined) return "none";
  if (number === 1) return `1 ${what} of ${when(newest)}`;
  return `${count(number, what)}, from ${when(oldest)} to ${when(newest)}`;
}

function planMessage(plan: RecoveryPlan): object {
  const { database, snapshots, captured, coverage, asked, watermark } = plan;
  const { choice } = database;
  const span = ({ count: number, oldest, newest }: SnapshotSpan): object => ({
    count: number,
    oldest: isoOrNull(oldest),
    newest: isoOrNull(newest),
  });
  return {
    message_type: "plan",
    asked: askedDocument(asked),
    target: targetDocument(choice.target),
    database: plan.namedDatabase ?? plan.capturedDatabase ?? null,
    archive: plan.archive.location,
    server: plan.archive.server,
    backup: choice.backup.id,
    backup_end_time: isoOrNull(backupEnded(plan)),
    stored_bytes: database.storedBytes,
    timeline: choice.timeline,
    wal_objects: choice.walObjects,
    wal_bytes: choice.walBytes,
    postgres_major: database.major,
    snapshots: span(snapshots),
    captures: span(captured),
    coverage: coverageDocument(coverage),
    watermark: watermark.point
      ? {
          lsn: formatLsn(watermark.point.position.lsn),
          time: isoOrNull(watermark.point.position.time),
        }
      : null,
    expected_files: plan.expected?.files ?? null,
    expected_bytes: plan.expected?.bytes ?? null,
    estimated_seconds: plan.estimatedSeconds,
    directory: plan.place.root,
    filestore: plan.filestore ?? null,
    notes: choice.notes,
  };
}

function isoOrNull(time: number | undefined): string | null {
  return time === undefined ? null : new Date(time).toISOString();
}

/** Tells what was recovered. `takesOver`: the server may replace the original, and go on in its archive. */
export function reportRecovery(
  output: Output,
  report: RecoveryReport,
  { takesOver = true }: { readonly takesOver?: boolean } = {},
): void {
  if (output.isJson) {
    output.json({ message_type: "summary", ...recoveryDocument(report) });
    return;
  }
  for (const line of reportLines(report, takesOver)) output.print(line);
}

function reportLines(report: RecoveryReport, takesOver: boolean): string[] {
  const { files, references, reached, left, seconds, plan } = report;
  const last = reached.time === undefined ? "" : `, last transaction ${reached.time}`;
  const whole = hasAllFiles(files) ? "recovered" : "recovered IN PART:";
  const kept = files.kept === 0 ? "" : `, ${files.kept} of them there already`;
  const lines = [
    `${whole} ${quoteUnprintable(report.database)} at ${reached.lsn}${last}, in ${formatDuration(seconds.total)}`,
    ...problemLines(report),
    `  files       ${files.ok} of ${files.referenced} in ${quoteUnprintable(report.filestore)}, ${formatBytes(files.bytes)}, each checked against its SHA-1${kept}`,
    `              ${files.fromCaptures} from captures, ${files.ok - files.kept - files.fromCaptures} from full snapshots${otherText(files)}`,
    ...databaseLines(report),
    ...outsideLines(references),
    `  took        ${stagesText(seconds)}`,
  ];
  if (report.damage.length > 0)
    lines.push(
      `  damage      ${count(report.damage.length, "thing")} in the repositories could not be read: see the report`,
    );
  if (report.dataDirectory !== undefined) {
    lines.push(`  report      ${quoteUnprintable(plan.place.root)}/${REPORT_NAME}`);
    if (left.state === "open" && takesOver) {
      const file = `${left.timeline.toString(16).toUpperCase().padStart(8, "0")}.history`;
      lines.push(
        `note: before this server archives, archive the history of its new timeline: holdfast pg wal-push ${quoteUnprintable(report.dataDirectory)}/pg_wal/${file}`,
      );
    }
  }
  for (const note of report.restored.notes) lines.push(`note: ${quoteUnprintable(note)}`);
  return lines;
}

function databaseLines({ dataDirectory, left, copied, postgres }: RecoveryReport): string[] {
  const lines: string[] = [];
  if (dataDirectory !== undefined) {
    const state =
      left.state === "open" ? `ready to start, timeline ${left.timeline}` : "paused at the moment";
    lines.push(
      `  database    ${quoteUnprintable(dataDirectory)}, PostgreSQL ${postgres}, ${state}`,
    );
  }
  if (copied !== undefined) {
    const { name, place, tables, rows } = copied;
    lines.push(
      `  database    ${quoteUnprintable(name)} at ${quoteUnprintable(place)}, ${count(tables, "table")} and ${count(rows, "row")} as in the recovered one`,
    );
  }
  return lines;
}

function otherText({ fromOtherCopy }: FilesReport): string {
  return fromOtherCopy === 0
    ? ""
    : `; the first copy of ${fromOtherCopy} was bad, and another one was good`;
}

/** Each class of problems with its first names. */
function problemLines({ files, records }: RecoveryReport): string[] {
  const classes = [
    ["MISSING", files.missing, "in no snapshot and no capture"],
    ["CORRUPT", files.corrupt, "in the backups, but no copy matches its SHA-1"],
    ["missing     ", files.missingAtSource, "at the source already, when it was captured"],
    ["corrupt     ", files.corruptAtSource, "at the source already, when it was captured"],
    [
      "regenerable",
      files.regenerable,
      "not to be had: bundles, which Odoo makes again once their rows go (`holdfast verify` has the SQL)",
    ],
  ] as const;
  return classes.flatMap(([label, names, what]) => {
    if (names.length === 0) return [];
    const shown = names
      .slice(0, NAMES_SHOWN)
      .map((name) => `                ${name}${rowText(records.get(name))}`);
    const more = names.length - shown.length;
    return [
      `  ${label.trim().padEnd(11)} ${count(names.length, "file")} ${what}`,
      ...shown,
      ...(more > 0 ? [`                and ${more} more`] : []),
    ];
  });
}

/** "  invoice.pdf, account.move 42, and 1 more". */
function rowText(rows: readonly AttachmentRecord[] = []): string {
  const [first] = rows;
  if (first === undefined) return "";
  const { name, res_model: model, res_id: record, res_field: field } = first;
  const where = model === null ? "" : `, ${model}${record === null ? "" : ` ${record}`}`;
  const more = rows.length > 1 ? `, and ${rows.length - 1} more` : "";
  return `  ${quoteUnprintable(name.slice(0, 80))}${quoteUnprintable(where)}${field === null ? "" : ` ${quoteUnprintable(field)}`}${more}`;
}

function outsideLines({ external, cloud, unknown }: RecoveryReport["references"]): string[] {
  const lines: string[] = [];
  for (const [scheme, rows] of external)
    lines.push(
      `note: ${count(rows, "attachment")} in ${quoteUnprintable(scheme)}:// were not looked at`,
    );
  if (cloud > 0)
    lines.push(`note: ${count(cloud, "attachment")} in cloud storage were not looked at`);
  if (unknown.length > 0)
    lines.push(
      `note: ${count(unknown.length, "name")} of files mean nothing, such as ${quoteUnprintable(JSON.stringify(unknown[0]))}: not looked for`,
    );
  return lines;
}

function stagesText(seconds: RecoveryReport["seconds"]): string {
  const { restore, replay, references, pool, files, copy, open } = seconds;
  const parts = [
    ["database", restore],
    ["WAL", replay],
    ["references", references],
    ["looking for files", pool],
    ["files", files],
    ["copying", copy],
    ["opening", open],
  ] as const;
  return parts
    .filter(([, value]) => value >= 0.05)
    .map(([what, value]) => `${what} ${value.toFixed(1)} s`)
    .join(", ");
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? "" : "s"}`;
}
