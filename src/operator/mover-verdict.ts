// What a mover says at its end, in its termination message: the only way out of a pod that has no token of the API. Written by
// `holdfast mover`, read by the operator. One line of JSON of at most 4,096 bytes, of which the kubelet keeps no more.
//
// A pod's words are not to be trusted with more than they are for: names in it are compared with what the operator itself recorded.

import type { ErrorCode } from "../base/errors.ts";

export interface MoverVerdict {
  readonly v: 1;
  readonly result: "ok" | "failed";
  /** RunPlan.id that the mover was started with. */
  readonly run: string;
  /** The snapshot that was made or restored, all 64 characters. Absent: none (an empty source, an empty repository). */
  readonly snapshot?: string | undefined;
  /** When that snapshot's data was taken. RFC 3339. */
  readonly pointInTime?: string | undefined;
  /** Files and bytes of the snapshot. */
  readonly files?: number | undefined;
  readonly bytes?: number | undefined;
  /** Bytes that were added to the repository. */
  readonly added?: number | undefined;
  /** Snapshots that the repository holds now, for this host and path. */
  readonly snapshots?: number | undefined;
  readonly removed?: number | undefined;
  readonly pruned?: boolean | undefined;
  readonly unlocked?: boolean | undefined;
  readonly seconds?: number | undefined;
  /** There was a place for a cache, and it could not be written to. */
  readonly uncached?: boolean | undefined;
  /** Why it failed, or what it warns of though it did not fail. */
  readonly problems?: readonly MoverProblem[] | undefined;
  /** With OTHER_OWNER: who the mover should be. Whole numbers that Kubernetes takes; 0 is root. */
  readonly owner?: FileOwner | undefined;
  /** Locks of others that stood in the way, or were seen. */
  readonly locks?: readonly SeenLock[] | undefined;
}

export interface FileOwner {
  readonly uid: number;
  readonly gid: number;
}

export interface MoverProblem {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint?: string | undefined;
  /** False: the same again fails the same way, until somebody changes something. */
  readonly retryable?: boolean | undefined;
}

export interface SeenLock {
  /** Its name, all 64 characters. */
  readonly id: string;
  /** In Kubernetes that of the pod which holds it. */
  readonly hostname: string;
  readonly exclusive: boolean;
  /** RFC 3339. */
  readonly time: string;
}

/** Bytes that a kubelet keeps of a termination message. */
export const VERDICT_MAX = 4096;
