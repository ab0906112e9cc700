// Where a mover keeps the repository's cache: on a claim that stays from run to run, or, where no storage class can serve one, in
// a directory that goes with the pod. A cache never stands in the way of a backup.

import type { AccessMode, PersistentVolumeClaim } from "../cluster/kube-object.ts";
import type { OperatorContext, Step } from "../context.ts";
import { cacheClaimName } from "../names.ts";
import type { Role } from "../names.ts";
import type { ReplicationDestination } from "../resources/replication-destination.ts";
import type { ReplicationSource } from "../resources/replication-source.ts";
import type { RunPlan } from "../run-plan.ts";
import { bound, keepClaim, leaving, makeClaim, ourClaim } from "./claims.ts";
import { findStorageClass } from "./storage-class.ts";
import { tellOnce } from "./told.ts";
import type { CacheVolume } from "./volume.ts";

const DEFAULT_CAPACITY = "1Gi";

/** The cache of the mover. It is cleaned up with a destination's runs where that is asked for, never with a source's. */
export async function ensureCache(
  context: OperatorContext,
  owner: ReplicationSource | ReplicationDestination,
  role: Role,
  _plan: RunPlan,
): Promise<Step<CacheVolume>> {
  const restic: ReplicationDestination["spec"]["restic"] = owner.spec.restic ?? {};
  const name = cacheClaimName(role, owner.metadata.name);
  const temporary = role === "destination" && restic.cleanupCachePVC === true;
  const size = restic.cacheCapacity ?? DEFAULT_CAPACITY;
  const found = await ourClaim(context, owner, name);
  if (found === "leaving") return leaving("cache", name);
  let claim = found;
  if (claim === undefined) {
    const storageClassName = restic.cacheStorageClassName ?? restic.storageClassName;
    if (
      (await findStorageClass(context, storageClassName)) === "absent" &&
      storageClassName !== ""
    ) {
      return { ready: withoutClaim(context, owner, storageClassName) };
    }
    const accessModes = writable(
      restic.cacheAccessModes ?? restic.accessModes ?? dataModes(context, owner),
    );
    claim = await makeClaim(context, owner, {
      name,
      temporary,
      size,
      accessModes,
      storageClassName,
    });
    if (claim === undefined) {
      const message = `PersistentVolumeClaim ${name} was made just now`;
      return { waiting: { reason: "WaitingForCache", message, recheck: 1000 } };
    }
  } else claim = await keepClaim(context, owner, { claim, size, temporary });
  const step = await bound(context, owner, claim);
  return "ready" in step ? { ready: { claim: step.ready } } : step;
}

function withoutClaim(
  context: OperatorContext,
  owner: ReplicationSource | ReplicationDestination,
  storageClassName: string | undefined,
): CacheVolume {
  const why =
    storageClassName === undefined
      ? "the cluster has no default StorageClass"
      : `there is no StorageClass ${JSON.stringify(storageClassName)}`;
  tellOnce(context, {
    owner,
    type: "Warning",
    reason: "CacheNotKept",
    action: "CreatePersistentVolumeClaim",
    message: `the cache goes with the mover's pod, because ${why}: set cacheStorageClassName to keep it from run to run`,
  });
  return { emptyDir: {} };
}

/** A copy that can only be read, as of CephFS, is no place for a cache. */
function writable(modes: readonly AccessMode[]): readonly AccessMode[] {
  const kept = modes.filter((mode) => mode !== "ReadOnlyMany");
  return kept.length === 0 ? ["ReadWriteOnce"] : kept;
}

function dataModes(
  { stores }: OperatorContext,
  { spec, metadata }: ReplicationSource | ReplicationDestination,
): readonly AccessMode[] {
  const restic: ReplicationDestination["spec"]["restic"] = spec.restic ?? {};
  const name = "sourcePVC" in spec ? spec.sourcePVC : restic.destinationPVC;
  const claim: PersistentVolumeClaim | undefined =
    name === undefined ? undefined : stores.claims.get(metadata.namespace, name);
  return claim?.spec.accessModes ?? [];
}
