// The WAL that a recovery goes through: from the beginning of a backup along the timelines to a target, and the first
// segment that is missing on the way (docs/formats/barman.md#recovery-windows).

import type { CatalogueBackup } from "./catalogue-backup.ts";
import { segmentAt, segmentBefore, type Lsn } from "./lsn.ts";
import type { Stretch } from "./timelines.ts";
import { runEnd, type ListedObject, type SegmentRange, type TimelineWal } from "./wal-listing.ts";

/** Whole segments of one timeline, both ends included. */
export interface WalStretch extends SegmentRange {
  readonly timeline: number;
}

export interface RecoveryWal {
  /** In the order in which they are replayed. */
  readonly stretches: readonly WalStretch[];
  /** The segment without which the recovery cannot go on: before the target, or before later WAL of the same timeline. */
  readonly missing: { readonly timeline: number; readonly segment: number } | undefined;
  /** A partial segment at the end. */
  readonly partial: ListedObject | undefined;
}

interface Archive {
  readonly wal: ReadonlyMap<number, TimelineWal>;
  readonly segmentSize: number;
}

/**
 * The part of `path` that begins with the backup's own timeline; undefined when the backup is not on that path: it is of
 * another branch, or ended behind the place where the next timeline left its own.
 */
export function pathFrom(
  backup: CatalogueBackup,
  path: readonly Stretch[],
): readonly Stretch[] | undefined {
  const { timeline, endLsn } = backup.info!;
  const start = path.findIndex((stretch) => stretch.timeline === timeline);
  if (start === -1) return undefined;
  const { to } = path[start]!;
  return to !== undefined && endLsn! > to ? undefined : path.slice(start);
}

/**
 * The WAL from the beginning of `backup` along `path` (of `pathFrom`) up to the position `until`, or to the end of what
 * there is.
 */
export function recoveryWal(
  backup: CatalogueBackup,
  path: readonly Stretch[],
  { wal, segmentSize }: Archive,
  until?: Lsn,
): RecoveryWal {
  const stretches: WalStretch[] = [];
  let first = backup.segments!.first;
  for (const [index, { timeline, to }] of path.entries()) {
    const next = path[index + 1];
    const isLast = next === undefined || (until !== undefined && until <= to!);
    // The segment in which the next timeline begins holds the end of this one too.
    const last = !isLast
      ? segmentAt(next.from, segmentSize) - 1
      : until === undefined
        ? Infinity
        : segmentBefore(until, segmentSize);
    if (first > last && !isLast) continue;
    const known = wal.get(timeline);
    const ranges = known?.ranges ?? [];
    const reached = Math.min(runEnd(ranges, first) ?? first - 1, last);
    if (reached >= first) stretches.push({ timeline, first, last: reached });
    const following = reached + 1;
    const partial = isLast && reached < last ? known?.partials.get(following) : undefined;
    if (reached < last && !(isLast && following === last && partial !== undefined)) {
      // Without a target, the end is where nothing more of the timeline is.
      const isEnd = isLast && last === Infinity && !ranges.some((range) => range.first > following);
      const isNothing = reached < first && partial === undefined;
      if (!isEnd || isNothing)
        return { stretches, missing: { timeline, segment: following }, partial: undefined };
    }
    if (isLast) return { stretches, missing: undefined, partial };
    first = reached + 1;
  }
  return { stretches, missing: undefined, partial: undefined };
}
