// Whether the files of a moment are known to be captured: a joint point at or behind the moment, on the branch of history that
// the recovery follows, says that every file that the database referred to by then is in the pool, but for those it counts.
// Before the recovery the times of a server's clock say it roughly; afterwards positions say it exactly.

import type { Id } from "../../base/bytes.ts";
import type { Lsn } from "../../barman/lsn.ts";
import type { RecoveryChoice } from "../../barman/recovery-choice.ts";
import type { JointPosition } from "../capture-mark.ts";
import type { MarkedCapture } from "../watermark.ts";

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
  | { readonly kind: "lsn"; readonly lsn: Lsn }
  | { readonly kind: "time"; readonly time: number }
  | { readonly kind: "end" }
  | { readonly kind: "unknown"; readonly why: string };

/** What the captures of one database say of the moment. `systemId` of the archive's cluster, null when it does not tell. */
export function coverageOf(
  moment: Moment,
  options: {
    readonly captures: readonly MarkedCapture[];
    readonly choice: Pick<RecoveryChoice, "path" | "timeline">;
    readonly systemId: string | null;
  },
): Coverage {
  const { captures, choice, systemId } = options;
  if (captures.length === 0) return unknown("nothing was captured, there are only full snapshots");
  const positioned = captures.flatMap(({ id, mark }) => {
    const { position, missing, corrupt } = mark;
    return position === undefined ? [] : [{ capture: id, position, missing, corrupt }];
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
  if (covering !== undefined) return { kind: "covered", ...covering };
  return { kind: "behind", capture: newest.capture, position: newest.position };
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
