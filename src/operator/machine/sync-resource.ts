// What a ReplicationSource and a ReplicationDestination have in common, as far as the state machine looks: when to run, and how
// the last run ended. Pure types; the whole resources are in resources/.

import type { Condition, KubeObject } from "../cluster/kube-object.ts";

export interface SyncTrigger {
  readonly schedule?: string | undefined;
  readonly manual?: string | undefined;
}

export interface MoverStatus {
  result?: string | undefined;
  logs?: string | undefined;
}

/** The fields of `status` that VolSync defines for both; `restic` is a source's, `latestImage` a destination's. */
export interface SyncStatus {
  lastSyncTime?: string | undefined;
  /** Set exactly while a run is under way: it is the state. */
  lastSyncStartTime?: string | undefined;
  lastSyncDuration?: string | undefined;
  nextSyncTime?: string | undefined;
  lastManualSync?: string | undefined;
  latestMoverStatus?: MoverStatus | undefined;
  latestImage?:
    | { apiGroup?: string | undefined; kind: string; name: string; namespace?: string | undefined }
    | undefined;
  conditions?: Condition[] | undefined;
  external?: Record<string, string> | undefined;
  restic?: { lastPruned?: string | undefined; lastUnlocked?: string | undefined } | undefined;
}

export interface SyncResource extends KubeObject {
  readonly spec?: {
    readonly trigger?: SyncTrigger | undefined;
    readonly paused?: boolean | undefined;
    readonly restic?: unknown;
  };
  readonly status?: SyncStatus | undefined;
}

/** RFC 3339 in whole seconds, as Kubernetes writes times. */
export function timeText(milliseconds: number): string {
  return new Date(Math.floor(milliseconds / 1000) * 1000).toISOString().replace(".000Z", "Z");
}

/** Milliseconds since 1970 of such a text; undefined for none, and for what is no time. */
export function timeOf(text: string | undefined): number | undefined {
  const time = text === undefined ? Number.NaN : Date.parse(text);
  return Number.isNaN(time) ? undefined : time;
}

/** More than clocks of one cluster differ by, and than any attempt is put off. */
const AHEAD_MS = 7_200_000;

/** True for a time that a clock wrote which ran ahead: what it says has not been, and is not to be waited for. */
export function isAhead(time: number | undefined, now: number): boolean {
  return time !== undefined && time > now + AHEAD_MS;
}

/** True while a run is under way. */
export function isRunning({ status }: SyncResource): boolean {
  return status?.lastSyncStartTime !== undefined;
}
