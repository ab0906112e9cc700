// VolumeSnapshots: made once for a run, waited for until they can be used, and told of when they cannot. Whether a class can make
// them is known before one is made, so nobody waits for a snapshot that never comes.

import { HoldfastError, isHoldfastError } from "../../base/errors.ts";
import { PERSISTENT_VOLUME, VOLUME_SNAPSHOT, VOLUME_SNAPSHOT_CLASS } from "../cluster/kinds.ts";
import type {
  KubeObject,
  PersistentVolumeClaim,
  VolumeSnapshot,
  VolumeSnapshotClass,
} from "../cluster/kube-object.ts";
import type { OperatorContext, Step } from "../context.ts";
import { makeOwned, ownedMetadata } from "./owned.ts";
import { ageOf, tellOnce } from "./told.ts";

/** As VolSync: after this long a snapshot that is not bound, or not ready, is told of. */
const BOUND_WITHIN = 30_000;
const READY_WITHIN = 120_000;
const DEFAULT_CLASS = "snapshot.storage.kubernetes.io/is-default-class";
export const SNAPSHOT_GROUP = "snapshot.storage.k8s.io";

export interface NewSnapshot {
  readonly name: string;
  readonly temporary: boolean;
  readonly claim: PersistentVolumeClaim;
  readonly className: string | undefined;
  readonly annotations: Record<string, string>;
}

/** Creates the snapshot. Undefined when one was made in between. Throws VOLUME_NOT_READY when none can be made. */
export async function makeSnapshot(
  context: OperatorContext,
  owner: KubeObject,
  wanted: NewSnapshot,
): Promise<VolumeSnapshot | undefined> {
  const { name, temporary, claim, className, annotations } = wanted;
  await requireSnapshotClass(context, claim, className);
  const snapshot: VolumeSnapshot = {
    apiVersion: VOLUME_SNAPSHOT.apiVersion,
    kind: VOLUME_SNAPSHOT.kind,
    metadata: ownedMetadata(owner, { name, temporary, annotations }),
    spec: {
      source: { persistentVolumeClaimName: claim.metadata.name },
      ...(className !== undefined && { volumeSnapshotClassName: className }),
    },
  };
  const from = `PersistentVolumeClaim ${claim.metadata.name}`;
  return await makeOwned(context, VOLUME_SNAPSHOT, { owner, object: snapshot, from });
}

/** Waits until the snapshot can be used. Throws VOLUME_NOT_READY with what its driver says went wrong; it may still come right. */
export function snapshotReady(
  context: OperatorContext,
  owner: KubeObject,
  snapshot: VolumeSnapshot,
): Step<VolumeSnapshot> {
  const { status, metadata } = snapshot;
  const { name, namespace } = metadata;
  if (status?.readyToUse === true) return { ready: snapshot };
  const failure = status?.error?.message;
  if (failure !== undefined) {
    throw new HoldfastError(
      "VOLUME_NOT_READY",
      `VolumeSnapshot ${namespace}/${name} failed: ${failure.slice(0, 500)}`,
      { hint: `kubectl describe volumesnapshot -n ${namespace} ${name}`, retryable: true },
    );
  }
  const isBound = status?.boundVolumeSnapshotContentName !== undefined;
  const age = ageOf(snapshot, context);
  const within = isBound ? READY_WITHIN : BOUND_WITHIN;
  const reason = isBound ? "VolumeSnapshotNotReady" : "VolumeSnapshotNotBound";
  const state = isBound ? "ready to be used" : "bound";
  if (age >= within) {
    tellOnce(context, {
      owner,
      type: "Warning",
      reason,
      action: "CreateVolumeSnapshot",
      message: `VolumeSnapshot ${name} is not ${state} after ${Math.floor(age / 1000)} s: check that a snapshot controller runs and what the CSI driver says (kubectl describe volumesnapshot ${name})`,
      related: snapshot,
    });
  }
  return {
    waiting: {
      reason,
      message: `VolumeSnapshot ${name} is not ${state} yet`,
      ...(age < within ? { recheck: within - age } : { late: true }),
    },
  };
}

/** RFC 3339: when the data of the snapshot was cut. */
export function cutAt({ status, metadata }: VolumeSnapshot): string | undefined {
  return status?.creationTime ?? metadata.creationTimestamp;
}

/** Throws VOLUME_NOT_READY when no snapshot of the claim can be made: no such class, none for its driver, no CSI volume. */
async function requireSnapshotClass(
  context: OperatorContext,
  claim: PersistentVolumeClaim,
  className: string | undefined,
): Promise<void> {
  const { api, signal } = context;
  if (!(await api.serves(VOLUME_SNAPSHOT, { signal }))) {
    throw new HoldfastError("VOLUME_NOT_READY", "the cluster has no VolumeSnapshots", {
      hint: "Install the CSI snapshot controller and its CRDs, or set copyMethod to Direct or Clone",
    });
  }
  const classes = await snapshotClasses(context);
  if (classes === undefined) return;
  const driver = await driverOf(context, claim);
  const names = classes.map(({ metadata, driver: of }) => `${metadata.name} (${of})`).join(", ");
  const known = names === "" ? "There is no VolumeSnapshotClass." : `There are: ${names}.`;
  const fits = classes.filter((each) => driver === undefined || each.driver === driver);
  if (className !== undefined) {
    const found = classes.find(({ metadata }) => metadata.name === className);
    if (found === undefined) {
      throw new HoldfastError(
        "VOLUME_NOT_READY",
        `there is no VolumeSnapshotClass ${JSON.stringify(className)}`,
        { hint: `Correct volumeSnapshotClassName. ${known}` },
      );
    }
    if (!fits.includes(found)) {
      throw new HoldfastError(
        "VOLUME_NOT_READY",
        `VolumeSnapshotClass ${className} is of driver ${found.driver}, and PersistentVolumeClaim ${claim.metadata.name} of ${driver}`,
        { hint: `Set volumeSnapshotClassName to a class of ${driver}. ${known}` },
      );
    }
    return;
  }
  if (fits.some(isDefault)) return;
  const of = driver === undefined ? "" : ` for driver ${driver}`;
  throw new HoldfastError("VOLUME_NOT_READY", `there is no default VolumeSnapshotClass${of}`, {
    hint: `Set volumeSnapshotClassName, annotate a class with ${DEFAULT_CLASS}=true, or set copyMethod to Direct or Clone. ${known}`,
  });
}

function isDefault({ metadata }: VolumeSnapshotClass): boolean {
  return metadata.annotations?.[DEFAULT_CLASS] === "true";
}

/** Undefined when we may not list them: the snapshot controller then has the only word. */
async function snapshotClasses({
  api,
  signal,
}: OperatorContext): Promise<VolumeSnapshotClass[] | undefined> {
  try {
    return (await api.list(VOLUME_SNAPSHOT_CLASS, { signal })).items;
  } catch (error) {
    if (isHoldfastError(error, "CLUSTER_DENIED")) return undefined;
    throw error;
  }
}

/** CSI driver of the claim's volume; undefined when we may not know. Throws VOLUME_NOT_READY for a volume without one. */
async function driverOf(
  { api, signal }: OperatorContext,
  { spec, metadata }: PersistentVolumeClaim,
): Promise<string | undefined> {
  if (spec.volumeName === undefined) return undefined;
  try {
    const volume = await api.get(PERSISTENT_VOLUME, { name: spec.volumeName }, { signal });
    if (volume === undefined) return undefined;
    const csi = volume.spec["csi"] as { driver?: string } | undefined;
    if (csi?.driver !== undefined) return csi.driver;
  } catch (error) {
    if (isHoldfastError(error, "CLUSTER_DENIED")) return undefined;
    throw error;
  }
  throw new HoldfastError(
    "VOLUME_NOT_READY",
    `PersistentVolumeClaim ${metadata.name} is on a volume without a CSI driver, of which no snapshot can be made`,
    { hint: "Set copyMethod to Direct" },
  );
}
