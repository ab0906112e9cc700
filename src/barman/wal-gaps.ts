// Holes in the WAL of an archive (docs/formats/barman.md#gaps): whether a segment is merely late or lost, and which
// backups cannot be followed past it.

import type { CatalogueBackup } from "./catalogue-backup.ts";
import { segmentAt } from "./lsn.ts";
import type { Timelines } from "./timelines.ts";
import { holes, type SegmentRange, type TimelineWal } from "./wal-listing.ts";
import { segmentName } from "./wal-name.ts";

export interface WalGap {
  readonly timeline: number;
  /** Name of the first segment that is missing. */
  readonly firstMissing: string;
  readonly lastMissing: string;
  readonly count: number;
  /**
   * `late`: what lies behind it was stored so recently that it may still come, as archivers work on several segments at
   * once. `expired`: no backup needs it, as between a backup that is kept for itself and the next one.
   */
  readonly state: "late" | "lost" | "expired";
  /** The ids of the backups that cannot be followed past it. */
  readonly cutsOff: readonly string[];
  /** True when a partial segment stands in its first place: a recovery would end in the middle of that. */
  readonly hasPartial: boolean;
}

interface Archive {
  readonly backups: readonly CatalogueBackup[];
  readonly wal: ReadonlyMap<number, TimelineWal>;
  readonly timelines: Timelines;
  readonly segmentSize: number;
  /** Milliseconds since 1970. */
  readonly now: number;
  /** For how many milliseconds a missing segment counts as late. */
  readonly grace: number;
}

/** The holes of all timelines, in the order of timelines and segments. */
export function findGaps(archive: Archive): WalGap[] {
  const done = archive.backups.filter(({ state, segments }) => state === "done" && segments);
  const all = new Set([...archive.wal.keys(), ...done.map(({ info }) => info!.timeline!)]);
  return [...all].toSorted((a, b) => a - b).flatMap((timeline) => gapsOf(timeline, done, archive));
}

function gapsOf(timeline: number, done: readonly CatalogueBackup[], archive: Archive): WalGap[] {
  const { wal, segmentSize } = archive;
  const own = wal.get(timeline);
  const ranges = own?.ranges ?? [];
  const here = done.filter(({ info }) => info!.timeline === timeline);
  const children = childrenOf(timeline, archive);
  const firsts = [ranges[0]?.first, ...here.map(({ segments }) => segments!.first)];
  const lasts = [ranges.at(-1)?.last, ...here.map(({ segments }) => segments!.last)];
  const fork = forkSegment(timeline, archive);
  if (fork !== undefined && done.some((backup) => reaches(backup, timeline, fork, archive)))
    firsts.push(fork);
  lasts.push(...children.map((child) => child.fork - 1));
  const span = {
    first: Math.min(...firsts.filter((one) => one !== undefined)),
    last: Math.max(...lasts.filter((one) => one !== undefined)),
  };
  return holes(ranges, span.first, span.last).map((hole) => {
    const cutsOff = done
      .filter((backup) => reaches(backup, timeline, hole.first, archive))
      .map(({ id }) => id);
    const state =
      cutsOff.length === 0
        ? "expired"
        : isLate(hole, { own, here, children }, archive)
          ? "late"
          : "lost";
    return {
      timeline,
      firstMissing: segmentName(timeline, hole.first, segmentSize),
      lastMissing: segmentName(timeline, hole.last, segmentSize),
      count: hole.last - hole.first + 1,
      state,
      cutsOff,
      hasPartial: own?.partials.has(hole.first) ?? false,
    };
  });
}

/** The segment with which a timeline begins; undefined when its descent is not known, or it has none. */
function forkSegment(timeline: number, { timelines, segmentSize }: Archive): number | undefined {
  const last = timelines.get(timeline)?.at(-1);
  return last && last.from > 0n ? segmentAt(last.from, segmentSize) : undefined;
}

interface Child {
  readonly timeline: number;
  readonly fork: number;
}

/** The timelines with WAL that come out of this one, and the segment in which each begins. */
function childrenOf(timeline: number, { wal, timelines, segmentSize }: Archive): Child[] {
  return [...wal.keys()].flatMap((child) => {
    const to = timelines.get(child)?.find((stretch) => stretch.timeline === timeline)?.to;
    return to === undefined ? [] : [{ timeline: child, fork: segmentAt(to, segmentSize) }];
  });
}

/** True when a recovery from the backup needs that segment of the timeline, or one behind it. */
function reaches(
  backup: CatalogueBackup,
  timeline: number,
  segment: number,
  archive: Archive,
): boolean {
  const { first, last } = backup.segments!;
  const from = backup.info!.timeline!;
  if (from === timeline)
    return first <= segment && (backup.keep !== "standalone" || segment <= last);
  if (backup.keep === "standalone" || from > timeline) return false;
  const stretch = archive.timelines.get(timeline)?.find((one) => one.timeline === from);
  return stretch?.to !== undefined && backup.info!.endLsn! <= stretch.to;
}

/** True when what proves the hole came so recently that the rest may follow. */
function isLate(
  hole: SegmentRange,
  known: {
    readonly own: TimelineWal | undefined;
    readonly here: readonly CatalogueBackup[];
    readonly children: readonly Child[];
  },
  { wal, now, grace }: Archive,
): boolean {
  const behind = known.own?.segments.get(hole.last + 1)?.time;
  const ends = known.here
    .filter(({ segments }) => segments!.last >= hole.first)
    .map(({ info }) => info!.endTime!.micros / 1000);
  const begun = known.children
    .filter(({ fork }) => fork > hole.last)
    .flatMap(({ timeline }) => {
      const child = wal.get(timeline)!;
      return [...child.segments.values(), ...child.partials.values()].slice(0, 1);
    })
    .map(({ time }) => time);
  const proofs = behind === undefined ? [...ends, ...begun] : [behind];
  return proofs.length > 0 && Math.min(...proofs) > now - grace;
}
