// Every name that Kubernetes sees of us: annotations, labels, and the names of objects that belong to a ReplicationSource or
// ReplicationDestination. Those of VolSync are facts that its users' tools rely on; ours begin with holdfast.dev/.

import { crc32 } from "node:zlib";

export const VOLSYNC_GROUP = "volsync.backube";
export const VOLSYNC_API_VERSION = "volsync.backube/v1alpha1";

export const ANNOTATION = {
  /** On a ReplicationSource or -Destination: a new value asks for one more run. */
  trigger: "volsync.backube/trigger",
  /** On a namespace, `"true"`: movers may run as root with capabilities. */
  privilegedMovers: "volsync.backube/privileged-movers",
  /** On a ReplicationSource or -Destination: the mover waits before it works. */
  debugMover: "volsync.backube/enable-debug-mover",
  useCopyTrigger: "volsync.backube/use-copy-trigger",
  copyTrigger: "volsync.backube/copy-trigger",
  latestCopyStatus: "volsync.backube/latest-copy-status",
  latestCopyTrigger: "volsync.backube/latest-copy-trigger",
  copyWaitingSince: "volsync.backube/latest-copy-trigger-waiting-since",
  /** On a destination's claim: the image that is being made. */
  snapshotName: "volsync.backube/snapname",
  populatedFrom: "volsync.backube/populated-from",
  selectedNode: "volume.kubernetes.io/selected-node",
  /** On a ReplicationSource or -Destination: `safe` or `compat` (the default). */
  mode: "holdfast.dev/mode",
  /** On the same, `"true"`: Ready, Reconciling and Stalled conditions. */
  readyConditions: "holdfast.dev/ready-conditions",
  /** On a ReplicationSource, `"true"`: no run at once when it is created with a schedule. */
  skipInitialSync: "holdfast.dev/skip-initial-sync",
  /** On a ReplicationSource or -Destination with a schedule: runs begin up to so much later (`10m`), each resource at its own time. */
  jitter: "holdfast.dev/jitter",
  /** On a ReplicationSource: take the next snapshot although it is much smaller than the one before, once for each value. */
  acceptShrink: "holdfast.dev/accept-shrink",
} as const;

export const LABEL = {
  createdBy: "app.kubernetes.io/created-by",
  /** UID of the owner: deleted at the end of a run. */
  cleanup: "volsync.backube/cleanup",
  doNotDelete: "volsync.backube/do-not-delete",
  /** On pods of movers, and on the one that keeps the log: the name of their ReplicationSource. */
  source: "volsync.backube/source",
  destination: "volsync.backube/destination",
  /** On a mover's Job and its pods: RunPlan.id. A Job without it was made by VolSync. */
  run: "holdfast.dev/run",
  populatorClaimFor: "volsync.backube/populator-pvc-for",
  /** Followed by the claim's UID. */
  populatorClaimPrefix: "volsync.backube/volpop-pvc-",
} as const;

export const CREATED_BY = "volsync";

/** Keys of `status.external`, which is a free map in the CRD that VolSync ships: what must outlive the operator's process. */
export const EXTERNAL = {
  /** The value of the trigger annotation that was answered last. */
  trigger: "holdfast.dev/trigger",
  /** The run under way: a RunPlan as JSON. */
  run: "holdfast.dev/run",
  /** Pods of movers that were made for this repository, newest last: names joined by commas. */
  movers: "holdfast.dev/movers",
  /** Id of the last snapshot that was made or restored, in short. */
  snapshot: "holdfast.dev/snapshot",
  /** When the data of that snapshot was taken: the age of the recovery point. RFC 3339. */
  pointInTime: "holdfast.dev/point-in-time",
  /** What the last run said in numbers (signals/run-facts.ts), as JSON. */
  facts: "holdfast.dev/facts",
  /** Consecutive failed attempts of the run under way. */
  failures: "holdfast.dev/failures",
  /** UID of the Job that was counted as the last of them: none is counted twice. */
  failedJob: "holdfast.dev/failed-job",
  /** When the next attempt is made, if nothing is changed before. RFC 3339. */
  retryAt: "holdfast.dev/retry-at",
  /** Host names of the locks that stood in the way of the last attempt, joined by commas. */
  locks: "holdfast.dev/locks",
  acceptShrink: "holdfast.dev/accept-shrink",
  /** `RUN UID:GID`: whose the files are, as the mover of that run found, or as whom it did well. */
  owner: "holdfast.dev/owner",
} as const;

export type Role = "source" | "destination";

/** Kubernetes' limit of a label's value, and so of the name of a Job, whose pods carry it as one. */
const NAME_MAX = 63;

/** `volsync-src-NAME`, as VolSync names the Job, service account and role; too long names end in a checksum. */
export function moverName(role: Role, name: string): string {
  const prefix = role === "source" ? "volsync-src-" : "volsync-dst-";
  const whole = prefix + name;
  return whole.length <= NAME_MAX ? whole : prefix + checksum(name);
}

/** The claim of the repository's cache; claims may have 253 characters. */
export function cacheClaimName(role: Role, name: string): string {
  return `${role === "source" ? "volsync-src-" : "volsync-dst-"}${name}-cache`;
}

/** The snapshot, and the claim made of it or cloned, that a source is read from. */
export function pointInTimeName(name: string): string {
  return `volsync-${name}-src`;
}

/** The claim that a destination makes when none is named. */
export function destinationClaimName(name: string): string {
  return `volsync-${name}-dest`;
}

/** The pod without volumes that keeps the log of the last run. */
export function logPodName(role: Role, name: string): string {
  const suffix = "-log";
  const whole = moverName(role, name);
  if (whole.length + suffix.length <= NAME_MAX) return whole + suffix;
  const prefix = role === "source" ? "volsync-src-" : "volsync-dst-";
  return prefix + checksum(name) + suffix;
}

/** The pod that gives a source's cache to a group. */
export function cachePodName(name: string): string {
  const whole = `volsync-src-${name}-cache`;
  return whole.length <= NAME_MAX ? whole : `volsync-src-${checksum(name)}-cache`;
}

/** CRC-32 (IEEE) as Go prints it with %x: no leading zeros. */
function checksum(name: string): string {
  return crc32(name).toString(16);
}
