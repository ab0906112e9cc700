// A ReplicationDestination of VolSync (volsync.backube/v1alpha1): a claim, or an image of one, that a snapshot is restored to. The
// schema is the CRD's, and what is read is checked against it; fields that only newer versions know stay in the object.

import { z } from "zod";
import { kind, type Kind } from "../cluster/kinds.ts";
import type { KubeObject, ObjectMeta } from "../cluster/kube-object.ts";
import { VOLSYNC_API_VERSION } from "../names.ts";
import {
  external,
  foreignDestinations,
  resticFields,
  targetFields,
  trigger,
  type ExternalSpec,
  type Fields,
  type ForeignMover,
  type ResticOptions,
  type TargetOptions,
  type Trigger,
} from "./mover-fields.ts";
import { flag, int32, text, time } from "./pod-fields.ts";
import {
  foreignDestinationStatus,
  readResource,
  statusFields,
  type CommonStatus,
  type ForeignStatus,
} from "./status-fields.ts";

export interface ResticDestination extends ResticOptions, TargetOptions {
  /** RFC 3339: the newest snapshot not after it. */
  restoreAsOf?: string;
  /** How many snapshots before that one. */
  previous?: number;
  /** Remove what the snapshot does not hold. */
  enableFileDeletion?: boolean;
  cleanupCachePVC?: boolean;
}

export interface ReplicationDestinationSpec {
  trigger?: Trigger;
  paused?: boolean;
  restic?: ResticDestination;
  external?: ExternalSpec;
  rclone?: ForeignMover;
  rsync?: ForeignMover;
  rsyncTLS?: ForeignMover;
}

/** A claim (no group) or a VolumeSnapshot. */
export interface LatestImage {
  apiGroup?: string;
  kind: string;
  name: string;
}

export interface ReplicationDestinationStatus extends CommonStatus {
  latestImage?: LatestImage;
  rsync?: ForeignStatus;
  rsyncTLS?: ForeignStatus;
}

export interface ReplicationDestination extends KubeObject {
  /** Absent in an object that was made without one, until readReplicationDestination has seen it. */
  spec: ReplicationDestinationSpec;
  status?: ReplicationDestinationStatus;
}

export const REPLICATION_DESTINATION: Kind<ReplicationDestination> = kind(
  VOLSYNC_API_VERSION,
  "ReplicationDestination",
  "replicationdestinations",
);

const restic: z.ZodType<ResticDestination> = z.looseObject({
  ...resticFields,
  ...targetFields,
  cleanupCachePVC: flag
    .exactOptional()
    .describe("Remove the claim of the cache after each successful run"),
  enableFileDeletion: flag
    .exactOptional()
    .describe("Remove what is in the volume and not in the snapshot"),
  previous: int32
    .exactOptional()
    .describe("How many snapshots before the newest one, or before restoreAsOf"),
  restoreAsOf: time.exactOptional().describe("Restore the newest snapshot not after this time"),
} satisfies Fields<ResticDestination>);

export const destinationSpec: z.ZodType<ReplicationDestinationSpec> = z.looseObject({
  ...foreignDestinations,
  external: external.exactOptional(),
  paused: flag.exactOptional().describe("No mover runs while it is true"),
  restic: restic.exactOptional().describe("Restore from a repository of restic's format"),
  trigger: trigger.exactOptional(),
});

export const destinationStatus: z.ZodType<ReplicationDestinationStatus> = z.looseObject({
  ...foreignDestinationStatus,
  ...statusFields,
  latestImage: z
    .looseObject({ apiGroup: text.exactOptional(), kind: text, name: text })
    .meta({ "x-kubernetes-map-type": "atomic" })
    .exactOptional()
    .describe("What the last successful run left: a claim, or a VolumeSnapshot"),
});

const resource: z.ZodType<ReplicationDestination> = z.looseObject({
  apiVersion: text,
  kind: text,
  metadata: z.looseObject({ name: text }) as unknown as z.ZodType<ObjectMeta>,
  spec: destinationSpec,
  status: destinationStatus.exactOptional(),
});

/** The object that the API server gave, checked; a missing spec is an empty one. Throws RESOURCE_INVALID that names the field. */
export function readReplicationDestination(value: unknown): ReplicationDestination {
  return readResource(resource, value);
}
