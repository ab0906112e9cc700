// Whether the files of a moment are known to be captured: a joint point at or behind the moment, on the branch of history that
// the recovery follows, says that every file that the database referred to by then is in the pool, but for those it counts.
// Before the recovery the times of a server's clock say it roughly; afterwards positions say it exactly. What a capture says
// of the moments before it holds as far back as snapshots and captures go without a gap: what came and went before is forgotten.

import type { Id } from "../../base/bytes.ts";
import type { Lsn } from "../../barman/lsn.ts";
import type { RecoveryChoice } from "../../barman/recovery-choice.ts";
import type { JointPosition } from "../capture-mark.ts";
import { PAUSE_MS } from "../joint-moments.ts";
import type { FullSnapshot } from "../retention.ts";
import { isWhole, type MarkedCapture } from "../watermark.ts";

export type Coverage =
  /** All files of the moment are in the pool, but for those that were missing or corrupt at the source. */
  | {
      readonly kind: "covered";
      readonly capture: Id;
      readonly position: JointPosition;
      readonly missing: number;
      readonly corrupt: number;
    }
  /** The newest joint point is before the moment: files that were made in between may be missing. */
  | { readonly kind: "behind"; readonly capture: Id; readonly position: JointPosition }
  /** Nothing says to which moment the files of the pool belong. */
  | { readonly kind: "unknown"; readonly why: string };

/** Where the moment is: a position, or before it is known a time in milliseconds since 1970; `end` is behind everything. */
export type Moment =
  | { readonly kind: "lsn"; readonly lsn: Lsn; readonly time?: number | undefined }
  | { readonly kind: "time"; readonly time: number }
  | { readonly kind: "end" }
  | { readonly kind: "unknown"; readonly why: string };

/** What the captures of one database say of the moment. `systemId` of the archive's cluster, null when it does not tell. */
export function coverageOf(
  moment: Moment,
  options: {
    readonly captures: readonly MarkedCapture[];
    readonly snapshots: readonly FullSnapshot[];
    readonly choice: Pick<RecoveryChoice, "path" | "timeline">;
    readonly systemId: string | null;
  },
): Coverage {
  const { captures, choice, systemId } = options;
  if (captures.length === 0) return unknown("nothing was captured, there are only full snapshots");
  const positioned = captures.flatMap(({ id, mark }) => {
    const { position, missing, corrupt, since } = mark;
    return position === undefined ? [] : [{ capture: id, position, missing, corrupt, since }];
  });
  if (positioned.length === 0) return unknown("no capture knows a position of the database");
  const own = positioned.filter(
    ({ position }) => systemId === null || position.systemId === systemId,
  );
  if (own.length === 0)
    return unknown(
      `the captures are of cluster ${positioned[0]!.position.systemId}, the archive is of ${systemId}`,
    );
  const points = own
    .filter(({ position }) => isOnBranch(position, choice))
    .toSorted((a, b) => compare(a.position, b.position));
  const newest = points.at(-1);
  if (newest === undefined) return unknown("all captures are of another branch of history");
  if (moment.kind === "unknown") return unknown(moment.why);
  const covering = points.find(({ position }) =>
    moment.kind === "lsn"
      ? position.lsn >= moment.lsn
      : moment.kind === "time" && position.time >= moment.time,
  );
  if (covering !== undefined) {
    const gap = gapBefore(moment, covering, { points, snapshots: options.snapshots });
    if (gap !== undefined) return unknown(gap);
    const { since: _, ...found } = covering;
    return { kind: "covered", ...found };
  }
  return { kind: "behind", capture: newest.capture, position: newest.position };
}

interface Point {
  readonly position: JointPosition;
  readonly since: Id | undefined;
}

/** Why files of the moment may have been forgotten, although a capture of later is complete; undefined when they are not. */
function gapBefore(
  moment: Moment,
  covering: Point,
  {
    points,
    snapshots,
  }: { readonly points: readonly Point[]; readonly snapshots: readonly FullSnapshot[] },
): string | undefined {
  const fulls = new Map(snapshots.map((one) => [one.id, one]));
  const full = covering.since === undefined ? undefined : fulls.get(covering.since);
  if (!isWhole(covering, fulls))
    return `the full snapshot ${covering.since!.slice(0, 8)} is gone, from which the capture of then goes on`;
  // The very moment of the capture.
  if (moment.kind === "lsn" && moment.lsn === covering.position.lsn) return undefined;
  const before = points.findLast(({ position }) =>
    moment.kind === "lsn"
      ? position.lsn < moment.lsn
      : moment.kind === "time" && position.time < moment.time,
  );
  if (before !== undefined && before.since === covering.since) return undefined;
  const time = moment.kind === "lsn" || moment.kind === "time" ? moment.time : undefined;
  if (full !== undefined && time !== undefined && time >= (full.end ?? full.time)) return undefined;
  const isNear =
    full !== undefined && before !== undefined && full.time - before.position.time <= PAUSE_MS;
  if (isNear && isWhole(before, fulls)) return undefined;
  return before === undefined
    ? "it is before the first capture that is left, and files that were deleted by then may be forgotten"
    : "captures and full snapshots have a gap before it, and files that were deleted in it may be forgotten";
}

function unknown(why: string): Coverage {
  return { kind: "unknown", why };
}

/** True for a position on the way that the recovery goes, or on a timeline that came later. */
export function isOnBranch(
  { timeline, lsn }: JointPosition,
  { path, timeline: followed }: Pick<RecoveryChoice, "path" | "timeline">,
): boolean {
  if (timeline > followed) return true;
  const stretch = path.find((one) => one.timeline === timeline);
  return stretch !== undefined && (stretch.to === undefined || lsn <= stretch.to);
}

function compare(a: JointPosition, b: JointPosition): number {
  return a.timeline - b.timeline || (a.lsn < b.lsn ? -1 : a.lsn > b.lsn ? 1 : a.time - b.time);
}
