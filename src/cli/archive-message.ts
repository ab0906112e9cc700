// What `pg list` and `pg info` say with --json (docs/operations/postgres-catalogue.md#json): times in UTC, sizes in bytes,
// positions as PostgreSQL prints them, null for what is not known. Fields are added, never changed or taken away.

import type { HoldfastError } from "../base/errors.ts";
import type { CatalogueBackup } from "../barman/catalogue-backup.ts";
import type { WindowPart } from "../barman/dependents.ts";
import type { Inventory } from "../barman/inventory.ts";
import type { Leftover } from "../barman/leftovers.ts";
import { formatLsn, type Lsn } from "../barman/lsn.ts";
import type { RecoveryWindow } from "../barman/recovery-windows.ts";
import type { TimelineNode } from "../barman/timeline-tree.ts";
import type { WalGap } from "../barman/wal-gaps.ts";
import { segmentName } from "../barman/wal-name.ts";
import type { ZonedTime } from "../barman/zoned-time.ts";

/** The archive of one server. */
export interface ListedServer {
  readonly server: string;
  /** For people. */
  readonly location: string;
  readonly inventory: Inventory;
}

/** The message of `pg list`. */
export function listMessage({ server, location, inventory }: ListedServer): object {
  return {
    message_type: "pg_backups",
    server,
    location,
    backups: inventory.catalogue.backups.map((backup) => backupMessage(backup, inventory)),
    problems: inventory.catalogue.problems.map(problemMessage),
  };
}

/** The message of `pg info`; `now` in milliseconds since 1970. */
export function infoMessage(
  location: string,
  servers: readonly ListedServer[],
  now: number,
): object {
  return {
    message_type: "pg_archive",
    location,
    time: timeText(now),
    servers: servers.map(serverMessage),
  };
}

function serverMessage({ server, location, inventory }: ListedServer): object {
  const { catalogue, timelines, leftovers, others, totals } = inventory;
  const { segmentSize, backups, windows, gaps, problems, readOnly } = catalogue;
  const orphans = Map.groupBy(others, ({ why }) => why);
  return {
    server,
    location,
    system_id: inventory.systemId ?? null,
    postgres_version: inventory.version ?? null,
    segment_size: segmentSize,
    read_only: readOnly,
    complete: problems.length === 0,
    windows: windows.map(windowMessage),
    timelines: timelines.map((node) => timelineMessage(node, inventory)),
    gaps: gaps.map(gapMessage),
    backups: backups.map((backup) => backupMessage(backup, inventory)),
    leftovers: leftovers.map(leftoverMessage),
    other_objects: [...orphans].map(([why, objects]) => ({
      why,
      objects: objects.length,
      bytes: objects.reduce((sum, { size }) => sum + size, 0),
      first: objects[0]!.path,
    })),
    problems: problems.map(problemMessage),
    totals: {
      restorable_backups: totals.restorable,
      backups: totals.backups,
      backup_bytes: totals.backupBytes,
      segments: totals.segments,
      wal_bytes: totals.walBytes,
      leftover_objects: totals.leftoverObjects,
      leftover_bytes: totals.leftoverBytes,
    },
  };
}

function backupMessage(backup: CatalogueBackup, { dependents }: Inventory): object {
  const { id, state, type, parent, info, keep, bytes, flaws } = backup;
  const { increments = [], moments = [] } = dependents.get(id) ?? {};
  return {
    id,
    state,
    restorable: flaws.length === 0,
    type: state === "unreadable" ? null : type,
    parent: parent ?? null,
    name: info?.backupName ?? null,
    keep: keep ?? null,
    begin_time: zonedText(info?.beginTime),
    end_time: zonedText(info?.endTime),
    duration_seconds: durationOf(backup) ?? null,
    size: info?.size ?? null,
    stored_bytes: bytes,
    timeline: info?.timeline ?? null,
    begin_lsn: lsnText(info?.beginLsn),
    end_lsn: lsnText(info?.endLsn),
    begin_wal: info?.beginWal ?? null,
    end_wal: info?.endWal ?? null,
    system_id: info?.systemId ?? null,
    postgres_version: info?.version ?? null,
    tablespaces: (info?.tablespaces ?? []).map(({ name, oid, location }) => ({
      name,
      oid,
      location,
    })),
    error: info?.error ?? null,
    flaws,
    increments,
    only_way_to: moments.map(partMessage),
  };
}

/** Seconds that a backup took; undefined for one that does not tell. */
export function durationOf({ info }: CatalogueBackup): number | undefined {
  if (!info?.beginTime || !info.endTime) return undefined;
  return Math.round((info.endTime.micros - info.beginTime.micros) / 1000) / 1000;
}

function partMessage({ timeline, from, to }: WindowPart): object {
  return {
    timeline,
    from_lsn: formatLsn(from.lsn),
    from_time: timeText(from.time),
    to_lsn: formatLsn(to.lsn),
    to_time: timeText(to.time),
  };
}

function windowMessage(window: RecoveryWindow): object {
  const { partial, backups } = window;
  return { ...partMessage(window), partial_segment: partial?.path ?? null, backups };
}

function timelineMessage(node: TimelineNode, { catalogue }: Inventory): object {
  const { timeline, parent, forkLsn, begun, isKnown } = node;
  const { segmentSize, wal } = catalogue;
  const own = wal.get(timeline);
  const name = (segment: number | undefined): string | null =>
    segment === undefined ? null : segmentName(timeline, segment, segmentSize);
  return {
    timeline,
    parent: parent ?? null,
    fork_lsn: lsnText(forkLsn),
    begun: timeText(begun),
    descent_known: isKnown,
    segments: own?.segments.size ?? 0,
    wal_bytes: own?.bytes ?? 0,
    first_wal: name(own?.ranges[0]?.first),
    last_wal: name(own?.ranges.at(-1)?.last),
  };
}

function gapMessage(gap: WalGap): object {
  const { timeline, firstMissing, lastMissing, count, state, cutsOff, hasPartial } = gap;
  return {
    timeline,
    state,
    first_missing: firstMissing,
    last_missing: lastMissing,
    segments: count,
    cuts_off: cutsOff,
    has_partial: hasPartial,
  };
}

/** Something of no use, and whether it may go. */
export function leftoverMessage(leftover: Leftover): object {
  const { what, backup, reason, objects, bytes, youngest, isRipe } = leftover;
  return {
    what,
    backup: backup ?? null,
    reason: reason ?? null,
    objects: objects.length,
    bytes,
    youngest: timeText(youngest),
    ripe: isRipe,
  };
}

function problemMessage({ code, message, hint }: HoldfastError): object {
  return { code, message, hint: hint ?? null };
}

function lsnText(lsn: Lsn | null | undefined): string | null {
  return lsn === null || lsn === undefined ? null : formatLsn(lsn);
}

function timeText(milliseconds: number | undefined): string | null {
  return milliseconds === undefined ? null : new Date(milliseconds).toISOString();
}

function zonedText(time: ZonedTime | null | undefined): string | null {
  return time ? timeText(Math.floor(time.micros / 1000)) : null;
}
