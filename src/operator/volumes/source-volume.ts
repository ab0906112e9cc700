// The volume that a source is read from: its claim itself, a clone of it, or a claim made from a snapshot of it. A copy is of one
// run: what an earlier one left behind is removed and made anew, so that no old data is backed up as new.

import { HoldfastError } from "../../base/errors.ts";
import { CLAIM, VOLUME_SNAPSHOT } from "../cluster/kinds.ts";
import type { KubeObject, PersistentVolumeClaim, VolumeSnapshot } from "../cluster/kube-object.ts";
import type { OperatorContext, Step } from "../context.ts";
import { pointInTimeName } from "../names.ts";
import { compareQuantities } from "../resources/quantity.ts";
import type { ReplicationSource, ResticSource } from "../resources/replication-source.ts";
import type { RunPlan } from "../run-plan.ts";
import { isOfRun, VOLUME_ANNOTATION } from "./annotations.ts";
import { bound, isReadOnly, leaving, makeClaim, ourClaim, userClaim } from "./claims.ts";
import type { NewClaim } from "./claims.ts";
import { awaitCopyTrigger, completeCopyTrigger } from "./copy-trigger.ts";
import { mountedBy } from "./mounts.ts";
import { standingOf } from "./owned.ts";
import { cutAt, makeSnapshot, SNAPSHOT_GROUP, snapshotReady } from "./snapshots.ts";
import { requireStorageClass } from "./storage-class.ts";
import type { MoverVolume } from "./volume.ts";

/**
 * The volume to back up. Called again for as long as the run goes: it also tells an application that the copy it waits for is
 * made. Throws VOLUME_NOT_READY, CLUSTER_EXISTS.
 */
export async function ensureSourceVolume(
  context: OperatorContext,
  source: ReplicationSource,
  plan: RunPlan,
): Promise<Step<MoverVolume>> {
  const { sourcePVC: name, restic = {} } = source.spec;
  if (!name) {
    throw new HoldfastError("VOLUME_NOT_READY", "sourcePVC is not set", {
      hint: "Name the PersistentVolumeClaim to back up in spec.sourcePVC",
    });
  }
  const claim = await userClaim(context, source, { name, field: "spec.sourcePVC" });
  const copying: Copying = { context, source, plan, claim, restic };
  switch (restic.copyMethod) {
    case "Direct":
    case "None":
      return await direct(copying);
    case "Clone":
      return await clone(copying);
    case "Snapshot":
      return await fromSnapshot(copying);
    default:
      throw new HoldfastError(
        "VOLUME_NOT_READY",
        `unsupported copyMethod: ${restic.copyMethod ?? ""} -- must be Direct, Clone, or Snapshot`,
        { hint: "Set spec.restic.copyMethod" },
      );
  }
}

interface Copying {
  readonly context: OperatorContext;
  readonly source: ReplicationSource;
  readonly plan: RunPlan;
  /** The user's. */
  readonly claim: PersistentVolumeClaim;
  readonly restic: ResticSource;
}

async function direct({ context, source, claim }: Copying): Promise<Step<MoverVolume>> {
  const alone = heldAlone(context, claim);
  if (alone !== undefined) return alone;
  const step = await bound(context, source, claim);
  if (!("ready" in step)) return step;
  return { ready: { claim, readOnly: isReadOnly(claim), temporary: false } };
}

/** A claim of one pod alone, while that pod is there: a mover would wait for ever without saying why. */
export function heldAlone(
  context: OperatorContext,
  claim: PersistentVolumeClaim,
): Step<never> | undefined {
  if (claim.spec.accessModes?.includes("ReadWriteOncePod") !== true) return undefined;
  const [pod] = mountedBy(context, claim);
  if (pod === undefined) return undefined;
  const message = `PersistentVolumeClaim ${claim.metadata.name} may be used by one pod at a time (ReadWriteOncePod), and pod ${pod.metadata.name} uses it`;
  // The pod's end brings us here again (watched.ts).
  return { waiting: { reason: "VolumeInUse", message, late: true } };
}

async function clone(copying: Copying): Promise<Step<MoverVolume>> {
  const { context, source, plan, claim } = copying;
  const name = pointInTimeName(source.metadata.name);
  let copy = await current(copying);
  if (copy === "leaving") return leaving("clone", name);
  if (copy === undefined) {
    if (claim.status?.phase !== "Bound") return unbound(claim);
    const wanted = await newClaim(copying, undefined);
    const allowed = await awaitCopyTrigger(context, source, claim);
    if (!("ready" in allowed)) return allowed;
    copy = await makeClaim(context, source, {
      ...wanted,
      annotations: { ...allowed.ready, [VOLUME_ANNOTATION.run]: plan.id },
      dataSource: { kind: "PersistentVolumeClaim", name: claim.metadata.name },
      from: `PersistentVolumeClaim ${claim.metadata.name}`,
    });
    if (copy === undefined) return again(name);
  }
  // The data is cut when the volume is made: with the pod, where the storage class waits for one.
  if (copy.status?.phase === "Bound") await completeCopyTrigger(context, source, { claim, copy });
  const step = await bound(context, source, copy);
  if (!("ready" in step)) return step;
  return { ready: copied(step.ready, copy.metadata.creationTimestamp) };
}

async function fromSnapshot(copying: Copying): Promise<Step<MoverVolume>> {
  const { context, source, claim, plan } = copying;
  const name = pointInTimeName(source.metadata.name);
  const taken = await takeSnapshot(copying);
  if (!("ready" in taken)) return taken;
  const snapshot = taken.ready;
  await completeCopyTrigger(context, source, { claim, copy: snapshot });
  let copy = await current(copying);
  if (copy === "leaving") return leaving("claim", name);
  if (copy === undefined) {
    const wanted = await newClaim(copying, snapshot.status?.restoreSize);
    copy = await makeClaim(context, source, {
      ...wanted,
      annotations: { [VOLUME_ANNOTATION.run]: plan.id, ...pointInTime(cutAt(snapshot)) },
      dataSource: { apiGroup: SNAPSHOT_GROUP, kind: "VolumeSnapshot", name },
      from: `VolumeSnapshot ${name}`,
    });
    if (copy === undefined) return again(name);
  }
  const step = await bound(context, source, copy);
  if (!("ready" in step)) return step;
  const cut = copy.metadata.annotations?.[VOLUME_ANNOTATION.pointInTime] ?? cutAt(snapshot);
  return { ready: copied(step.ready, cut) };
}

function pointInTime(cut: string | undefined): Record<string, string> {
  return cut === undefined ? {} : { [VOLUME_ANNOTATION.pointInTime]: cut };
}

async function takeSnapshot(copying: Copying): Promise<Step<VolumeSnapshot>> {
  const { context, source, plan, claim, restic } = copying;
  const { namespace, name: sourceName } = source.metadata;
  const name = pointInTimeName(sourceName);
  const { api, signal } = context;
  let snapshot = context.stores.snapshots.get(namespace, name);
  if (snapshot === undefined || !isOfRun(snapshot, plan)) {
    // A cache may be behind. A cluster without snapshots answers with nothing; the check before one is made tells.
    snapshot = await api.get(VOLUME_SNAPSHOT, { namespace, name }, { signal });
  }
  if (snapshot !== undefined) {
    if (standingOf(snapshot, source) === "leaving") return leaving("VolumeSnapshot", name);
    if (isOfRun(snapshot, plan)) return snapshotReady(context, source, snapshot);
    await remove(context, VOLUME_SNAPSHOT, snapshot);
    return leaving("VolumeSnapshot", name);
  }
  if (claim.status?.phase !== "Bound") return unbound(claim);
  const allowed = await awaitCopyTrigger(context, source, claim);
  if (!("ready" in allowed)) return allowed;
  const made = await makeSnapshot(context, source, {
    name,
    temporary: true,
    claim,
    className: restic.volumeSnapshotClassName,
    annotations: { ...allowed.ready, [VOLUME_ANNOTATION.run]: plan.id },
  });
  return made === undefined ? again(name) : snapshotReady(context, source, made);
}

/** The copy of this run. One of an earlier run is removed. */
async function current({
  context,
  source,
  plan,
}: Copying): Promise<PersistentVolumeClaim | "leaving" | undefined> {
  const copy = await ourClaim(context, source, pointInTimeName(source.metadata.name));
  if (copy === undefined || copy === "leaving" || isOfRun(copy, plan)) return copy;
  await remove(context, CLAIM, copy);
  return "leaving";
}

async function remove(
  { api, signal }: OperatorContext,
  kind: typeof CLAIM | typeof VOLUME_SNAPSHOT,
  { metadata: { namespace, name, uid } }: KubeObject,
): Promise<void> {
  await api.delete(kind, { namespace, name }, { uid, signal });
}

/** What the copy's claim is like. Sizes in VolSync's order. */
async function newClaim(
  { context, source, claim, restic }: Copying,
  restoreSize: string | undefined,
): Promise<NewClaim> {
  const storageClassName = restic.storageClassName ?? claim.spec.storageClassName;
  if (restic.storageClassName !== undefined) {
    const field = "spec.restic.storageClassName";
    await requireStorageClass(context, { name: restic.storageClassName, field });
  }
  const restored = restoreSize !== undefined && restoreSize !== "0" ? restoreSize : undefined;
  const { capacity } = restic;
  if (
    capacity !== undefined &&
    restored !== undefined &&
    compareQuantities(capacity, restored) < 0
  ) {
    throw new HoldfastError(
      "VOLUME_NOT_READY",
      `capacity ${capacity} is less than the snapshot's ${restored}, which is restored into it`,
      { hint: "Raise spec.restic.capacity, or leave it out" },
    );
  }
  const size =
    capacity ??
    restored ??
    claim.status?.capacity?.["storage"] ??
    claim.spec.resources?.requests?.["storage"] ??
    "1Gi";
  return {
    name: pointInTimeName(source.metadata.name),
    temporary: true,
    size,
    accessModes: restic.accessModes ?? claim.spec.accessModes ?? ["ReadWriteOnce"],
    storageClassName,
  };
}

function copied(claim: PersistentVolumeClaim, pointInTime: string | undefined): MoverVolume {
  return { claim, readOnly: isReadOnly(claim), pointInTime, temporary: true };
}

function unbound({ metadata }: PersistentVolumeClaim): Step<never> {
  const message = `PersistentVolumeClaim ${metadata.name} has no volume yet, so there is nothing to copy`;
  return { waiting: { reason: "SourceNotBound", message } };
}

/** Somebody made it between our look and our write: the watch shows it. */
function again(name: string): Step<never> {
  return {
    waiting: { reason: "WaitingForCopy", message: `${name} was made just now`, recheck: 1000 },
  };
}
