// The helper claim of the volume populator: made from the image in the same namespace, so that the provisioner makes a volume of
// it, which is then handed to the claim that asked for it.

import { isHoldfastError } from "../../base/errors.ts";
import { CLAIM } from "../cluster/kinds.ts";
import type { PersistentVolumeClaim } from "../cluster/kube-object.ts";
import { controllerReference } from "../cluster/owner.ts";
import type { OperatorContext } from "../context.ts";
import { ANNOTATION, LABEL } from "../names.ts";
import { ownedMetadata, standingOf } from "./owned.ts";
import { SNAPSHOT_GROUP } from "./snapshots.ts";
import { tell } from "./told.ts";

const LABEL_MAX = 63;

/** `vs-prime-<uid of the claim>`, as VolSync. */
export function primeName({ metadata }: PersistentVolumeClaim): string {
  return `vs-prime-${metadata.uid}`;
}

/** Throws CLUSTER_EXISTS when the name is somebody else's. */
export async function findPrime(
  { api, signal }: OperatorContext,
  claim: PersistentVolumeClaim,
): Promise<PersistentVolumeClaim | "leaving" | undefined> {
  const place = { namespace: claim.metadata.namespace, name: primeName(claim) };
  const prime = await api.get(CLAIM, place, { signal });
  if (prime === undefined) return undefined;
  return standingOf(prime, claim) === "leaving" ? "leaving" : prime;
}

export async function makePrime(
  context: OperatorContext,
  claim: PersistentVolumeClaim,
  snapshot: string,
): Promise<void> {
  const { accessModes, resources, storageClassName, volumeMode } = claim.spec;
  const node = claim.metadata.annotations?.[ANNOTATION.selectedNode];
  const { name, uid = "" } = claim.metadata;
  const metadata = ownedMetadata(claim, {
    name: primeName(claim),
    temporary: false,
    ...(node !== undefined && { annotations: { [ANNOTATION.selectedNode]: node } }),
  });
  const prime: PersistentVolumeClaim = {
    apiVersion: "v1",
    kind: "PersistentVolumeClaim",
    metadata: {
      ...metadata,
      // Without blockOwnerDeletion, for which some clusters want a right on the claim's finalizers.
      ownerReferences: [{ ...controllerReference(claim), blockOwnerDeletion: false }],
      labels: {
        ...metadata.labels,
        // A claim's name may be longer than a label's value.
        [LABEL.populatorClaimFor]: name.length <= LABEL_MAX ? name : uid,
      },
    },
    spec: {
      ...(accessModes && { accessModes }),
      ...(resources && { resources }),
      ...(storageClassName !== undefined && { storageClassName }),
      ...(volumeMode && { volumeMode }),
      dataSource: { apiGroup: SNAPSHOT_GROUP, kind: "VolumeSnapshot", name: snapshot },
    },
  };
  try {
    await context.api.create(CLAIM, prime, { signal: context.signal });
  } catch (error) {
    if (isHoldfastError(error, "CLUSTER_EXISTS")) return;
    tell(context, {
      owner: claim,
      type: "Warning",
      reason: "VolSyncPopulatorPVCCreationError",
      action: "CreatePersistentVolumeClaim",
      message: `the claim that the image is put into could not be made: ${(error as Error).message}`,
    });
    throw error;
  }
  tell(context, {
    owner: claim,
    type: "Normal",
    reason: "VolSyncPopulatorPVCCreated",
    action: "CreatePersistentVolumeClaim",
    message: `the image ${snapshot} is being put into a volume`,
  });
}
