// The tree of timelines that the history files of an archive draw: where each one left its parent, which of them lead
// to a target, and on which one a position lies (docs/formats/barman.md#timeline-histories).

import { HoldfastError } from "../base/errors.ts";
import { damaged, type Fork, type History } from "./history.ts";
import { formatLsn, type Lsn } from "./lsn.ts";

/** A stretch of one timeline on the way to another. */
export interface Stretch {
  readonly timeline: number;
  readonly from: Lsn;
  /** Where the next timeline begins; undefined on the last one, which has no end of its own. */
  readonly to: Lsn | undefined;
}

/** What is known of the descent of timelines. */
export interface Timelines {
  /** The stretches that lead to a timeline, oldest first; undefined when its descent is not known. */
  get(timeline: number): readonly Stretch[] | undefined;
  /** Where a timeline left its parent, as histories tell it; undefined for one without a parent, and for one not known. */
  forkOf(timeline: number): Fork | undefined;
}

/** Where a timeline comes from; undefined for one that comes from nowhere. */
interface Origin {
  readonly fork: Fork | undefined;
  readonly source: string;
}

/**
 * The tree that `histories` draw together. What a file says of an ancestor is believed where the ancestor's own file is
 * not there. Throws BARMAN_HISTORY_DAMAGED when two files contradict each other.
 */
export function drawTimelines(histories: readonly History[]): Timelines {
  const origins = new Map<number, Origin>();
  for (const { timeline, forks, source } of histories) {
    const line = [...forks.map((fork) => fork.timeline), timeline];
    for (const [i, one] of line.entries()) {
      const origin = { fork: forks[i - 1], source };
      const before = origins.get(one);
      if (before === undefined) origins.set(one, origin);
      else requireSame(one, before, origin);
    }
  }
  if (!origins.has(1)) origins.set(1, { fork: undefined, source: "" });
  // Drawn when asked for: the way to each of many timelines would be long.
  const drawn = new Map<number, readonly Stretch[]>();
  return {
    get: (timeline) => {
      if (!drawn.has(timeline) && origins.has(timeline))
        drawn.set(timeline, stretches(timeline, forksTo(timeline, origins)));
      return drawn.get(timeline);
    },
    forkOf: (timeline) => origins.get(timeline)?.fork,
  };
}

function requireSame(timeline: number, one: Origin, other: Origin): void {
  const [a, b] = [one.fork, other.fork];
  if (a?.timeline === b?.timeline && a?.at === b?.at) return;
  const tell = (fork: Fork | undefined): string =>
    fork ? `leaves timeline ${fork.timeline} at ${formatLsn(fork.at)}` : "has no ancestor";
  throw damaged(
    other.source,
    `timeline ${timeline} ${tell(b)}, but in ${one.source} it ${tell(a)}`,
  );
}

/** The forks on the way to a timeline. Ancestors have smaller numbers, so there is an end. */
function forksTo(timeline: number, origins: ReadonlyMap<number, Origin>): Fork[] {
  const backwards: Fork[] = [];
  for (let fork = origins.get(timeline)?.fork; fork; fork = origins.get(fork.timeline)?.fork)
    backwards.push(fork);
  return backwards.toReversed();
}

/**
 * A recovery that ends before the timeline it was to follow had begun writes that timeline into the history
 * nevertheless, with an end before its beginning; nothing of it is on the way.
 */
function stretches(timeline: number, forks: readonly Fork[]): Stretch[] {
  const ends = forks.map(({ at }) => at);
  for (let i = ends.length - 2; i >= 0; i--) if (ends[i]! > ends[i + 1]!) ends[i] = ends[i + 1]!;
  return [...forks.map((fork) => fork.timeline), timeline]
    .map((one, i) => ({ timeline: one, from: i === 0 ? 0n : ends[i - 1]!, to: ends[i] }))
    .filter(({ from, to }) => to === undefined || from < to);
}

/** The stretches that lead to `timeline`, oldest first. Throws BARMAN_TIMELINE_UNKNOWN. */
export function pathTo(timelines: Timelines, timeline: number): readonly Stretch[] {
  const path = timelines.get(timeline);
  if (path) return path;
  throw timelineUnknown(timeline);
}

/** The error about a timeline without a history; `or` is what else can be done. */
export function timelineUnknown(timeline: number, or = ""): HoldfastError {
  const file = `${timeline.toString(16).toUpperCase().padStart(8, "0")}.history`;
  return new HoldfastError(
    "BARMAN_TIMELINE_UNKNOWN",
    `the archive has no ${file}, so nobody can say where timeline ${timeline} comes from`,
    { hint: `Put ${file} of the server's pg_wal into the folder wals/ of the archive${or}.` },
  );
}

/** The timeline whose WAL holds the byte at `lsn` on the way to `timeline`. Throws BARMAN_TIMELINE_UNKNOWN. */
export function timelineAt(timelines: Timelines, timeline: number, lsn: Lsn): number {
  const path = pathTo(timelines, timeline);
  return path.findLast(({ from }) => from <= lsn)!.timeline;
}

/**
 * True when whoever has replayed timeline `at.timeline` up to `at.lsn` can go on to `timeline`: that position is on the
 * way, the last one of a stretch included. Throws BARMAN_TIMELINE_UNKNOWN.
 */
export function leadsTo(
  timelines: Timelines,
  at: { readonly timeline: number; readonly lsn: Lsn },
  timeline: number,
): boolean {
  return pathTo(timelines, timeline).some(
    (stretch) =>
      stretch.timeline === at.timeline && (stretch.to === undefined || at.lsn <= stretch.to),
  );
}
