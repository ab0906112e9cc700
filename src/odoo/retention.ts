// Which snapshots and captures one recovery window needs, so that every moment of it finds its files
// (docs/decisions/plan.md#retention). Pure: decides, removes nothing. What the user's own keep rules hold is theirs, and
// comes on top; what this asks for stays whatever they say.

import type { Id } from "../base/bytes.ts";
import type { FoundSnapshot } from "../repository/snapshots.ts";
import { parseTime } from "../restic/go-time.ts";

/** A full snapshot of the filestore; times in milliseconds since 1970. */
export interface FullSnapshot {
  readonly id: Id;
  /** When the scan began. */
  readonly time: number;
  /** When it had ended, as far as the snapshot tells. */
  readonly end: number | undefined;
}

/** What a snapshot tells of its times. */
export function fullSnapshotOf({ id, snapshot: { summary, time } }: FoundSnapshot): FullSnapshot {
  return {
    id,
    time: timeOf(summary?.backupStart || time),
    end: summary?.backupEnd ? timeOf(summary.backupEnd) : undefined,
  };
}

function timeOf(text: string): number {
  return Number(parseTime(text) / 1_000_000n);
}

/** A capture of the same filestore. */
export interface TimedCapture {
  readonly id: Id;
  readonly time: number;
  /** The full snapshot since which it holds everything. */
  readonly since: Id | undefined;
  /**
   * Who captured: host and folder. Two that capture at the same time do not hold what the other one saw, so the last one of each
   * counts. Undefined where there is but one.
   */
  readonly source?: string | undefined;
}

export interface WindowNeeds {
  readonly snapshots: ReadonlySet<Id>;
  readonly captures: ReadonlySet<Id>;
  /** False when no full snapshot is old enough, so that the beginning of the window is not covered. */
  readonly isCovered: boolean;
}

export interface WindowOptions {
  /** The first moment that must be recoverable, in milliseconds since 1970. */
  readonly start: number;
  /** All of one filestore, in any order. */
  readonly snapshots: readonly FullSnapshot[];
  readonly captures: readonly TimedCapture[];
}

/**
 * What the window needs: the newest full snapshot that was whole when it began, all later ones, and of the captures since
 * then the last one of each period, as that alone holds what came and went between two full snapshots. The newest snapshot
 * and the newest capture stay in any case.
 */
export function neededForWindow({ start, snapshots, captures }: WindowOptions): WindowNeeds {
  const fulls = snapshots.toSorted((a, b) => a.time - b.time);
  const base = baseOf(fulls, start);
  // What is older than the first one that is needed is not needed, whatever the window asks for: nothing else is there.
  const from = base?.time ?? -Infinity;
  const kept = new Set(fulls.filter(({ time }) => time >= from).map(({ id }) => id));
  const newest = fulls.at(-1);
  if (newest !== undefined) kept.add(newest.id);
  return {
    snapshots: kept,
    captures: neededCaptures(captures, { from, kept }),
    isCovered: base !== undefined,
  };
}

/**
 * The newest snapshot whose scan had ended at `start`: a file may go while a scan is under way, and then the snapshot
 * does not have what the database still referred to when it began. Where a snapshot does not tell when it ended, the
 * next one had begun after that.
 */
function baseOf(fulls: readonly FullSnapshot[], start: number): FullSnapshot | undefined {
  return fulls.findLast(({ end }, i) => (end ?? fulls[i + 1]?.time ?? Infinity) <= start);
}

function neededCaptures(
  captures: readonly TimedCapture[],
  { from, kept }: { readonly from: number; readonly kept: ReadonlySet<Id> },
): Set<Id> {
  const needed = new Set<Id>();
  // The last one of a period holds all that the earlier ones of it do.
  const periods = Map.groupBy(captures, ({ since, source }) => JSON.stringify([since, source]));
  let newest: TimedCapture | undefined;
  for (const all of periods.values()) {
    const { since } = all[0]!;
    const last = all.reduce((best, one) => (isLater(one, best) ? one : best));
    if (last.time >= from || (since !== undefined && kept.has(since))) needed.add(last.id);
    if (newest === undefined || isLater(last, newest)) newest = last;
  }
  if (newest !== undefined) needed.add(newest.id);
  return needed;
}

/** Of the same time the larger id counts, so that the choice does not hang on the order. */
function isLater(a: TimedCapture, b: TimedCapture): boolean {
  return a.time === b.time ? a.id > b.id : a.time > b.time;
}
