// The table of base backups in `pg list` and `pg info`, and what is wrong with those that cannot be restored.

import type { CatalogueBackup } from "../barman/catalogue-backup.ts";
import { isBackupId } from "../barman/layout.ts";
import { durationOf } from "./archive-message.ts";
import { formatAge, formatBytes, formatDuration, formatLocalTime, zoneName } from "./format.ts";
import { formatTable } from "./table.ts";
import { quoteUnprintable } from "./terminal-text.ts";

const HEADERS = [
  "ID",
  "State",
  "Ended",
  "Age",
  "Type",
  "Size",
  "Stored",
  "Took",
  "TL",
  "WAL",
  "Keep",
];

/** The lines of the table, oldest backup first, and below it the flaws. `now` in milliseconds since 1970. */
export function formatBaseBackups(
  backups: readonly CatalogueBackup[],
  { timeZone, now }: { readonly timeZone: string | undefined; readonly now: number },
): string[] {
  const count = `${backups.length} ${backups.length === 1 ? "backup" : "backups"}`;
  const bytes = backups.reduce((sum, backup) => sum + backup.bytes, 0);
  return [
    ...formatTable({
      headers: HEADERS,
      rows: backups.map((backup) => rowOf(backup, now)),
      footer: [
        `Timestamps shown in ${zoneName(timeZone)}`,
        `${count}, ${formatBytes(bytes)} stored`,
      ],
    }),
    ...backups.flatMap(({ id, flaws }) =>
      flaws.map((flaw) => `${id} cannot be restored: ${quoteUnprintable(flaw)}`),
    ),
  ];
}

function rowOf(backup: CatalogueBackup, now: number): string[] {
  const { id, state, type, parent, info, keep, bytes, flaws } = backup;
  const end = info?.endTime ?? undefined;
  const time = end ? Math.floor(end.micros / 1000) : startOf(id);
  const took = durationOf(backup);
  return [
    id,
    state === "done" && flaws.length > 0
      ? "FLAWED"
      : state === "done"
        ? "done"
        : state.toUpperCase(),
    end ? formatLocalTime(time!) : "",
    time === undefined ? "" : formatAge((now - time) / 1000),
    state === "unreadable"
      ? ""
      : parent === undefined
        ? type
        : `increment of ${quoteUnprintable(parent)}`,
    info?.size ? formatBytes(info.size) : "",
    bytes === 0 ? "" : formatBytes(bytes),
    took === undefined ? "" : formatDuration(took),
    info?.timeline ? String(info.timeline) : "",
    walOf(backup),
    keep ?? "",
  ];
}

/** When the backup with that id began, as far as the id tells: Barman's are of its own clock. */
function startOf(id: string): number | undefined {
  if (!isBackupId(id)) return undefined;
  const text = id.replace(/^(....)(..)(..)T(..)(..)(..)$/, "$1-$2-$3T$4:$5:$6Z");
  const time = Date.parse(text);
  return Number.isNaN(time) ? undefined : time;
}

function walOf({ info }: CatalogueBackup): string {
  if (!info?.beginWal) return "";
  if (!info.endWal || info.endWal === info.beginWal) return info.beginWal;
  return `${info.beginWal}\n${info.endWal}`;
}
