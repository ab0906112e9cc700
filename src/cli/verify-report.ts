// What `pg verify` says: a verdict for each backup and one for the WAL, each with what was found or why nothing is known.
// Green is only what was read. With --json, the message of docs/operations/postgres-catalogue.md#json.

import { HoldfastError } from "../base/errors.ts";
import type { Archive } from "../postgres/archive.ts";
import type { BackupReport, Verdict, VerifyReport } from "../postgres/verify.ts";
import { formatBytes } from "./format.ts";
import { backupView, type ProgressView } from "./progress-views.ts";
import { quoteUnprintable } from "./terminal-text.ts";

/** Objects count as files. */
export const VERIFY_VIEW: ProgressView = { lines: backupView.lines, plain: backupView.plain };

const WORDS: Readonly<Record<Verdict, string>> = {
  verified: "verified",
  structure: "structure only",
  damaged: "DAMAGED",
  unread: "not checked",
};

/**
 * The error that a verification ends with; undefined when all that was to be read is sound. `asked` are the ids of backups
 * that had to be verified.
 */
export function failureOf(
  report: VerifyReport,
  asked: readonly string[] = [],
): HoldfastError | undefined {
  const { backups, wal } = report;
  const damaged = backups.filter(({ verdict }) => verdict === "damaged").map(({ id }) => id);
  if (damaged.length > 0) {
    return new HoldfastError("BACKUP_DAMAGED", `damaged: ${damaged.join(", ")}`, {
      hint: "Make a new base backup, and keep the damaged ones until it is verified.",
    });
  }
  if (wal.verdict === "damaged") {
    return new HoldfastError("WAL_INVALID", "the WAL is damaged, or not all there", {
      hint: "Make a new base backup: what lies before it cannot be recovered in full. The server may still have that WAL in pg_wal.",
    });
  }
  const unread = backups.find(({ id, verdict }) => verdict === "unread" && asked.includes(id));
  if (unread !== undefined) {
    const message = `backup ${unread.id} was not verified: ${unread.reason}`;
    return new HoldfastError("INCOMPLETE", message, {
      hint: "Name a backup that `holdfast pg list` calls done.",
    });
  }
  if (isWhole(report)) return undefined;
  return new HoldfastError("INCOMPLETE", "not everything could be read", {
    hint: "Make sure that whoever verifies the archive may read all of it.",
  });
}

/** True when anything that was looked at is damaged. */
function isDamaged({ backups, wal }: VerifyReport): boolean {
  return [...backups, wal].some(({ verdict }) => verdict === "damaged");
}

/** True when nothing was kept from us: what failed, or was not to be read, is not missed. */
function isWhole({ catalogue, denied }: VerifyReport): boolean {
  return catalogue.problems.length === 0 && denied.length === 0;
}

/** The lines for a person. */
export function viewVerify({ server, location }: Archive, report: VerifyReport): string[] {
  const { backups, wal, bytesRead } = report;
  const count = (verdict: Verdict): number =>
    backups.filter((backup) => backup.verdict === verdict).length;
  const counts = (Object.keys(WORDS) as Verdict[])
    .filter((verdict) => count(verdict) > 0)
    .map((verdict) => `${count(verdict)} ${WORDS[verdict]}`);
  const walCount = `${wal.read} of ${wal.objects} objects read`;
  return [
    `Server ${quoteUnprintable(server)} at ${quoteUnprintable(location)}`,
    "",
    ...backups.flatMap((backup) => [
      `${backup.id}  ${WORDS[backup.verdict]}${amountOf(backup)}${because(backup)}`,
      ...foundLines(backup),
    ]),
    `WAL${" ".repeat(12)}  ${WORDS[wal.verdict]}, ${walCount}${because(wal)}`,
    ...foundLines(wal),
    "",
    `backups: ${counts.length === 0 ? "none" : counts.join(", ")}; read ${formatBytes(bytesRead)}`,
  ];
}

function amountOf({ files, bytes }: BackupReport): string {
  return files === 0 ? "" : `, ${files} files, ${formatBytes(bytes)}`;
}

function because({ reason }: { readonly reason: string | undefined }): string {
  return reason === undefined ? "" : `: ${quoteUnprintable(reason)}`;
}

function foundLines({ findings, more }: Pick<BackupReport, "findings" | "more">): string[] {
  const lines = findings.map((finding) => `  ${quoteUnprintable(finding)}`);
  return more === 0 ? lines : [...lines, `  and ${more} more`];
}

/** The message of --json. */
export function verifyMessage({ server, location }: Archive, report: VerifyReport): object {
  const { backups, wal, bytesRead } = report;
  return {
    message_type: "pg_verify",
    server,
    location,
    ok: !isDamaged(report),
    complete: isWhole(report),
    backups: backups.map(({ id, verdict, reason, findings, more, files, bytes }) => ({
      id,
      verdict,
      reason: reason ?? null,
      findings,
      more_findings: more,
      files,
      bytes,
    })),
    wal: {
      verdict: wal.verdict,
      reason: wal.reason ?? null,
      findings: wal.findings,
      more_findings: wal.more,
      objects_read: wal.read,
      objects: wal.objects,
    },
    bytes_read: bytesRead,
  };
}
