// What `pg info` tells a person: which moments can be recovered comes first, what may be wrong next, amounts at the end.
// Names and reasons come from a bucket and are shown as such.

import type { Catalogue } from "../barman/catalogue.ts";
import type { Dependents } from "../barman/dependents.ts";
import type { Inventory } from "../barman/inventory.ts";
import type { Leftover } from "../barman/leftovers.ts";
import { formatLsn } from "../barman/lsn.ts";
import type { Moment } from "../barman/recovery-windows.ts";
import type { WalGap } from "../barman/wal-gaps.ts";
import { segmentName } from "../barman/wal-name.ts";
import type { ListedServer } from "./archive-message.ts";
import { formatBaseBackups } from "./base-backup-table.ts";
import { formatAge, formatBytes, formatLocalTime, zoneName } from "./format.ts";
import { formatTable } from "./table.ts";
import { quoteUnprintable } from "./terminal-text.ts";
import { drawRecovery } from "./timeline-picture.ts";

export interface ViewOptions {
  readonly timeZone: string | undefined;
  /** Milliseconds since 1970. */
  readonly now: number;
  /** Cells that the terminal is wide. */
  readonly columns: number;
}

/** The lines about one server. */
export function viewServer(listed: ListedServer, options: ViewOptions): string[] {
  const { server, location, inventory } = listed;
  const { catalogue, systemId, version } = inventory;
  const facts = [
    version === undefined ? undefined : `PostgreSQL ${versionText(version)}`,
    systemId === undefined ? undefined : `system identifier ${quoteUnprintable(systemId)}`,
    `WAL segments of ${formatBytes(catalogue.segmentSize)}`,
  ].filter((fact) => fact !== undefined);
  const readOnly = catalogue.readOnly
    ? ["  read-only: a backup.info has fields of a program that is not known"]
    : [];
  const sections = [
    [
      `Server ${quoteUnprintable(server)} at ${quoteUnprintable(location)}`,
      `  ${facts.join(", ")}`,
      ...readOnly,
    ],
    [
      "Recovery",
      ...indented(recoveryLines(catalogue, options)),
      ...indented(drawRecovery(inventory, { ...options, columns: options.columns - 2 })),
    ],
    timelineLines(inventory, options),
    gapLines(catalogue.gaps),
    ["Backups", ...indented(formatBaseBackups(catalogue.backups, options))],
    dependentLines(inventory.dependents, options),
    leftoverLines(inventory, options),
    problemLines(catalogue),
    [totalLine(inventory)],
  ];
  return sections
    .filter(({ length }) => length > 0)
    .flatMap((lines, i) => (i === 0 ? lines : ["", ...lines]));
}

/** The table of several servers. */
export function viewServers(
  servers: readonly ListedServer[],
  { now, timeZone }: ViewOptions,
): string[] {
  const rows = servers.map(({ server, inventory }) => {
    const { catalogue, totals } = inventory;
    const times = catalogue.windows
      .flatMap(({ from, to }) => [from.time, to.time])
      .filter((time) => time !== undefined);
    const done = catalogue.backups.findLast(({ flaws }) => flaws.length === 0);
    const end = done?.info?.endTime;
    const lost = catalogue.gaps.filter(({ state }) => state === "lost").length;
    const age = (time: number): string =>
      `${formatLocalTime(time)} (${formatAge((now - time) / 1000)})`;
    return [
      quoteUnprintable(server),
      totals.restorable === totals.backups
        ? `${totals.backups}`
        : `${totals.restorable} of ${totals.backups}`,
      end ? age(Math.floor(end.micros / 1000)) : "none",
      times.length === 0 ? "NOTHING" : age(Math.min(...times)),
      times.length === 0 ? "" : age(Math.max(...times)),
      lost === 0 ? "" : `${lost} LOST`,
      formatBytes(totals.backupBytes + totals.walBytes + totals.leftoverBytes),
      catalogue.problems.length === 0 ? "" : `${catalogue.problems.length}`,
    ];
  });
  return formatTable({
    headers: [
      "Server",
      "Backups",
      "Newest",
      "Recoverable from",
      "to",
      "WAL gaps",
      "Size",
      "Problems",
    ],
    rows,
    footer: [`Timestamps shown in ${zoneName(timeZone)}`, `${servers.length} servers`],
  });
}

function recoveryLines({ windows }: Catalogue, options: ViewOptions): string[] {
  if (windows.length === 0)
    return ["NOTHING can be recovered: no whole backup with its WAL is there"];
  return windows.flatMap(({ timeline, from, to, partial, backups }) => [
    `any moment on timeline ${timeline} from ${momentText(from, options)}`,
    `${" ".repeat(`any moment on timeline ${timeline}`.length)} to   ${momentText(to, options)}${partial ? ", and some way into the partial segment behind it" : ""}`,
    `  with backup ${backups.join(", ")}`,
  ]);
}

/** A position with the time that the archive tells of it. */
function momentText({ lsn, time }: Moment, { now }: ViewOptions): string {
  const place = formatLsn(lsn);
  if (time === undefined) return place;
  return `${formatLocalTime(time)} (${formatAge((now - time) / 1000)}), ${place}`;
}

/** The time of a position, or the position where the archive does not tell the time. */
function placeText({ lsn, time }: Moment, { now }: ViewOptions): string {
  if (time === undefined) return formatLsn(lsn);
  return `${formatLocalTime(time)} (${formatAge((now - time) / 1000)})`;
}

function timelineLines({ timelines, catalogue }: Inventory, { now }: ViewOptions): string[] {
  if (timelines.length === 0) return [];
  const { wal, segmentSize } = catalogue;
  const rows = timelines.map(({ timeline, forkLsn, begun, isKnown, depth, parent }) => {
    const own = wal.get(timeline);
    const name = (segment: number): string => segmentName(timeline, segment, segmentSize);
    const first = own?.ranges[0]?.first;
    const last = own?.ranges.at(-1)?.last;
    const since = begun ? `, ${formatAge((now - begun) / 1000)}` : "";
    const origin = !isKnown
      ? "nobody knows where it comes from: its history is missing"
      : forkLsn === undefined
        ? ""
        : `left ${parent} at ${formatLsn(forkLsn)}${since}`;
    const branch = depth === 0 ? "" : `${"  ".repeat(Math.min(depth, 20) - 1)}└ `;
    return [
      `${branch}${timeline}`,
      origin,
      own ? `${own.segments.size} segments, ${formatBytes(own.bytes)}` : "no WAL",
      first === undefined ? "" : `${name(first)} to ${name(last!)}`,
    ];
  });
  const widths = [0, 1, 2].map((column) => Math.max(...rows.map((row) => row[column]!.length)));
  return [
    "Timelines",
    ...rows.map(
      (row) =>
        `  ${row
          .map((cell, i) => cell.padEnd(widths[i] ?? 0))
          .join("  ")
          .trimEnd()}`,
    ),
  ];
}

function gapLines(gaps: readonly WalGap[]): string[] {
  const words = { lost: "LOST", late: "late, may still come", expired: "not needed by any backup" };
  const lines = gaps.map(({ firstMissing, lastMissing, count, state, cutsOff, hasPartial }) => {
    const range =
      count === 1 ? firstMissing : `${firstMissing} to ${lastMissing} (${count} segments)`;
    const cut = cutsOff.length === 0 ? "" : `; cannot be followed past it: ${cutsOff.join(", ")}`;
    return `  ${range}: ${words[state]}${hasPartial ? ", its beginning is there" : ""}${cut}`;
  });
  return lines.length === 0 ? [] : ["Missing WAL", ...lines];
}

function dependentLines(
  dependents: ReadonlyMap<string, Dependents>,
  options: ViewOptions,
): string[] {
  const lines = [...dependents].flatMap(([id, { increments, moments }]) => {
    const parts = [
      ...(increments.length === 0 ? [] : [`increments ${increments.join(", ")}`]),
      ...moments.map(
        ({ timeline, from, to }) =>
          `every moment of timeline ${timeline} from ${placeText(from, options)} to ${placeText(to, options)}`,
      ),
    ];
    return parts.map((part) => `  ${id}: ${part}`);
  });
  return lines.length === 0 ? [] : ["What depends on one backup alone", ...lines];
}

const LEFTOVERS: Readonly<Record<Leftover["what"], string>> = {
  failed: "a backup that failed",
  "cut-off": "a backup without backup.info, under way or cut off",
  "no-backup": "notes of a backup that is gone, or has just begun",
  partial: "a partial segment whose whole one is there",
};

/** A leftover in words, for `pg info` and `pg expire`. */
export function leftoverText(leftover: Leftover, now: number): string {
  const { what, backup, objects, bytes, youngest, isRipe } = leftover;
  const age = youngest === undefined ? "age unknown" : formatAge((now - youngest) / 1000);
  const name = backup ?? quoteUnprintable(objects[0]!.path.split("/").at(-1)!);
  const amount = `${objects.length} ${objects.length === 1 ? "object" : "objects"}, ${formatBytes(bytes)}`;
  return `${name}: ${LEFTOVERS[what]} (${amount}, ${age})${isRipe ? "" : ", too young to go"}`;
}

function leftoverLines({ leftovers, others }: Inventory, { now }: ViewOptions): string[] {
  const reasons = {
    duplicate: "more than once, compressed in another way",
    truncated: "too short to be a segment",
    foreign: "not of an archive, never touched",
  } as const;
  const kinds = Map.groupBy(others, ({ why }) => why as keyof typeof reasons);
  const lines = [
    ...leftovers.map((leftover) => `  ${leftoverText(leftover, now)}`),
    ...[...kinds].map(([why, objects]) => {
      const bytes = objects.reduce((sum, { size }) => sum + size, 0);
      const first = quoteUnprintable(objects[0]!.path);
      return `  ${objects.length} ${reasons[why]} (${formatBytes(bytes)}): ${first}${objects.length > 1 ? ", …" : ""}`;
    }),
  ];
  return lines.length === 0 ? [] : ["Leftovers", ...lines];
}

function problemLines({ problems }: Catalogue): string[] {
  const lines = problems.flatMap(({ message, hint }) => [
    `  ${quoteUnprintable(message)}`,
    ...(hint === undefined ? [] : [`    hint: ${hint}`]),
  ]);
  return lines.length === 0 ? [] : ["Problems", ...lines];
}

function totalLine({ totals }: Inventory): string {
  const { restorable, backups, backupBytes, segments, walBytes, leftoverObjects, leftoverBytes } =
    totals;
  const left =
    leftoverObjects === 0
      ? ""
      : `, ${leftoverObjects} objects of no use ${formatBytes(leftoverBytes)}`;
  return `${restorable} of ${backups} backups can be restored; backups ${formatBytes(backupBytes)}, ${segments} segments ${formatBytes(walBytes)}${left}`;
}

/** 150018 as people write it. */
function versionText(version: number): string {
  const major = Math.floor(version / 10_000);
  return major >= 10
    ? `${major}.${version % 10_000}`
    : `${major}.${Math.floor(version / 100) % 100}`;
}

function indented(lines: readonly string[]): string[] {
  return lines.map((line) => (line === "" ? "" : `  ${line}`));
}
