// The volume populator: a claim whose dataSourceRef is a ReplicationDestination gets a volume with its latest image. Every step
// looks at what is there and does the next thing, so that it goes on from wherever it was cut off:
//
//   image ready -> image held -> helper claim made from it -> its volume handed over -> our claim bound -> helper claim and hold go
//
// It never deletes a volume's claim before the API server shows that the volume is the other one's.

import { HoldfastError, isHoldfastError } from "../base/errors.ts";
import { CLAIM, kind, PERSISTENT_VOLUME, VOLUME_SNAPSHOT } from "./cluster/kinds.ts";
import type { Kind } from "./cluster/kinds.ts";
import type {
  KubeObject,
  PersistentVolume,
  PersistentVolumeClaim,
  VolumeSnapshot,
} from "./cluster/kube-object.ts";
import type { OperatorContext, Step } from "./context.ts";
import { ANNOTATION, CREATED_BY, LABEL, VOLSYNC_GROUP } from "./names.ts";
import { REPLICATION_DESTINATION } from "./resources/replication-destination.ts";
import type { ReplicationDestination } from "./resources/replication-destination.ts";
import { NOTHING, VOLUME_ANNOTATION } from "./volumes/annotations.ts";
import { bound } from "./volumes/claims.ts";
import { holdImage, releaseImage } from "./volumes/image-use.ts";
import { findPrime, makePrime, primeName } from "./volumes/prime.ts";
import { isPopulating } from "./volumes/restores.ts";
import { snapshotReady } from "./volumes/snapshots.ts";
import { bindsAtOnce } from "./volumes/storage-class.ts";
import { tell, tellOnce } from "./volumes/told.ts";

interface VolumePopulator extends KubeObject {
  sourceKind: { group: string; kind: string };
}

const VOLUME_POPULATOR: Kind<VolumePopulator> = kind(
  "populator.storage.k8s.io/v1beta1",
  "VolumePopulator",
  "volumepopulators",
  { namespaced: false },
);
const ACTION = "PopulateVolume";

/** Tells the cluster that the populator is there, where it has a register of them (its CRD). Who may not does without. */
export async function registerPopulator({ api, signal }: OperatorContext): Promise<void> {
  try {
    if (!(await api.serves(VOLUME_POPULATOR, { signal }))) return;
    await api.create(
      VOLUME_POPULATOR,
      {
        apiVersion: VOLUME_POPULATOR.apiVersion,
        kind: VOLUME_POPULATOR.kind,
        metadata: {
          name: "volsync-replicationdestination",
          labels: { [LABEL.createdBy]: CREATED_BY },
        },
        sourceKind: { group: VOLSYNC_GROUP, kind: "ReplicationDestination" },
      },
      { signal },
    );
  } catch (error) {
    if (!isHoldfastError(error, "CLUSTER_EXISTS", "CLUSTER_DENIED")) throw error;
  }
}

/** Whether the claim is the populator's business: it waits for data, or its helper claim is still there. */
export function isPopulated({ spec }: PersistentVolumeClaim): boolean {
  const { dataSourceRef: from } = spec;
  return from?.apiGroup === VOLSYNC_GROUP && from.kind === "ReplicationDestination";
}

/** Keys (`namespace/name`) of the claims to look at when this object has changed: a claim, a snapshot or a destination. */
export function claimsToPopulate(
  { stores }: Pick<OperatorContext, "stores">,
  changed: KubeObject,
): string[] {
  const { namespace, name, labels = {}, ownerReferences = [] } = changed.metadata;
  if (changed.kind === "PersistentVolumeClaim") {
    if (isPopulated(changed as PersistentVolumeClaim)) return [`${namespace}/${name}`];
    if (labels[LABEL.populatorClaimFor] === undefined) return [];
    return ownerReferences
      .filter((owner) => owner.kind === changed.kind)
      .map((owner) => `${namespace}/${owner.name}`);
  }
  const from =
    changed.kind === "ReplicationDestination"
      ? [name]
      : ownerReferences
          .filter((each) => each.kind === "ReplicationDestination")
          .map((each) => each.name);
  const held = Object.keys(labels).map((key) => key.slice(LABEL.populatorClaimPrefix.length));
  return stores.claims
    .list(namespace)
    .filter(isPopulated)
    .filter(({ spec, metadata }) => {
      return from.includes(spec.dataSourceRef?.name ?? "") || held.includes(metadata.uid ?? "-");
    })
    .map(({ metadata }) => `${namespace}/${metadata.name}`);
}

/** One look at a claim. Failures are told on it and thrown. */
export async function reconcilePopulated(
  context: OperatorContext,
  key: string,
): Promise<{ recheck?: number | undefined }> {
  const [namespace, name = ""] = key.split("/");
  const claim = context.stores.claims.get(namespace, name);
  if (claim === undefined || claim.metadata.deletionTimestamp !== undefined) return {};
  const { apiGroup, kind: from, namespace: elsewhere } = claim.spec.dataSourceRef ?? {};
  if (apiGroup !== VOLSYNC_GROUP || from !== "ReplicationDestination") return {};
  if (elsewhere !== undefined && elsewhere !== namespace) return {};
  try {
    const step = isPopulating(claim)
      ? await populate(context, claim)
      : await finish(context, claim);
    return "waiting" in step ? { recheck: step.waiting.recheck } : {};
  } catch (error) {
    if (
      isHoldfastError(
        error,
        "VOLUME_NOT_READY",
        "CLUSTER_EXISTS",
        "CLUSTER_DENIED",
        "CLUSTER_INVALID",
      )
    ) {
      tellOnce(context, {
        owner: claim,
        type: "Warning",
        reason: "VolSyncPopulatorError",
        action: ACTION,
        message: error.hint === undefined ? error.message : `${error.message}. ${error.hint}`,
      });
    }
    throw error;
  }
}

async function populate(
  context: OperatorContext,
  claim: PersistentVolumeClaim,
): Promise<Step<void>> {
  if (!(await hasNode(context, claim))) {
    return wait("WaitingForFirstConsumer", "a pod that uses the claim is to be scheduled first");
  }
  const prime = await findPrime(context, claim);
  if (prime === "leaving") return wait("WaitingForRemoval", "an old helper claim is being removed");
  // From here on the image is the one that the helper claim was made from, whatever the next restore brings.
  if (prime !== undefined) return await handOver(context, claim, prime);
  const found = await latestImage(context, claim);
  if (!("ready" in found)) return found;
  const snapshot = found.ready;
  const { namespace, name, uid } = claim.metadata;
  const now = await context.api.get(CLAIM, { namespace, name }, { signal: context.signal });
  if (now?.metadata.uid !== uid || now?.spec.volumeName !== undefined) {
    return wait("WaitingForBinding", "the claim is another one by now, or has its volume");
  }
  await holdImage(context, claim, snapshot);
  await makePrime(context, claim, snapshot.metadata.name);
  return wait(
    "WaitingForVolume",
    `a volume is being made from VolumeSnapshot ${snapshot.metadata.name}`,
  );
}

/** A volume that waits for its first pod is made where that pod will be. */
async function hasNode(context: OperatorContext, claim: PersistentVolumeClaim): Promise<boolean> {
  if (claim.metadata.annotations?.[ANNOTATION.selectedNode] !== undefined) return true;
  return await bindsAtOnce(context, claim);
}

async function latestImage(
  context: OperatorContext,
  claim: PersistentVolumeClaim,
): Promise<Step<VolumeSnapshot>> {
  const { api, signal } = context;
  const { namespace } = claim.metadata;
  const name = claim.spec.dataSourceRef?.name ?? "";
  const destination = await api.get(REPLICATION_DESTINATION, { namespace, name }, { signal });
  if (destination === undefined) {
    return missing(
      context,
      claim,
      "VolSyncPopulatorReplicationDestinationMissing",
      `there is no ReplicationDestination ${name} in namespace ${namespace}: the claim is populated once it is there and has restored. Where the name is wrong, make the claim anew: its dataSourceRef cannot be changed`,
    );
  }
  const image = destination.status?.latestImage;
  if (image === undefined) {
    const message = `ReplicationDestination ${name} has no image yet: it is populated when the restore has ended`;
    return missing(context, claim, "VolSyncPopulatorReplicationDestinationNoLatestImage", message);
  }
  if (image.kind !== "VolumeSnapshot") {
    throw new HoldfastError(
      "VOLUME_NOT_READY",
      `ReplicationDestination ${name} leaves no VolumeSnapshot to populate from`,
      { hint: "Set its copyMethod to Snapshot" },
    );
  }
  const snapshot = await api.get(VOLUME_SNAPSHOT, { namespace, name: image.name }, { signal });
  if (snapshot === undefined) {
    throw new HoldfastError(
      "VOLUME_NOT_READY",
      `VolumeSnapshot ${image.name}, the latest image of ReplicationDestination ${name}, is gone`,
      { hint: "Trigger the ReplicationDestination again" },
    );
  }
  if (snapshot.metadata.deletionTimestamp !== undefined) {
    return wait("WaitingForImage", `VolumeSnapshot ${image.name} is being removed`);
  }
  refuseNothing(context, { claim, destination, snapshot });
  return snapshotReady(context, claim, snapshot);
}

/** An image of a restore that found nothing makes an empty volume, whose backup then replaces the good ones. */
function refuseNothing(
  context: OperatorContext,
  {
    claim,
    destination,
    snapshot,
  }: {
    readonly claim: PersistentVolumeClaim;
    readonly destination: ReplicationDestination;
    readonly snapshot: VolumeSnapshot;
  },
): void {
  if (snapshot.metadata.annotations?.[VOLUME_ANNOTATION.restored] !== NOTHING) return;
  const by = `ReplicationDestination ${destination.metadata.name}`;
  const mode = destination.metadata.annotations?.[ANNOTATION.mode] ?? context.settings.defaultMode;
  if (mode !== "compat") {
    throw new HoldfastError(
      "VOLUME_NOT_READY",
      `${by} found no snapshot to restore, so its image is empty and no volume is made from it`,
      {
        hint: `Check the repository in its Secret, or set its annotation ${ANNOTATION.mode} to compat to begin with an empty volume`,
      },
    );
  }
  tellOnce(context, {
    owner: claim,
    type: "Warning",
    reason: "PopulatedWithNothing",
    action: ACTION,
    message: `${by} found no snapshot to restore: this volume begins empty. If there should be a backup, check the repository in its Secret`,
    related: snapshot,
  });
}

async function handOver(
  context: OperatorContext,
  claim: PersistentVolumeClaim,
  prime: PersistentVolumeClaim,
): Promise<Step<void>> {
  const { api, signal } = context;
  if (prime.spec.volumeName === undefined) {
    const step = await bound(context, claim, prime);
    return "waiting" in step ? step : wait("WaitingForVolume", "the volume is being made");
  }
  const name = prime.spec.volumeName;
  const volume = await api.get(PERSISTENT_VOLUME, { name }, { signal });
  if (volume === undefined) {
    throw new HoldfastError(
      "VOLUME_NOT_READY",
      `PersistentVolume ${name} of the helper claim is gone`,
      {
        hint: `kubectl delete pvc -n ${prime.metadata.namespace} ${prime.metadata.name}, and it is made again`,
      },
    );
  }
  const { uid } = claim.metadata;
  if (volume.spec.claimRef?.uid !== uid) await bindTo(context, { claim, prime, volume });
  return wait("WaitingForBinding", `PersistentVolume ${name} is being bound`);
}

async function bindTo(
  { api, signal }: OperatorContext,
  {
    claim,
    prime,
    volume,
  }: {
    readonly claim: PersistentVolumeClaim;
    readonly prime: PersistentVolumeClaim;
    readonly volume: PersistentVolume;
  },
): Promise<void> {
  const { name, resourceVersion } = volume.metadata;
  if (volume.spec.claimRef?.uid !== prime.metadata.uid) {
    throw new HoldfastError(
      "VOLUME_NOT_READY",
      `PersistentVolume ${name} belongs to another claim than the helper claim ${prime.metadata.name}`,
      { hint: `kubectl describe pv ${name}` },
    );
  }
  const { namespace, name: claimName, uid, resourceVersion: version } = claim.metadata;
  const patch = {
    metadata: {
      resourceVersion,
      annotations: { [ANNOTATION.populatedFrom]: `${namespace}/${prime.spec.dataSource?.name}` },
    },
    spec: {
      claimRef: {
        apiVersion: "v1",
        kind: "PersistentVolumeClaim",
        namespace,
        name: claimName,
        uid,
        resourceVersion: version,
      },
    },
  };
  await api.patch(PERSISTENT_VOLUME, { name }, patch, { type: "merge", signal });
}

/** The claim has its volume: the helper claim goes once it has lost it, and then the hold on the image. */
async function finish(context: OperatorContext, claim: PersistentVolumeClaim): Promise<Step<void>> {
  const { api, signal } = context;
  // Bound is final: there is nothing more to ask once the helper claim is in no cache.
  if (claim.status?.phase !== "Bound") return wait("WaitingForBinding", "the claim is being bound");
  const { namespace } = claim.metadata;
  const image = heldImage(context, claim);
  if (context.stores.claims.get(namespace, primeName(claim)) !== undefined) {
    const prime = await findPrime(context, claim);
    if (prime !== undefined && prime !== "leaving") {
      // One with another volume is of no use: the claim has got its own elsewhere.
      const isHandedOver = prime.spec.volumeName === claim.spec.volumeName;
      if (isHandedOver && prime.status?.phase !== "Lost") {
        return wait("WaitingForBinding", "the helper claim is to lose the volume first");
      }
      const { name, uid } = prime.metadata;
      await api.delete(CLAIM, { namespace, name }, { uid, signal });
      if (isHandedOver) {
        tell(context, {
          owner: claim,
          type: "Normal",
          reason: "VolSyncPopulatorFinished",
          action: ACTION,
          message: `populated from VolumeSnapshot ${prime.spec.dataSource?.name}`,
        });
      }
      if (prime.spec.dataSource !== undefined) {
        await releaseImage(context, claim, prime.spec.dataSource.name);
      }
      return { ready: undefined };
    }
  }
  if (image !== undefined) await releaseImage(context, claim, image);
  return { ready: undefined };
}

/** The image that still bears the claim's mark. */
function heldImage(
  { stores }: OperatorContext,
  { metadata }: PersistentVolumeClaim,
): string | undefined {
  const mark = `${LABEL.populatorClaimPrefix}${metadata.uid}`;
  const held = stores.snapshots
    .list(metadata.namespace)
    .find((snapshot) => snapshot.metadata.labels?.[mark] !== undefined);
  return held?.metadata.name;
}

function missing(
  context: OperatorContext,
  owner: PersistentVolumeClaim,
  reason: string,
  message: string,
): Step<never> {
  tellOnce(context, { owner, type: "Warning", reason, action: ACTION, message });
  return wait(reason, message);
}

function wait(reason: string, message: string): Step<never> {
  return { waiting: { reason, message } };
}
