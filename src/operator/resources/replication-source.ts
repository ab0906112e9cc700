// A ReplicationSource of VolSync (volsync.backube/v1alpha1): a claim that is backed up. The schema is the CRD's, and what is read
// is checked against it; fields that only newer versions know stay in the object.

import { z } from "zod";
import { kind, type Kind } from "../cluster/kinds.ts";
import type { KubeObject, ObjectMeta } from "../cluster/kube-object.ts";
import { VOLSYNC_API_VERSION } from "../names.ts";
import {
  external,
  foreignSources,
  resticFields,
  trigger,
  type ExternalSpec,
  type Fields,
  type ForeignMover,
  type ResticOptions,
  type Trigger,
} from "./mover-fields.ts";
import { flag, int32, text, time } from "./pod-fields.ts";
import {
  foreignSourceStatus,
  readResource,
  statusFields,
  type CommonStatus,
  type ForeignStatus,
} from "./status-fields.ts";

/** Keep rules of restic. All absent: the last snapshot alone is kept. */
export interface RetainPolicy {
  hourly?: number;
  daily?: number;
  weekly?: number;
  monthly?: number;
  yearly?: number;
  /** A duration of restic, such as `3d12h`. */
  within?: string;
  /** A number, as text. */
  last?: string;
}

export interface ResticSource extends ResticOptions {
  /** Days from one prune to the next; 7 by default. */
  pruneIntervalDays?: number;
  retain?: RetainPolicy;
  /** A new value asks to remove stale locks before the next backup. */
  unlock?: string;
  exclude?: { caches?: boolean };
}

export interface ReplicationSourceSpec {
  sourcePVC?: string;
  trigger?: Trigger;
  paused?: boolean;
  restic?: ResticSource;
  external?: ExternalSpec;
  rclone?: ForeignMover;
  rsync?: ForeignMover;
  rsyncTLS?: ForeignMover;
  syncthing?: ForeignMover;
}

export interface ReplicationSourceStatus extends CommonStatus {
  restic?: {
    lastPruned?: string;
    /** `spec.restic.unlock` that was answered last. */
    lastUnlocked?: string;
  };
  rsync?: ForeignStatus;
  rsyncTLS?: ForeignStatus;
  syncthing?: ForeignStatus;
}

export interface ReplicationSource extends KubeObject {
  /** Absent in an object that was made without one, until readReplicationSource has seen it. */
  spec: ReplicationSourceSpec;
  status?: ReplicationSourceStatus;
}

export const REPLICATION_SOURCE: Kind<ReplicationSource> = kind(
  VOLSYNC_API_VERSION,
  "ReplicationSource",
  "replicationsources",
);

const retain: z.ZodType<RetainPolicy> = z.looseObject({
  daily: int32.exactOptional(),
  hourly: int32.exactOptional(),
  last: text.exactOptional(),
  monthly: int32.exactOptional(),
  weekly: int32.exactOptional(),
  within: text.exactOptional(),
  yearly: int32.exactOptional(),
} satisfies Fields<RetainPolicy>);

const restic: z.ZodType<ResticSource> = z.looseObject({
  ...resticFields,
  exclude: z
    .looseObject({ caches: flag.exactOptional() })
    .exactOptional()
    .describe("What is left out: `caches`, directories with a CACHEDIR.TAG"),
  pruneIntervalDays: int32
    .exactOptional()
    .describe("Days from one prune of the repository to the next; 7 by default"),
  retain: retain
    .exactOptional()
    .describe("Which snapshots are kept; without any rule only the last one is"),
  unlock: text
    .exactOptional()
    .describe("A new value asks to remove stale locks, once, before the next backup"),
} satisfies Fields<ResticSource>);

export const sourceSpec: z.ZodType<ReplicationSourceSpec> = z.looseObject({
  ...foreignSources,
  external: external.exactOptional(),
  paused: flag.exactOptional().describe("No mover runs while it is true"),
  restic: restic.exactOptional().describe("Back up into a repository of restic's format"),
  sourcePVC: text.exactOptional().describe("The claim that is backed up"),
  trigger: trigger.exactOptional(),
});

export const sourceStatus: z.ZodType<ReplicationSourceStatus> = z.looseObject({
  ...foreignSourceStatus,
  ...statusFields,
  restic: z
    .looseObject({
      lastPruned: time.exactOptional().describe("When the repository was pruned last"),
      lastUnlocked: text.exactOptional().describe("The value of unlock that was answered last"),
    })
    .exactOptional(),
});

const resource: z.ZodType<ReplicationSource> = z.looseObject({
  apiVersion: text,
  kind: text,
  metadata: z.looseObject({ name: text }) as unknown as z.ZodType<ObjectMeta>,
  spec: sourceSpec,
  status: sourceStatus.exactOptional(),
});

/** The object that the API server gave, checked; a missing spec is an empty one. Throws RESOURCE_INVALID that names the field. */
export function readReplicationSource(value: unknown): ReplicationSource {
  return readResource(resource, value);
}
