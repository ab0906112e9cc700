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

/** What is known of the descent of timelines, by timeline. */
export type Timelines = ReadonlyMap<number, readonly Stretch[]>;

/**
 * The tree that `histories` draw together. What a file says of an ancestor is believed where the ancestor's own file is
 * not there. Throws BARMAN_HISTORY_DAMAGED when two files contradict each other.
 */
export function drawTimelines(histories: readonly History[]): Timelines {
  const known = new Map<number, { forks: readonly Fork[]; source: string }>();
  for (const { timeline, forks, source } of histories) {
    for (let length = 1; length <= forks.length; length++) {
      const about = length === forks.length ? timeline : forks[length]!.timeline;
      const said = forks.slice(0, length);
      const before = known.get(about);
      if (before === undefined) known.set(about, { forks: said, source });
      else compare(about, before, { forks: said, source });
    }
    const first = forks[0]!.timeline;
    const root = known.get(first);
    if (root === undefined) known.set(first, { forks: [], source });
    else compare(first, root, { forks: [], source });
  }
  if (!known.has(1)) known.set(1, { forks: [], source: "" });
  return new Map([...known].map(([timeline, { forks }]) => [timeline, stretches(timeline, forks)]));
}

interface Claim {
  readonly forks: readonly Fork[];
  readonly source: string;
}

function compare(timeline: number, one: Claim, other: Claim): void {
  const length = Math.max(one.forks.length, other.forks.length);
  for (let i = 0; i < length; i++) {
    const [a, b] = [one.forks[i], other.forks[i]];
    if (a?.timeline === b?.timeline && a?.at === b?.at) continue;
    const tell = (fork: Fork | undefined): string =>
      fork ? `leaves timeline ${fork.timeline} at ${formatLsn(fork.at)}` : "has no such ancestor";
    throw damaged(
      other.source,
      `timeline ${timeline} ${tell(b)}, but in ${one.source} it ${tell(a)}`,
    );
  }
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
  const file = `${timeline.toString(16).toUpperCase().padStart(8, "0")}.history`;
  throw new HoldfastError(
    "BARMAN_TIMELINE_UNKNOWN",
    `the archive has no ${file}, so nobody can say where timeline ${timeline} comes from`,
    { hint: `Put ${file} of the server's pg_wal into the folder wals/ of the archive.` },
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
