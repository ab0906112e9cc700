// The volume that a restore is written to: the claim that the resource names, or one that is made for it and stays between runs
// unless it is to be cleaned up.

import { HoldfastError } from "../../base/errors.ts";
import type { OperatorContext, Step } from "../context.ts";
import { destinationClaimName } from "../names.ts";
import type { ReplicationDestination } from "../resources/replication-destination.ts";
import type { RunPlan } from "../run-plan.ts";
import { bound, isReadOnly, keepClaim, leaving, makeClaim, ourClaim, userClaim } from "./claims.ts";
import { heldAlone } from "./source-volume.ts";
import { requireStorageClass } from "./storage-class.ts";
import type { MoverVolume } from "./volume.ts";

/** Name of the claim that the destination writes to. */
export function targetClaimName({ spec, metadata }: ReplicationDestination): string {
  return spec.restic?.destinationPVC ?? destinationClaimName(metadata.name);
}

/** The volume to restore into. Throws VOLUME_NOT_READY, CLUSTER_EXISTS. */
export async function ensureDestinationVolume(
  context: OperatorContext,
  destination: ReplicationDestination,
  _plan: RunPlan,
): Promise<Step<MoverVolume>> {
  const { destinationPVC: name, copyMethod } = destination.spec.restic ?? {};
  if (copyMethod === "Clone") {
    throw new HoldfastError(
      "VOLUME_NOT_READY",
      `unsupported copyMethod: ${copyMethod} -- must be Direct or Snapshot`,
      { hint: "Set spec.restic.copyMethod" },
    );
  }
  if (name === undefined) return await ownVolume(context, destination);
  const field = "spec.restic.destinationPVC";
  const claim = await userClaim(context, destination, { name, field });
  if (isReadOnly(claim)) {
    throw new HoldfastError("VOLUME_NOT_READY", `PersistentVolumeClaim ${name} can only be read`, {
      hint: `Name a claim in ${field} whose access modes allow writing`,
    });
  }
  const alone = heldAlone(context, claim);
  if (alone !== undefined) return alone;
  const step = await bound(context, destination, claim);
  if (!("ready" in step)) return step;
  return { ready: { claim, readOnly: false, temporary: false } };
}

async function ownVolume(
  context: OperatorContext,
  destination: ReplicationDestination,
): Promise<Step<MoverVolume>> {
  const { accessModes, capacity, storageClassName, cleanupTempPVC } = destination.spec.restic ?? {};
  // Worded as in VolSync.
  if (accessModes === undefined || accessModes.length === 0) {
    throw required("accessModes must be provided when destinationPVC is not");
  }
  if (capacity === undefined) {
    throw required("capacity must be provided when destinationPVC is not");
  }
  const name = destinationClaimName(destination.metadata.name);
  const temporary = cleanupTempPVC === true;
  const found = await ourClaim(context, destination, name);
  if (found === "leaving") return leaving("claim", name);
  let claim = found;
  if (claim === undefined) {
    const field = "spec.restic.storageClassName";
    await requireStorageClass(context, { name: storageClassName, field });
    claim = await makeClaim(context, destination, {
      name,
      temporary,
      size: capacity,
      accessModes,
      storageClassName,
    });
    if (claim === undefined) {
      const message = `PersistentVolumeClaim ${name} was made just now`;
      return { waiting: { reason: "WaitingForClaim", message, recheck: 1000 } };
    }
  } else claim = await keepClaim(context, destination, { claim, size: capacity, temporary });
  const step = await bound(context, destination, claim);
  if (!("ready" in step)) return step;
  return { ready: { claim: step.ready, readOnly: false, temporary: true } };
}

function required(message: string): HoldfastError {
  return new HoldfastError("VOLUME_NOT_READY", message, {
    hint: "Set spec.restic.destinationPVC, or both spec.restic.capacity and spec.restic.accessModes",
  });
}
