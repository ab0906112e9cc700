// Claims: those of the user, which are looked up and never changed but for VolSync's annotations, and those that we make.

import { HoldfastError, isHoldfastError } from "../../base/errors.ts";
import { CLAIM } from "../cluster/kinds.ts";
import type {
  AccessMode,
  KubeObject,
  ObjectReference,
  PersistentVolumeClaim,
} from "../cluster/kube-object.ts";
import type { OperatorContext, Step } from "../context.ts";
import { LABEL } from "../names.ts";
import { compareQuantities } from "../resources/quantity.ts";
import { makeOwned, ownedMetadata, standingOf } from "./owned.ts";
import { bindsAtOnce } from "./storage-class.ts";
import { ageOf, tellOnce } from "./told.ts";

/** As VolSync: after this long a claim that is not bound is told of. */
const BOUND_WITHIN = 120_000;

/** The user's claim. Throws VOLUME_NOT_READY when there is none, or none that files can be in. */
export async function userClaim(
  context: OperatorContext,
  owner: KubeObject,
  { name, field }: { readonly name: string; readonly field: string },
): Promise<PersistentVolumeClaim> {
  const { namespace } = owner.metadata;
  // What is in no cache yet may have been made a moment ago, with the resource.
  const claim =
    context.stores.claims.get(namespace, name) ??
    (await context.api.get(CLAIM, { namespace, name }, { signal: context.signal }));
  if (claim === undefined) {
    throw new HoldfastError(
      "VOLUME_NOT_READY",
      `there is no PersistentVolumeClaim ${namespace}/${name}`,
      { hint: `Create it, or correct ${field} of ${owner.kind} ${owner.metadata.name}` },
    );
  }
  if (claim.spec.volumeMode === "Block") {
    throw new HoldfastError(
      "VOLUME_NOT_READY",
      `PersistentVolumeClaim ${namespace}/${name} is a raw block device, and holds no files`,
      { hint: "Name a claim with volumeMode Filesystem" },
    );
  }
  if (claim.metadata.deletionTimestamp !== undefined) {
    throw new HoldfastError(
      "VOLUME_NOT_READY",
      `PersistentVolumeClaim ${namespace}/${name} is being deleted`,
      { hint: "Nothing new can use it: wait until it is gone and made again", retryable: true },
    );
  }
  if (claim.status?.phase === "Lost") throw lost(claim);
  return claim;
}

function lost({ metadata, spec }: PersistentVolumeClaim): HoldfastError {
  return new HoldfastError(
    "VOLUME_NOT_READY",
    `PersistentVolumeClaim ${metadata.namespace}/${metadata.name} is Lost: its volume ${spec.volumeName ?? ""} is gone`,
    { hint: `kubectl describe pvc -n ${metadata.namespace} ${metadata.name}` },
  );
}

export interface NewClaim {
  readonly name: string;
  readonly temporary: boolean;
  readonly size: string | number;
  readonly accessModes: readonly AccessMode[];
  readonly storageClassName: string | undefined;
  readonly dataSource?: ObjectReference;
  readonly annotations?: Record<string, string>;
  /** What it is made from, for the event. */
  readonly from?: string;
}

/** Our claim of that name as the API server has it now: a cache may still show one that we removed. */
export async function ourClaim(
  { api, signal }: OperatorContext,
  owner: KubeObject,
  name: string,
): Promise<PersistentVolumeClaim | "leaving" | undefined> {
  const { namespace } = owner.metadata;
  const claim = await api.get(CLAIM, { namespace, name }, { signal });
  if (claim === undefined) return undefined;
  return standingOf(claim, owner) === "leaving" ? "leaving" : claim;
}

/** Creates the claim. Undefined when one was made in between: look again. */
export async function makeClaim(
  context: OperatorContext,
  owner: KubeObject,
  wanted: NewClaim,
): Promise<PersistentVolumeClaim | undefined> {
  const { name, temporary, annotations, storageClassName, dataSource, from } = wanted;
  const claim: PersistentVolumeClaim = {
    apiVersion: "v1",
    kind: "PersistentVolumeClaim",
    metadata: ownedMetadata(owner, { name, temporary, ...(annotations && { annotations }) }),
    spec: {
      accessModes: [...wanted.accessModes],
      resources: { requests: { storage: String(wanted.size) } },
      volumeMode: "Filesystem",
      ...(storageClassName !== undefined && { storageClassName }),
      ...(dataSource && { dataSource }),
    },
  };
  return await makeOwned(context, CLAIM, {
    owner,
    object: claim,
    ...(from !== undefined && { from }),
  });
}

/** The wait for something of ours that bears the name and is on its way out. */
export function leaving(what: string, name: string): Step<never> {
  return {
    waiting: {
      reason: "WaitingForRemoval",
      message: `the old ${what} ${name} is being removed`,
    },
  };
}

/**
 * Waits until the claim has its volume, where that comes without a pod; one that comes with the first pod is ready for it.
 * Throws VOLUME_NOT_READY when it has lost its volume.
 */
export async function bound(
  context: OperatorContext,
  owner: KubeObject,
  claim: PersistentVolumeClaim,
): Promise<Step<PersistentVolumeClaim>> {
  const phase = claim.status?.phase;
  if (phase === "Lost") throw lost(claim);
  if (phase === "Bound") return { ready: claim };
  const age = ageOf(claim, context);
  const { name } = claim.metadata;
  if (age >= BOUND_WITHIN) {
    tellOnce(context, {
      owner,
      type: "Warning",
      reason: "PersistentVolumeClaimNotBound",
      action: "CreatePersistentVolumeClaim",
      message: `PersistentVolumeClaim ${name} is not bound after ${Math.floor(age / 1000)} s: check its StorageClass and what the CSI driver can do (kubectl describe pvc ${name})`,
      related: claim,
    });
  }
  if (!(await bindsAtOnce(context, claim))) return { ready: claim };
  return {
    waiting: {
      reason: "PersistentVolumeClaimNotBound",
      message: `PersistentVolumeClaim ${name} is not bound to a volume yet`,
      ...(age < BOUND_WITHIN ? { recheck: BOUND_WITHIN - age } : { late: true }),
    },
  };
}

/**
 * Follows a changed specification: the cleanup label, and a larger size where the storage class lets a bound claim grow.
 * Never shrinks, and never fails because growing is refused.
 */
export async function keepClaim(
  context: OperatorContext,
  owner: KubeObject,
  {
    claim,
    size,
    temporary,
  }: {
    readonly claim: PersistentVolumeClaim;
    readonly size: string | number | undefined;
    readonly temporary: boolean;
  },
): Promise<PersistentVolumeClaim> {
  const { api, signal } = context;
  const { namespace, name, labels } = claim.metadata;
  const { uid = "" } = owner.metadata;
  let kept = claim;
  const label = labels?.[LABEL.cleanup];
  if ((label === uid) !== temporary) {
    const patch = { metadata: { labels: { [LABEL.cleanup]: temporary ? uid : null } } };
    kept = await api.patch(CLAIM, { namespace, name }, patch, { type: "merge", signal });
  }
  const requested = claim.spec.resources?.requests?.["storage"];
  if (size === undefined || requested === undefined || claim.status?.phase !== "Bound") return kept;
  if (compareQuantities(size, requested) <= 0) return kept;
  try {
    const patch = { spec: { resources: { requests: { storage: String(size) } } } };
    return await api.patch(CLAIM, { namespace, name }, patch, { type: "merge", signal });
  } catch (error) {
    if (!isHoldfastError(error, "CLUSTER_INVALID", "CLUSTER_DENIED")) throw error;
    tellOnce(context, {
      owner,
      type: "Warning",
      reason: "PersistentVolumeClaimNotResized",
      action: "ResizePersistentVolumeClaim",
      message: `PersistentVolumeClaim ${name} stays at ${requested}: ${error.message}`,
      related: claim,
    });
    return kept;
  }
}

export function isReadOnly({ spec }: PersistentVolumeClaim): boolean {
  const modes = spec.accessModes ?? [];
  return modes.length > 0 && modes.every((mode) => mode === "ReadOnlyMany");
}
