// Where a stream of WAL has to begin so that an archive continues without a hole: behind the last segment that is in the
// archive, on the way to the timeline that the server is on (docs/decisions/receiver.md#where-a-stream-begins).

import { segmentAt, type Lsn } from "./lsn.ts";
import type { Stretch } from "./timelines.ts";

/** Whole segments, by timeline. */
export type SegmentSets = ReadonlyMap<number, ReadonlySet<number>>;

export interface StreamStart {
  readonly timeline: number;
  /** The segment from whose first byte on to ask. */
  readonly segment: number;
  /** Later segments from which to ask, one after the other, if the server has removed those before: they are lost. */
  readonly otherwise: readonly number[];
}

/** How many segments a receiver may have stored out of order when it died. */
const UNORDERED_MAX = 8;

/**
 * The timeline in whose file a segment is on the way: a segment in which a timeline begins is in the new one's file, behind
 * a copy of the old one's bytes.
 */
export function timelineOf(path: readonly Stretch[], segment: number, size: number): number {
  return path.findLast(({ from }) => segmentAt(from, size) <= segment)!.timeline;
}

/** Chooses where to begin. */
export function chooseStart(options: {
  /** The stretches that lead to the server's timeline, oldest first; the last one has no end. */
  readonly path: readonly Stretch[];
  /** What is in the archive, or waits to be stored there. */
  readonly archived: SegmentSets;
  /** From where on the server keeps WAL for us. */
  readonly restart: Lsn | undefined;
  /** Where the server's WAL ends. */
  readonly position: Lsn;
  /** Bytes of a segment. */
  readonly size: number;
}): StreamStart {
  const { path, archived, restart, position, size } = options;
  const at = (segment: number, ...otherwise: number[]): StreamStart => ({
    timeline: timelineOf(path, segment, size),
    segment,
    otherwise,
  });
  const has = (segment: number): boolean =>
    archived.get(timelineOf(path, segment, size))?.has(segment) ?? false;
  const kept = restart === undefined ? undefined : segmentAt(restart, size);
  const end = lastOnTheWay(path, archived, size);
  // Nothing of this server's way is there: what it keeps for us, or what it writes from now on.
  if (end === undefined) return at(kept ?? segmentAt(position, size));
  if (kept !== undefined && kept > end + 1) return at(end + 1, kept);
  // Several segments are stored at once: a crash may leave a hole before the last one, which the server still keeps, as
  // nothing behind it was acknowledged.
  let first = kept ?? firstNear(end, has);
  while (first <= end && has(first)) first += 1;
  return kept === undefined && first <= end ? at(first, end + 1) : at(first);
}

/** The first segment that is there of the last few. */
function firstNear(end: number, has: (segment: number) => boolean): number {
  let first = end;
  for (let segment = end; segment > end - UNORDERED_MAX && segment >= 0; segment--)
    if (has(segment)) first = segment;
  return first;
}

/** The last segment on the way that is there; what a timeline has behind its end there does not count. */
function lastOnTheWay(
  path: readonly Stretch[],
  archived: SegmentSets,
  size: number,
): number | undefined {
  let end: number | undefined;
  for (const [i, { timeline, from }] of path.entries()) {
    const first = segmentAt(from, size);
    const next = path[i + 1];
    const behind = next === undefined ? Infinity : segmentAt(next.from, size);
    for (const segment of archived.get(timeline) ?? []) {
      if (segment >= first && segment < behind && segment > (end ?? -1)) end = segment;
    }
  }
  return end;
}
