// While a claim is populated from an image, the image bears the claim's mark and has it as an owner beside its own: neither the
// next restore nor the end of its resource takes it away half way.

import { isHoldfastError } from "../../base/errors.ts";
import { VOLUME_SNAPSHOT } from "../cluster/kinds.ts";
import type { PersistentVolumeClaim, VolumeSnapshot } from "../cluster/kube-object.ts";
import { controllerOf } from "../cluster/owner.ts";
import type { OperatorContext } from "../context.ts";
import { LABEL } from "../names.ts";
import { REPLICATION_DESTINATION } from "../resources/replication-destination.ts";

function markOf({ metadata }: PersistentVolumeClaim): string {
  return `${LABEL.populatorClaimPrefix}${metadata.uid}`;
}

const LABEL_MAX = 63;

/** Marks the image as in use by the claim; as often as asked. CLUSTER_CONFLICT when it has changed meanwhile. */
export async function holdImage(
  { api, signal }: OperatorContext,
  claim: PersistentVolumeClaim,
  snapshot: VolumeSnapshot,
): Promise<void> {
  const { namespace, name, labels, ownerReferences = [], resourceVersion } = snapshot.metadata;
  const { uid = "", name: claimName } = claim.metadata;
  const mark = markOf(claim);
  if (labels?.[mark] !== undefined && ownerReferences.some((each) => each.uid === uid)) return;
  const patch = {
    metadata: {
      resourceVersion,
      labels: { [mark]: claimName.slice(0, LABEL_MAX).replace(/[^a-z0-9]+$/, "") },
      ownerReferences: [
        ...ownerReferences.filter((each) => each.uid !== uid),
        { apiVersion: "v1", kind: "PersistentVolumeClaim", name: claimName, uid },
      ],
    },
  };
  await api.patch(VOLUME_SNAPSHOT, { namespace, name }, patch, { type: "merge", signal });
}

/** Takes the mark away, and the image with it when its resource has a newer one and nobody else needs it. */
export async function releaseImage(
  context: OperatorContext,
  claim: PersistentVolumeClaim,
  name: string,
): Promise<void> {
  const { api, signal } = context;
  const { namespace } = claim.metadata;
  const snapshot = await api.get(VOLUME_SNAPSHOT, { namespace, name }, { signal });
  if (snapshot === undefined) return;
  const { labels = {}, ownerReferences = [], resourceVersion, uid } = snapshot.metadata;
  const mark = markOf(claim);
  const isOwner = ownerReferences.some((each) => each.uid === claim.metadata.uid);
  if (labels[mark] === undefined && !isOwner) return;
  if (await isReplaced(context, snapshot, mark)) {
    await api.delete(VOLUME_SNAPSHOT, { namespace, name }, { uid, signal });
    return;
  }
  const patch = {
    metadata: {
      resourceVersion,
      labels: { [mark]: null },
      ownerReferences: ownerReferences.filter((each) => each.uid !== claim.metadata.uid),
    },
  };
  try {
    await api.patch(VOLUME_SNAPSHOT, { namespace, name }, patch, { type: "merge", signal });
  } catch (error) {
    if (!isHoldfastError(error, "CLUSTER_NOT_FOUND")) throw error;
  }
}

async function isReplaced(
  { api, signal }: OperatorContext,
  snapshot: VolumeSnapshot,
  mark: string,
): Promise<boolean> {
  const { labels = {}, namespace, name } = snapshot.metadata;
  const others = Object.keys(labels).some(
    (key) => key.startsWith(LABEL.populatorClaimPrefix) && key !== mark,
  );
  const owner = controllerOf(snapshot);
  if (others || labels[LABEL.doNotDelete] !== undefined) return false;
  if (owner?.kind !== "ReplicationDestination") return false;
  const place = { namespace, name: owner.name };
  const destination = await api.get(REPLICATION_DESTINATION, place, { signal });
  const latest = destination?.status?.latestImage;
  if (destination?.metadata.uid !== owner.uid || latest === undefined) return false;
  // One that is being made at this moment is nobody's latest yet.
  return latest.name !== name && destination.status?.lastSyncStartTime === undefined;
}
