// A ReplicationDestination: a claim that a snapshot is restored to. What is particular to it; the rest is the same for both kinds
// (reconcile/).

import { HoldfastError } from "../base/errors.ts";
import { reconcile, type Looked } from "./reconcile/reconcile.ts";
import type { ReconcileContext, RolePart } from "./reconcile/reconcile-context.ts";
import {
  readReplicationDestination,
  REPLICATION_DESTINATION,
  type ReplicationDestination,
} from "./resources/replication-destination.ts";
import type { Problem } from "./signals/conditions.ts";
import { ensureCache } from "./volumes/cache.ts";
import { cleanUp } from "./volumes/clean-up.ts";
import { ensureDestinationVolume, targetClaimName } from "./volumes/destination-volume.ts";
import { inferIdentity } from "./volumes/identity.ts";
import { ensureImage } from "./volumes/image.ts";
import { mountedBy } from "./volumes/mounts.ts";

/** Looks at the destination under `namespace/name`, and does what is next. Throws only what passes by itself. */
export async function reconcileDestination(
  context: ReconcileContext,
  key: string,
): Promise<Looked> {
  return await reconcile(context, destinationPart(context), key);
}

function destinationPart(context: ReconcileContext): RolePart<ReplicationDestination> {
  return {
    role: "destination",
    kind: REPLICATION_DESTINATION,
    store: context.destinations,
    volumes: {
      volume: (destination, plan) => ensureDestinationVolume(context, destination, plan),
      cache: (destination, plan) => ensureCache(context, destination, "destination", plan),
      identity: (owner, rights) =>
        inferIdentity(context, { owner, claim: targetClaimName(owner), rights }),
      image: (destination, plan, restored) => ensureImage(context, destination, plan, restored),
      cleanUp: (destination, plan) => cleanUp(context, destination, plan),
    },
    read: readReplicationDestination,
    obstacle: (destination, { mode }) => {
      const usage = inUse(context, destination);
      if (usage === undefined || mode !== "safe") return Promise.resolve(undefined);
      const more = { hint: HINT, retryable: true };
      return Promise.reject(new HoldfastError("VOLUME_IN_USE", usage, more));
    },
    warning: (destination): Problem | undefined => {
      const usage = inUse(context, destination);
      if (usage === undefined) return undefined;
      return { reason: "VolumeInUse", message: `${usage}: it is written to all the same. ${HINT}` };
    },
  };
}

const HINT = "Scale down what mounts it while it is restored.";

/** Who has the claim mounted that is written to directly. */
function inUse(
  context: ReconcileContext,
  { metadata, spec }: ReplicationDestination,
): string | undefined {
  const name = spec.restic?.destinationPVC;
  const claim =
    name === undefined ? undefined : context.stores.claims.get(metadata.namespace, name);
  if (claim === undefined) return undefined;
  const pods = mountedBy(context, claim);
  if (pods.length === 0) return undefined;
  const names = pods.slice(0, 3).map((pod) => pod.metadata.name);
  return `PersistentVolumeClaim ${name} is mounted by ${names.join(", ")}`;
}
