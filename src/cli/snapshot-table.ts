// The table of `snapshots` and `forget`, letter by letter as restic 0.19 prints it: scripts cut it into columns.

import type { SnapshotGroup } from "../repository/snapshot-groups.ts";
import type { Snapshot } from "../restic/snapshot.ts";
import { parseTime } from "../restic/go-time.ts";
import { formatAge, formatBytes, formatLocalTime, shortId, zoneName } from "./format.ts";
import { formatTable } from "./table.ts";
import { quoteUnprintable } from "./terminal-text.ts";

/** A snapshot, and why `forget` keeps it. */
export interface SnapshotRow {
  readonly id: string;
  readonly snapshot: Pick<Snapshot, "time" | "hostname" | "tags" | "paths" | "summary">;
  readonly reasons?: readonly string[];
}

export interface SnapshotTableOptions {
  compact?: boolean;
  /** The variable TZ of this process, whose zone the times are shown in. */
  timeZone: string | undefined;
  /** Milliseconds since 1970, to tell how old each snapshot is; restic's table does not. */
  now?: number | undefined;
}

/** The lines of the table, oldest snapshot first. With `reasons` in any row there is a column for them. */
export function formatSnapshots(
  rows: readonly SnapshotRow[],
  { compact = false, timeZone, now }: SnapshotTableOptions,
): string[] {
  const ordered = rows
    .map((row) => ({ row, time: parseTime(row.snapshot.time) }))
    .sort((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : 0));
  const withReasons = !compact && rows.some((row) => row.reasons !== undefined);
  const withSize = rows.some((row) => row.snapshot.summary !== null);
  const tail = withSize ? ["Size"] : [];
  const age = now === undefined ? [] : ["Age"];
  const headers = compact
    ? ["ID", "Time", ...age, "Host", "Tags  ", ...tail]
    : [
        "ID",
        "Time",
        ...age,
        "Host      ",
        "Tags      ",
        ...(withReasons ? ["Reasons"] : []),
        "Paths",
        ...tail,
      ];
  const cells = ordered.map(({ row, time }) => {
    const { hostname, tags, paths, summary } = row.snapshot;
    const milliseconds = Number(time / 1_000_000n);
    return [
      shortId(row.id),
      formatLocalTime(milliseconds),
      ...(now === undefined ? [] : [formatAge((now - milliseconds) / 1000)]),
      quoteUnprintable(hostname),
      tags.map(quoteUnprintable).join(compact ? "\n" : ","),
      ...(withReasons ? [(row.reasons ?? []).join("\n")] : []),
      ...(compact ? [] : [paths.map(quoteUnprintable).join("\n")]),
      ...(withSize ? [summary === null ? "" : formatBytes(summary.totalBytesProcessed)] : []),
    ];
  });
  return formatTable({
    headers,
    rows: cells,
    footer: [`Timestamps shown in ${zoneName(timeZone)}`, `${rows.length} snapshots`],
    spaced: !compact && rows.some((row) => row.snapshot.paths.length > 1),
  });
}

/** "snapshots for (host [x], paths [y]):", or undefined when nothing was grouped. */
export function formatGroupHeader({
  hostname,
  tags,
  paths,
}: Partial<SnapshotGroup>): string | undefined {
  const list = (texts: readonly string[]): string => texts.map(quoteUnprintable).join(", ");
  const parts: string[] = [];
  if (hostname) parts.push(`host [${quoteUnprintable(hostname)}]`);
  if (tags) parts.push(`tags [${list(tags)}]`);
  if (paths) parts.push(`paths [${list(paths)}]`);
  return parts.length === 0 ? undefined : `snapshots for (${parts.join(", ")}):`;
}

/** "snapshot 18231260 of [/a /b] at 2026-11-23 20:52:09.836716677 +0000 UTC by root@host". */
export function describeSnapshot(
  id: string,
  snapshot: Omit<Snapshot, "summary" | "extra">,
): string {
  const paths = snapshot.paths.map(quoteUnprintable).join(" ");
  const who = quoteUnprintable(`${snapshot.username}@${snapshot.hostname}`);
  return `snapshot ${shortId(id)} of [${paths}] at ${goTime(snapshot.time)} by ${who}`;
}

/** A time as Go prints it to people: in the zone it was written in. */
export function goTime(time: string): string {
  const [, day = "", clock = "", zone = ""] =
    /^(\d+-\d+-\d+)T([\d:.]+)(Z|[+-]\d\d:\d\d)$/.exec(time) ?? [];
  const offset = zone === "Z" ? "+0000" : zone.replace(":", "");
  return `${day} ${clock} ${offset} ${zone === "Z" ? "UTC" : offset}`;
}
