// From when to when any moment can be recovered (docs/formats/barman.md#recovery-windows). A window lies on one timeline
// and reaches from the end of a backup, or from where the timeline begins, to the last segment without a hole.

import type { CatalogueBackup } from "./catalogue-backup.ts";
import { segmentAt, segmentStart, type Lsn } from "./lsn.ts";
import type { Stretch, Timelines } from "./timelines.ts";
import { runEnd, type ListedObject, type TimelineWal } from "./wal-listing.ts";
import { millisecondsOf } from "./zoned-time.ts";

/** A moment by position, and by clock as far as the archive tells; milliseconds since 1970. */
export interface Moment {
  readonly lsn: Lsn;
  readonly time: number | undefined;
}

export interface RecoveryWindow {
  readonly timeline: number;
  readonly from: Moment;
  /** Behind the last whole segment; its time is when that, or the partial one behind it, was stored. */
  readonly to: Moment;
  /** The partial segment that reaches further than `to`, by a length that only its content tells. */
  readonly partial: ListedObject | undefined;
  /** The ids of the backups that a recovery into the window can begin with. Without the first one it begins later. */
  readonly backups: readonly string[];
}

interface Archive {
  readonly backups: readonly CatalogueBackup[];
  readonly wal: ReadonlyMap<number, TimelineWal>;
  readonly timelines: Timelines;
  /** When the history of a timeline was stored, which is when the timeline began. */
  readonly historyTimes: ReadonlyMap<number, number>;
  readonly segmentSize: number;
}

/** The windows of all timelines, in the order of timelines and positions. */
export function findWindows(archive: Archive): RecoveryWindow[] {
  const usable = archive.backups.filter(({ flaws }) => flaws.length === 0);
  return [...archive.wal.keys()]
    .toSorted((a, b) => a - b)
    .flatMap((timeline) => {
      const whole = { timeline, from: 0n, to: undefined };
      const path = archive.timelines.get(timeline) ?? [whole];
      const runs = new Map<number, CatalogueBackup[]>();
      for (const backup of usable) {
        const end = follow(backup, path, archive);
        if (end !== undefined) runs.set(end, [...(runs.get(end) ?? []), backup]);
      }
      return [...runs]
        .toSorted(([a], [b]) => a - b)
        .map(([end, backups]) => windowOf({ stretch: path.at(-1)!, end, backups }, archive));
    });
}

/**
 * The last segment on the last stretch of `path` that a recovery from `backup` comes to; undefined when it does not come
 * as far as that stretch.
 */
function follow(
  backup: CatalogueBackup,
  path: readonly Stretch[],
  { wal, segmentSize }: Archive,
): number | undefined {
  const { timeline, endLsn } = backup.info!;
  const start = path.findIndex((stretch) => stretch.timeline === timeline);
  if (start === -1) return undefined;
  const { to } = path[start]!;
  if (to !== undefined && endLsn! > to) return undefined;
  let segment = backup.segments!.first;
  for (const [index, stretch] of path.entries()) {
    if (index < start) continue;
    const next = path[index + 1];
    // The segment in which the next timeline begins holds the end of this one too.
    const last = next ? segmentAt(next.from, segmentSize) - 1 : Infinity;
    if (segment > last) continue;
    const end = runEnd(wal.get(stretch.timeline)?.ranges ?? [], segment);
    if (end === undefined) return undefined;
    if (next === undefined) return end;
    if (end < last) return undefined;
    segment = last + 1;
  }
  return undefined;
}

function windowOf(
  run: {
    readonly stretch: Stretch;
    readonly end: number;
    readonly backups: readonly CatalogueBackup[];
  },
  { wal, historyTimes, segmentSize }: Archive,
): RecoveryWindow {
  const { stretch, end, backups } = run;
  const { timeline } = stretch;
  const moments = backups.map(({ info }): Moment => {
    if (info!.timeline !== timeline) return { lsn: stretch.from, time: historyTimes.get(timeline) };
    return { lsn: info!.endLsn!, time: millisecondsOf(info!.endTime!) };
  });
  const from = moments.reduce((least, one) => (one.lsn < least.lsn ? one : least));
  const { segments, partials } = wal.get(timeline)!;
  const partial = partials.get(end + 1);
  const time = (partial ?? segments.get(end)!).time;
  const to = { lsn: segmentStart(end + 1, segmentSize), time };
  return { timeline, from, to, partial, backups: backups.map(({ id }) => id) };
}
