// The watermark: the newest moment to which database and files can return together. A capture with a position is a joint
// point; it counts when the archive holds the WAL through that position, on a way that begins with a base backup that can be
// restored. Positions decide, never two clocks: times are for people. Says why a newer point does not count, and never takes
// what is not known for true. Pure; what the archive holds comes as its catalogue.

import type { Id } from "../base/bytes.ts";
import type { Catalogue } from "../barman/catalogue.ts";
import type { CatalogueBackup } from "../barman/catalogue-backup.ts";
import type { Lsn } from "../barman/lsn.ts";
import { pathFrom, recoveryWal } from "../barman/recovery-wal.ts";
import type { Stretch } from "../barman/timelines.ts";
import type { ListedObject } from "../barman/wal-listing.ts";
import type { CaptureMark, JointPosition } from "./capture-mark.ts";

/** A capture as its snapshot tells it. */
export interface MarkedCapture {
  readonly id: Id;
  readonly mark: CaptureMark;
  /** When the capture was made, in milliseconds since 1970. */
  readonly time: number;
}

/** A moment at which database and files belong together. */
export interface JointPoint {
  /** The capture that holds the files. */
  readonly capture: Id;
  readonly position: JointPosition;
  /** Files that rows referred to, and that were neither at the source nor in the pool. */
  readonly missing: number;
  /** Files at the source whose content was not that of their name. */
  readonly corrupt: number;
  /** True when the server was recovered to an earlier moment since, so that this one lies on a branch that was left. */
  readonly isLeft: boolean;
}

/** Why a joint point cannot be recovered, as far as anybody knows. */
export type Obstacle =
  /** Nothing was captured. */
  | "no-captures"
  /** Files were captured, and no database was asked: nobody knows to which moment they belong. */
  | "no-position"
  /** The full snapshot is gone from which the captures go on: they hold only what came later. */
  | "snapshot-gone"
  /** No archive was looked at. */
  | "no-archive"
  /** The archive is of another cluster than the captures. */
  | "foreign"
  /** No base backup of the archive can be restored. */
  | "no-backup"
  /** All base backups end behind the point, or are of other branches. */
  | "no-way"
  /** The WAL of the point is not in the archive, or there is a hole before it. */
  | "wal-behind"
  /** Only a partial segment reaches that far, and nobody has looked how far it really does. */
  | "partial-unknown";

export interface Watermark {
  /** The newest joint point that can be recovered; undefined when there is none. */
  readonly point: JointPoint | undefined;
  /** The newest joint point whether or not it can be recovered. */
  readonly newest: JointPoint | undefined;
  /** Why `newest` does not count, undefined when it does. */
  readonly obstacle: Obstacle | undefined;
}

export interface WatermarkOptions {
  /** In any order. */
  readonly captures: readonly MarkedCapture[];
  /** The full snapshots that there are: a capture is not enough without the one that it goes on from. */
  readonly snapshots: ReadonlySet<Id>;
  /** Undefined when no archive is known. */
  readonly catalogue: Catalogue | undefined;
  /** Up to where partial segments really reach, by their paths: their names do not tell. */
  readonly partialReach?: ReadonlyMap<string, Lsn>;
}

/** Computes the watermark of one database's captures. */
export function computeWatermark(options: WatermarkOptions): Watermark {
  const { captures, catalogue, snapshots } = options;
  if (captures.length === 0) return nothing("no-captures");
  const points = captures
    .flatMap((capture) => pointOf(capture, catalogue))
    .toSorted((a, b) => comparePoints(b, a));
  const whole = new Set(
    captures.filter(({ mark }) => isWhole(mark, snapshots)).map(({ id }) => id),
  );
  const [newest] = points;
  if (newest === undefined) return nothing("no-position");
  if (catalogue === undefined) return { point: undefined, newest, obstacle: "no-archive" };
  let obstacle: Obstacle | undefined;
  for (const point of points) {
    const found = whole.has(point.capture)
      ? obstacleOf(point.position, { ...options, catalogue })
      : "snapshot-gone";
    if (found === undefined) return { point, newest, obstacle };
    obstacle ??= found;
  }
  return { point: undefined, newest, obstacle };
}

/** True when what a capture goes on from is there, too: without that it holds a part. */
export function isWhole(
  { since }: Pick<CaptureMark, "since">,
  snapshots: { has(id: Id): boolean },
): boolean {
  return since === undefined || snapshots.has(since);
}

/** Negative, zero or positive as `a` is older than `b`: timelines have larger numbers than those they came out of. */
export function comparePoints(a: JointPoint, b: JointPoint): number {
  const [one, other] = [a.position, b.position];
  if (one.systemId !== other.systemId) return one.time - other.time;
  if (one.timeline !== other.timeline) return one.timeline - other.timeline;
  return one.lsn < other.lsn ? -1 : one.lsn > other.lsn ? 1 : one.time - other.time;
}

/** Why the archive cannot bring the database to that position; undefined when it can. */
export function obstacleOf(
  position: JointPosition,
  options: Omit<WatermarkOptions, "captures" | "snapshots"> & { readonly catalogue: Catalogue },
): Obstacle | undefined {
  const { catalogue } = options;
  const usable = catalogue.backups.filter(({ flaws }) => flaws.length === 0);
  if (usable.length === 0) return "no-backup";
  // Old backups do not tell their cluster; then only the position itself speaks.
  const own = usable.filter(
    ({ info }) => (info!.systemId ?? position.systemId) === position.systemId,
  );
  if (own.length === 0) return "foreign";
  let best: Obstacle = "no-way";
  const timelines = new Set([position.timeline, ...catalogue.wal.keys()]);
  for (const timeline of timelines) {
    if (timeline < position.timeline) continue;
    const path = catalogue.timelines.get(timeline) ?? [{ timeline, from: 0n, to: undefined }];
    for (const backup of own) {
      const outcome = tryRoute(position, { backup, path }, options);
      if (outcome === undefined) return undefined;
      if (RANK[outcome] > RANK[best]) best = outcome;
    }
  }
  return best;
}

/** The nearer to success, the larger: what is told is the last thing that is missing. */
const RANK: Readonly<Record<"no-way" | "wal-behind" | "partial-unknown", number>> = {
  "no-way": 0,
  "wal-behind": 1,
  "partial-unknown": 2,
};

/** Tries one backup along the path to one timeline. */
function tryRoute(
  { timeline, lsn }: JointPosition,
  { backup, path }: { readonly backup: CatalogueBackup; readonly path: readonly Stretch[] },
  {
    catalogue,
    partialReach,
  }: Omit<WatermarkOptions, "captures" | "snapshots"> & {
    readonly catalogue: Catalogue;
  },
): keyof typeof RANK | undefined {
  const way = pathFrom(backup, path);
  const at = way?.findIndex((stretch) => stretch.timeline === timeline) ?? -1;
  const stretch = way?.[at];
  if (way === undefined || stretch === undefined) return "no-way";
  if (lsn < stretch.from || (stretch.to !== undefined && lsn > stretch.to)) return "no-way";
  if (backup.info!.timeline === timeline && backup.info!.endLsn! > lsn) return "no-way";
  // What comes after the point's own timeline holds the segment of the fork once more, with all that led to it.
  const last = way.at(-1)!;
  const until = last === stretch ? lsn : last.from + 1n;
  const { missing, partial } = recoveryWal(backup, way, catalogue, until);
  if (missing !== undefined) return "wal-behind";
  if (partial === undefined) return undefined;
  return reaches(partial, lsn, partialReach);
}

function reaches(
  { path }: ListedObject,
  lsn: Lsn,
  partialReach: WatermarkOptions["partialReach"],
): "wal-behind" | "partial-unknown" | undefined {
  const reach = partialReach?.get(path);
  if (reach === undefined) return "partial-unknown";
  return reach >= lsn ? undefined : "wal-behind";
}

function pointOf(
  { id, mark }: MarkedCapture,
  catalogue: Catalogue | undefined,
): readonly JointPoint[] {
  const { position, missing, corrupt } = mark;
  if (position === undefined) return [];
  const isLeft = catalogue !== undefined && isLeftBehind(position, catalogue);
  return [{ capture: id, position, missing, corrupt, isLeft }];
}

/** True when the newest timeline of the archive left that of the position before it. */
function isLeftBehind({ timeline, lsn }: JointPosition, { wal, timelines }: Catalogue): boolean {
  const newest = Math.max(...wal.keys());
  if (newest <= timeline) return false;
  const stretch = timelines.get(newest)?.find((one) => one.timeline === timeline);
  return stretch === undefined || (stretch.to !== undefined && lsn > stretch.to);
}

function nothing(obstacle: Obstacle): Watermark {
  return { point: undefined, newest: undefined, obstacle };
}
