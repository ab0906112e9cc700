// To which moments database and files can return together, from what there is: base backups and WAL, full snapshots and
// captures. With captures any moment of a stretch; with full snapshots alone the moments at which their scans began, and
// nothing between. Times are those that people see, of several clocks, and good to about a minute; what really belongs
// together is decided by position (src/odoo/watermark.ts). Pure.

import type { Catalogue } from "../barman/catalogue.ts";
import { millisecondsOf } from "../barman/zoned-time.ts";
import type { Id } from "../base/bytes.ts";
import type { FullSnapshot } from "./retention.ts";
import { isWhole, type MarkedCapture } from "./watermark.ts";

/** Times in milliseconds since 1970, both ends included. */
export interface TimeStretch {
  readonly from: number;
  readonly to: number;
}

/** From when to when any moment of the database can be recovered, along one history. */
export interface DatabaseReach extends TimeStretch {
  readonly timeline: number;
}

/** A moment at which the files are those of a full snapshot, and the database is at the beginning of its scan. */
export interface SnapshotMoment {
  readonly snapshot: Id;
  readonly time: number;
}

export interface JointMoments {
  /** Any moment of these, oldest first. */
  readonly stretches: readonly TimeStretch[];
  /** Moments outside of them, oldest first. */
  readonly moments: readonly SnapshotMoment[];
}

/** Between the last capture of a period and the full snapshot that ends it, this much is the daemon's own pace. */
export const PAUSE_MS: number = 15 * 60_000;

/** What the archive reaches, by history, the newest end last. Those without times are left out. */
export function databaseReaches({ windows, backups }: Catalogue): DatabaseReach[] {
  const ends = new Map(
    backups.flatMap(({ id, info }) => (info?.endTime ? [[id, millisecondsOf(info.endTime)]] : [])),
  );
  return windows
    .flatMap(({ timeline, to, backups: leading }): DatabaseReach[] => {
      // A backup of an earlier timeline leads here without a hole, so everything behind it counts.
      const from = Math.min(...leading.map((id) => ends.get(id) ?? Infinity));
      if (to.time === undefined || to.time === 0 || !Number.isFinite(from)) return [];
      return [{ timeline, from: Math.min(from, to.time), to: to.time }];
    })
    .toSorted((a, b) => a.to - b.to || a.timeline - b.timeline);
}

/** Stretches of time in which all files that came were captured. */
export function capturedStretches(options: {
  readonly snapshots: readonly FullSnapshot[];
  readonly captures: readonly MarkedCapture[];
}): TimeStretch[] {
  const byId = new Map(options.snapshots.map((one) => [one.id, one]));
  // A capture alone does not have what the snapshot had that it goes on from.
  const captures = options.captures.filter(({ mark }) => isWhole(mark, byId));
  const periods = Map.groupBy(captures, ({ mark }) => mark.since);
  const stretches = [...periods].map(([since, own]) => {
    const times = own.map(momentOf);
    const full = since === undefined ? undefined : byId.get(since);
    // Without any snapshot they begin when the first of them was made.
    const from = full === undefined ? Math.min(...times) : (full.end ?? full.time);
    return { from, to: Math.max(...times), begun: full?.time ?? from };
  });
  const merged: { from: number; to: number }[] = [];
  for (const { from, to, begun } of stretches.toSorted((a, b) => a.begun - b.begun)) {
    const last = merged.at(-1);
    if (last !== undefined && begun - last.to <= PAUSE_MS) last.to = Math.max(last.to, to);
    else if (to >= from) merged.push({ from, to });
  }
  return merged;
}

/** When a capture was made: by the server's clock where it was asked, which is the one of its WAL. */
function momentOf({ mark, time }: MarkedCapture): number {
  return mark.position?.time ?? time;
}

/** What both can reach. */
export function findJointMoments(options: {
  readonly snapshots: readonly FullSnapshot[];
  readonly captures: readonly MarkedCapture[];
  /** Of `databaseReaches`. */
  readonly reaches: readonly TimeStretch[];
}): JointMoments {
  const { snapshots, captures, reaches } = options;
  const stretches = capturedStretches({ snapshots, captures })
    .flatMap((files) =>
      union(reaches).flatMap((database) => {
        const from = Math.max(files.from, database.from);
        const to = Math.min(files.to, database.to);
        return from <= to ? [{ from, to }] : [];
      }),
    )
    .toSorted((a, b) => a.from - b.from);
  const isIn = (time: number, all: readonly TimeStretch[]): boolean =>
    all.some(({ from, to }) => from <= time && time <= to);
  const moments = snapshots
    // One that a stretch begins with adds nothing to it.
    .filter(({ time, end = time }) => isIn(time, reaches) && !isIn(end, stretches))
    .map(({ id, time }) => ({ snapshot: id, time }))
    .toSorted((a, b) => a.time - b.time);
  return { stretches, moments };
}

/** Stretches that overlap, as one. */
export function union(stretches: readonly TimeStretch[]): TimeStretch[] {
  const merged: { from: number; to: number }[] = [];
  for (const { from, to } of stretches.toSorted((a, b) => a.from - b.from)) {
    const last = merged.at(-1);
    if (last !== undefined && from <= last.to) last.to = Math.max(last.to, to);
    else merged.push({ from, to });
  }
  return merged;
}
