// Which WAL the backups that stay still need (docs/formats/barman.md#which-wal-is-needed). Answers "release" only when
// it is certain: whatever hangs on a timeline of unknown descent is needed.

import type { BackupInfo } from "./backup-info.ts";
import type { Judgement } from "./retention.ts";
import type { Timelines } from "./timelines.ts";
import { segmentNumber } from "./wal-name.ts";

/** A backup that stays, and from where its WAL is needed. */
export interface WalHolder {
  readonly timeline: number;
  readonly firstSegment: number;
  /** The segment with its end when nothing behind it is wanted; null when any later moment is. */
  readonly lastSegment: number | null;
  /** Bytes of the segments that these numbers count. */
  readonly segmentSize: number;
}

/**
 * True when the segment of that timeline may be released: none of `holders` needs it. Nothing is released of a timeline
 * that is newer than every holder that wants all behind it: its first backup may just be under way, and show only when
 * it is done.
 */
export function isReleasable(options: {
  readonly holders: readonly WalHolder[];
  readonly timelines: Timelines;
  readonly segmentSize: number;
  readonly timeline: number;
  readonly segment: number;
}): boolean {
  const { holders, timelines, segmentSize, timeline, segment } = options;
  const open = holders.filter(({ lastSegment }) => lastSegment === null);
  const newest = Math.max(0, ...open.map((holder) => holder.timeline));
  if (timeline > newest) return false;
  return !holders.some((holder) => {
    // Timelines are numbered in the order in which they begin, so an earlier one never comes out of a later one.
    if (timeline < holder.timeline) return false;
    // Under other sizes the same names are other places: nobody can say which of them it needs.
    if (segmentSize !== holder.segmentSize) return true;
    const { firstSegment, lastSegment } = holder;
    if (timeline === holder.timeline)
      return segment >= firstSegment && (lastSegment === null || segment <= lastSegment);
    if (lastSegment !== null) return false;
    const path = timelines.get(timeline);
    if (path === undefined) return true;
    const own = path.find((stretch) => stretch.timeline === holder.timeline);
    if (own?.to === undefined) return false;
    // A backup that began after the fork cannot be followed into the other timeline.
    return segment >= firstSegment && BigInt(firstSegment) * BigInt(segmentSize) < own.to;
  });
}

/**
 * The WAL that each of `backups` holds, by what `judged` says of them. Those that began after the last one that is
 * done, and have not failed, may be under way: they hold all theirs.
 */
export function walHolders(
  backups: readonly { readonly id: string; readonly info: BackupInfo }[],
  judged: ReadonlyMap<string, Judgement>,
): WalHolder[] {
  const done = backups.filter(({ info }) => info.status === "DONE").map(({ id }) => id);
  const newest = done.toSorted().at(-1) ?? "";
  return backups.flatMap(({ id, info }) => {
    const { beginWal, endWal, segmentSize, timeline } = info;
    if (beginWal === null || timeline === null) return [];
    const isUnderWay = !["DONE", "FAILED"].includes(info.status) && id > newest;
    const wal = isUnderWay ? "all" : (judged.get(id)?.wal ?? "all");
    if (wal === "none") return [];
    const firstSegment = segmentNumber(beginWal, segmentSize);
    const lastSegment = wal === "all" ? null : segmentNumber(endWal!, segmentSize);
    return [{ timeline, firstSegment, lastSegment, segmentSize }];
  });
}
