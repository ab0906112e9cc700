// What a restore leaves behind: the claim itself, or a VolumeSnapshot of it that others make volumes from. A snapshot is an image
// only when it is ready: claims made from one that is not come up empty on slow drivers.

import { CLAIM, VOLUME_SNAPSHOT } from "../cluster/kinds.ts";
import type { PersistentVolumeClaim, VolumeSnapshot } from "../cluster/kube-object.ts";
import type { OperatorContext, Step } from "../context.ts";
import { ANNOTATION } from "../names.ts";
import type { LatestImage, ReplicationDestination } from "../resources/replication-destination.ts";
import type { RunPlan } from "../run-plan.ts";
import { isOfRun, NOTHING, VOLUME_ANNOTATION } from "./annotations.ts";
import { leaving, userClaim } from "./claims.ts";
import { targetClaimName } from "./destination-volume.ts";
import { standingOf } from "./owned.ts";
import { makeSnapshot, SNAPSHOT_GROUP, snapshotReady } from "./snapshots.ts";

const NAME_MAX = 253;
const STAMP = 14;

/**
 * The image of a finished restore. `restored`: id of the snapshot that was restored, undefined when there was none; the image
 * bears it, so that nobody populates a volume from a restore that found nothing without being told. Throws VOLUME_NOT_READY,
 * CLUSTER_EXISTS.
 */
export async function ensureImage(
  context: OperatorContext,
  destination: ReplicationDestination,
  plan: RunPlan,
  restored: string | undefined,
): Promise<Step<LatestImage>> {
  const { namespace } = destination.metadata;
  const claimName = targetClaimName(destination);
  if (destination.spec.restic?.copyMethod !== "Snapshot") {
    // The empty group is that of the core, as VolSync writes it.
    return { ready: { apiGroup: "", kind: "PersistentVolumeClaim", name: claimName } };
  }
  const { api, signal } = context;
  // Fresh: the annotation on it may be our own of a moment ago.
  const claim =
    (await api.get(CLAIM, { namespace, name: claimName }, { signal })) ??
    (await userClaim(context, destination, {
      name: claimName,
      field: "spec.restic.destinationPVC",
    }));
  let name = claim.metadata.annotations?.[ANNOTATION.snapshotName];
  let snapshot = name === undefined ? undefined : await find(context, namespace, name);
  if (name === undefined || (snapshot !== undefined && !isOfRun(snapshot, plan))) {
    name = imageName(claim, context.clock.now());
    snapshot = await find(context, namespace, name);
    if (snapshot !== undefined && !isOfRun(snapshot, plan)) {
      // An earlier run's, of this very second.
      const message = `the name ${name} is taken`;
      return { waiting: { reason: "WaitingForImage", message, recheck: 1000 } };
    }
    await annotate(context, claim, name);
  }
  if (snapshot === undefined) {
    snapshot = await makeSnapshot(context, destination, {
      name,
      temporary: false,
      claim,
      className: destination.spec.restic.volumeSnapshotClassName,
      annotations: {
        [VOLUME_ANNOTATION.run]: plan.id,
        [VOLUME_ANNOTATION.restored]: restored ?? NOTHING,
      },
    });
    if (snapshot === undefined) {
      const message = `VolumeSnapshot ${name} was made just now`;
      return { waiting: { reason: "WaitingForImage", message, recheck: 1000 } };
    }
  }
  if (standingOf(snapshot, destination) === "leaving") return leaving("VolumeSnapshot", name);
  const step = snapshotReady(context, destination, snapshot);
  if (!("ready" in step)) return step;
  return { ready: { apiGroup: SNAPSHOT_GROUP, kind: "VolumeSnapshot", name } };
}

async function find(
  { api, signal }: OperatorContext,
  namespace: string | undefined,
  name: string,
): Promise<VolumeSnapshot | undefined> {
  return await api.get(VOLUME_SNAPSHOT, { namespace, name }, { signal });
}

/** `<claim>-<YYYYMMDDHHMMSS>`, UTC. */
export function imageName({ metadata }: PersistentVolumeClaim, now: number): string {
  const stamp = new Date(now).toISOString().replace(/\D/g, "").slice(0, STAMP);
  return `${metadata.name.slice(0, NAME_MAX - STAMP - 1)}-${stamp}`;
}

/** Says on the claim which image is being made; `null`: none. */
export async function annotate(
  { api, signal }: OperatorContext,
  { metadata: { namespace, name } }: PersistentVolumeClaim,
  image: string | null,
): Promise<void> {
  const patch = { metadata: { annotations: { [ANNOTATION.snapshotName]: image } } };
  await api.patch(CLAIM, { namespace, name }, patch, { type: "merge", signal });
}
