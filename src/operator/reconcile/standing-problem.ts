// What of a known problem still holds. One that stood in the way of a step is gone when the step is done, one of a waiting pod when the
// pod runs; what a run ended with stays until the next one has ended, so that nothing flips to good and back every night. Pure.

import { failuresOf, knownProblem } from "../machine/next-status.ts";
import { isRunning, type SyncResource } from "../machine/sync-resource.ts";
import type { Problem } from "../signals/conditions.ts";

const OF_STEPS: ReadonlySet<string> = new Set([
  "SecretInvalid",
  "BackendUnsupported",
  "ResourceInvalid",
  "VolumeNotReady",
  "VolumeInUse",
  "WaitingForRestore",
  "CopyTriggerLate",
  "PersistentVolumeClaimNotBound",
  "VolumeSnapshotNotBound",
  "VolumeSnapshotNotReady",
  "Paused",
  "ForbiddenByRBAC",
  "ClusterInvalid",
  "ClusterExists",
  "Bug",
  // Of pods that do not start (mover/run-state.ts).
  "ImagePullFailed",
  "ContainerNotCreated",
  "MoverNotStarted",
  "NoMoverPod",
  "Unschedulable",
  // Of pods whose node is not heard of (mover/lost-node.ts).
  "NodeLost",
]);

/** The problem that holds when nothing stands in the way of the step itself. */
export function standingProblem(resource: SyncResource): Problem | undefined {
  const known = knownProblem(resource);
  if (known !== undefined && !OF_STEPS.has(known.reason)) return known;
  if (!isRunning(resource) || failuresOf(resource) === 0) return undefined;
  // What it failed with was hidden by a step's problem that is gone now.
  return {
    reason: "MoverFailed",
    message: "The last attempt failed; latestMoverStatus has its log.",
  };
}
