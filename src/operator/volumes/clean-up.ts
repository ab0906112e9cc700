// The end of a run: what was made for it goes. Only what bears our label *and* is controlled by the resource itself is removed,
// each by its UID, so nothing that has taken a name since is hit.

import { isHoldfastError } from "../../base/errors.ts";
import type { Kind } from "../cluster/kinds.ts";
import { CLAIM, VOLUME_SNAPSHOT } from "../cluster/kinds.ts";
import type { KubeObject, VolumeSnapshot } from "../cluster/kube-object.ts";
import type { OperatorContext, Step } from "../context.ts";
import { isControlledBy } from "../cluster/owner.ts";
import { ANNOTATION, LABEL } from "../names.ts";
import { REPLICATION_DESTINATION } from "../resources/replication-destination.ts";
import type { ReplicationDestination } from "../resources/replication-destination.ts";
import type { ReplicationSource } from "../resources/replication-source.ts";
import type { RunPlan } from "../run-plan.ts";
import { isOfRun } from "./annotations.ts";
import { tellCloned } from "./copy-trigger.ts";
import { targetClaimName } from "./destination-volume.ts";
import { annotate } from "./image.ts";

/**
 * Removes the volumes and snapshots of the run; of a destination also images that newer ones have replaced (its status must name
 * the new one already). Snapshots that are not to be deleted are let go; images that a claim is being populated from stay until
 * that is done. Done as often as asked.
 */
export async function cleanUp(
  context: OperatorContext,
  owner: ReplicationSource | ReplicationDestination,
  plan: RunPlan | undefined,
): Promise<Step<void>> {
  // An application that waits for its copy is told, whatever became of the run.
  if (isSource(owner)) await tellCloned(context, owner);
  else await endImage(context, owner);
  for (const claim of await marked(context, CLAIM, owner)) await release(context, CLAIM, claim);
  if (await context.api.serves(VOLUME_SNAPSHOT, { signal: context.signal })) {
    for (const snapshot of await marked(context, VOLUME_SNAPSHOT, owner)) {
      await release(context, VOLUME_SNAPSHOT, snapshot);
    }
    if (!isSource(owner)) await removeImages(context, owner, plan);
  }
  return { ready: undefined };
}

function isSource(owner: ReplicationSource | ReplicationDestination): owner is ReplicationSource {
  return owner.kind === "ReplicationSource";
}

async function marked<T extends KubeObject>(
  { api, signal }: OperatorContext,
  kind: Kind<T>,
  owner: KubeObject,
): Promise<T[]> {
  const { namespace, uid } = owner.metadata;
  const labelSelector = `${LABEL.cleanup}=${uid}`;
  const { items } = await api.list(kind, { namespace, labelSelector, signal });
  return items.filter((item) => isControlledBy(item, owner));
}

/** Deletes it, or lets it go where it is not to be deleted. */
async function release<T extends KubeObject>(
  { api, signal }: OperatorContext,
  kind: Kind<T>,
  object: T,
): Promise<void> {
  const { namespace, name, uid, labels, ownerReferences, deletionTimestamp } = object.metadata;
  if (deletionTimestamp !== undefined) return;
  if (labels?.[LABEL.doNotDelete] === undefined) {
    try {
      await api.delete(kind, { namespace, name }, { uid, signal });
    } catch (error) {
      // Another has that name by now; ours is gone.
      if (!isHoldfastError(error, "CLUSTER_CONFLICT")) throw error;
    }
    return;
  }
  const patch = {
    metadata: {
      // Only the object that was read: others may have become owners of it since.
      resourceVersion: object.metadata.resourceVersion,
      labels: { [LABEL.cleanup]: null },
      ownerReferences: (ownerReferences ?? []).filter(({ controller }) => controller !== true),
    },
  };
  await api.patch(kind, { namespace, name }, patch, { type: "merge", signal });
}

async function endImage(
  context: OperatorContext,
  destination: ReplicationDestination,
): Promise<void> {
  const { api, signal } = context;
  const { namespace } = destination.metadata;
  const place = { namespace, name: targetClaimName(destination) };
  const claim = await api.get(CLAIM, place, { signal });
  if (claim?.metadata.annotations?.[ANNOTATION.snapshotName] === undefined) return;
  await annotate(context, claim, null);
}

/** Images but the latest one. */
async function removeImages(
  context: OperatorContext,
  destination: ReplicationDestination,
  plan: RunPlan | undefined,
): Promise<void> {
  const { api, signal } = context;
  const { namespace, name: destinationName, uid } = destination.metadata;
  // As it is now: by an older status the newest image would be an old one.
  const place = { namespace, name: destinationName };
  const now = await api.get(REPLICATION_DESTINATION, place, { signal });
  if (now?.metadata.uid !== uid) return;
  const latest = now?.status?.latestImage;
  const isRunning = now?.status?.lastSyncStartTime !== undefined;
  const labelSelector = LABEL.createdBy;
  const { items } = await api.list(VOLUME_SNAPSHOT, { namespace, labelSelector, signal });
  for (const snapshot of items) {
    if (!isControlledBy(snapshot, destination)) continue;
    const { name, labels } = snapshot.metadata;
    const isLatest = latest?.kind === "VolumeSnapshot" && latest.name === name;
    // The latest one too is let go where it is to be kept: it must outlive the resource.
    if (isLatest && labels?.[LABEL.doNotDelete] === undefined) continue;
    // That of a run under way is in no status yet.
    if (isRunning && plan !== undefined && isOfRun(snapshot, plan)) continue;
    if (isPopulatedFrom(context, snapshot)) continue;
    await release(context, VOLUME_SNAPSHOT, snapshot);
  }
}

/** True while a claim is being made from the snapshot: by label, and only while there is such a claim without a volume. */
export function isPopulatedFrom(
  { stores }: OperatorContext,
  { metadata }: VolumeSnapshot,
): boolean {
  const uids = Object.keys(metadata.labels ?? {})
    .filter((key) => key.startsWith(LABEL.populatorClaimPrefix))
    .map((key) => key.slice(LABEL.populatorClaimPrefix.length));
  if (uids.length === 0) return false;
  const waiting = stores.claims
    .list(metadata.namespace)
    .filter(({ spec }) => spec.volumeName === undefined)
    .map((claim) => claim.metadata.uid);
  return uids.some((uid) => waiting.includes(uid));
}
