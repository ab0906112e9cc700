// Annotations that say which run an object was made for. VolSync's objects have none; they are judged by their age.

import type { KubeObject } from "../cluster/kube-object.ts";
import type { RunPlan } from "../run-plan.ts";

export const VOLUME_ANNOTATION = {
  /** On a copy or an image: RunPlan.id of the run that it was made for. */
  run: "holdfast.dev/run",
  /** On a copy: the value of the copy trigger that it answers. */
  copyTrigger: "holdfast.dev/copy-trigger",
  /** On a claim made from a snapshot: when the snapshot's data was cut, though the snapshot itself may be made anew. RFC 3339. */
  pointInTime: "holdfast.dev/point-in-time",
  /** On a cache: the group whose it is, and in which movers can write to it. */
  cacheGroup: "holdfast.dev/cache-group",
  /** On an image: the id of the snapshot that was restored into it, or `none`. */
  restored: "holdfast.dev/restored",
} as const;

/** Value of `restored` when there was nothing to restore. */
export const NOTHING = "none";

/** True when the object was made in this run, and not in an earlier one that left it behind. */
export function isOfRun({ metadata }: KubeObject, plan: RunPlan): boolean {
  const run = metadata.annotations?.[VOLUME_ANNOTATION.run];
  if (run !== undefined) return run === plan.id;
  const made = Date.parse(metadata.creationTimestamp ?? "");
  return made >= Math.floor(Date.parse(plan.started) / 1000) * 1000;
}
