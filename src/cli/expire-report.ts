// What `pg expire` says: why each backup stays or goes, what is left over, how much WAL goes, and what the storage would
// not delete. With --json, the message of docs/operations/postgres-catalogue.md#json.

import type { CatalogueBackup } from "../barman/catalogue-backup.ts";
import { formatRetentionPolicy, windowStart, type RetentionPolicy } from "../barman/retention.ts";
import type { ListedObject } from "../barman/wal-listing.ts";
import type { Archive } from "../postgres/archive.ts";
import type { ExpirePreview, ExpireReport, Refusal } from "../postgres/expire.ts";
import { leftoverMessage } from "./archive-message.ts";
import { leftoverText } from "./archive-view.ts";
import { formatAge, formatBytes, formatLocalTime, zoneName } from "./format.ts";
import { formatTable } from "./table.ts";
import { quoteUnprintable } from "./terminal-text.ts";

interface Shown {
  readonly archive: Archive;
  readonly policy: RetentionPolicy;
  readonly preview: ExpirePreview;
  /** Milliseconds since 1970. */
  readonly now: number;
}

/** The plan, in lines for a person. */
export function viewPlan(shown: Shown, timeZone: string | undefined): string[] {
  const { archive, policy, preview, now } = shown;
  const { catalogue, leftovers } = preview;
  const start = windowStart(policy, now);
  const since = start === undefined ? "" : `, from ${formatLocalTime(start)}`;
  const rows = catalogue.backups.map((backup) => {
    const end = backup.info?.endTime?.micros;
    const time = end === undefined ? undefined : Math.floor(end / 1000);
    return [
      backup.id,
      time === undefined ? "" : formatLocalTime(time),
      time === undefined ? "" : formatAge((now - time) / 1000),
      goes(backup, preview) ? "GOES" : "stays",
      quoteUnprintable(whyOf(backup, shown)),
    ];
  });
  const wal = walOf(preview);
  const first = wal[0]?.path.split("/").at(-1);
  const last = wal.at(-1)?.path.split("/").at(-1);
  return [
    `Server ${quoteUnprintable(archive.server)} at ${quoteUnprintable(archive.location)}`,
    `  ${formatRetentionPolicy(policy)}${since}`,
    "",
    ...formatTable({
      headers: ["ID", "Ended", "Age", "", "Why"],
      rows,
      footer: [`Timestamps shown in ${zoneName(timeZone)}`],
    }),
    ...leftovers
      .filter(({ what }) => what !== "failed")
      .map((leftover) => `${leftover.isRipe ? "GOES" : "stays"}  ${leftoverText(leftover, now)}`),
    wal.length === 0
      ? "no WAL goes"
      : `GOES  ${wal.length} objects of WAL, ${formatBytes(sizeOf(wal))}: ${first} to ${last}`,
  ];
}

/** Why a backup stays, or goes. */
function whyOf(backup: CatalogueBackup, { policy, preview, now }: Shown): string {
  const { id, keep, flaws, info } = backup;
  const { judged, blocked } = preview.plan;
  if (blocked !== undefined && backup.state === "unreadable") return flaws[0] ?? "";
  const start = windowStart(policy, now);
  const end = info?.endTime ? info.endTime.micros / 1000 : undefined;
  switch (judged.get(id)?.verdict) {
    case "obsolete":
      return start === undefined ? "enough newer ones are there" : "older than the window needs";
    case "keep-full":
    case "keep-standalone":
      return `kept by hand: ${keep}`;
    case "extra":
      if (backup.type === "snapshot")
        return "its data are snapshots of disks: let Barman delete it, and those with it";
      return "a minimum of backups, or an increment, needs it";
    case "valid":
      if (backup.parent !== undefined) return `an increment of ${backup.parent}, which stays`;
      if (flaws.length > 0) return `as old as others that stay; cannot be restored: ${flaws[0]}`;
      if (start === undefined) return "one of the newest";
      return end !== undefined && end < start
        ? "the window begins with it"
        : "it lies in the window";
    default: {
      const leftover = preview.leftovers.find((one) => one.backup === id);
      const young = leftover && !leftover.isRipe ? "; too young to go" : "";
      return `${flaws[0] ?? "it is not done"}${young}`;
    }
  }
}

function goes({ id }: CatalogueBackup, { steps }: ExpirePreview): boolean {
  return steps.some(({ backup }) => backup === id);
}

/** The WAL that goes, without partial segments that are left over: those are told one by one. */
function walOf({ steps, leftovers }: ExpirePreview): ListedObject[] {
  const told = new Set(leftovers.flatMap(({ objects }) => objects.map(({ path }) => path)));
  return steps
    .filter(({ kind }) => kind === "wal")
    .flatMap(({ objects }) => objects.filter(({ path }) => !told.has(path)));
}

/** What was done, or would be. */
export function viewOutcome(preview: ExpirePreview, report: ExpireReport | undefined): string[] {
  const planned = preview.steps.flatMap(({ objects }) => objects);
  if (report === undefined)
    return [`would delete ${planned.length} objects, ${formatBytes(sizeOf(planned))}`];
  const { objects, bytes, refusals } = report;
  return [`deleted ${objects} objects, ${formatBytes(bytes)}`, ...refusals.map(refusalText)];
}

function refusalText({ backup, path, message }: Refusal): string {
  const what = backup === undefined ? "WAL from here on stays" : `backup ${backup} stays`;
  return `${what}: ${quoteUnprintable(path)}: ${quoteUnprintable(message)}`;
}

/** The message of --json; `report` is undefined for a dry run. */
export function expireMessage(shown: Shown, report: ExpireReport | undefined): object {
  const { archive, policy, preview, now } = shown;
  const { catalogue, plan, leftovers, steps } = preview;
  const start = windowStart(policy, now);
  const planned = steps.flatMap(({ objects }) => objects);
  return {
    message_type: "pg_expire",
    server: archive.server,
    location: archive.location,
    policy: formatRetentionPolicy(policy),
    window_start: start === undefined ? null : new Date(start).toISOString(),
    dry_run: report === undefined,
    blocked: plan.blocked ?? null,
    backups: catalogue.backups.map((backup) => ({
      id: backup.id,
      goes: goes(backup, preview),
      verdict: plan.judged.get(backup.id)?.verdict ?? null,
      reason: whyOf(backup, shown),
      first_wal: plan.firstWal.get(backup.id) ?? null,
    })),
    leftovers: leftovers.map(leftoverMessage),
    planned: {
      objects: planned.length,
      bytes: sizeOf(planned),
      paths: planned.map(({ path }) => path),
    },
    deleted: report === undefined ? null : { objects: report.objects, bytes: report.bytes },
    refused: (report?.refusals ?? []).map(({ backup, path, message }) => ({
      backup: backup ?? null,
      path,
      message,
    })),
  };
}

function sizeOf(objects: readonly ListedObject[]): number {
  return objects.reduce((sum, { size }) => sum + size, 0);
}
