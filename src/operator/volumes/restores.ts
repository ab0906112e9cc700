// Restores into a claim that are not at their end. A source waits for them: a backup of a half restored volume replaces the good
// ones before it.

import { REPLICATION_DESTINATION } from "../resources/replication-destination.ts";
import type { ReplicationDestination } from "../resources/replication-destination.ts";
import type { PersistentVolumeClaim } from "../cluster/kube-object.ts";
import type { OperatorContext } from "../context.ts";
import { VOLSYNC_GROUP } from "../names.ts";
import { targetClaimName } from "./destination-volume.ts";
import type { Restoring } from "./volume.ts";

/** Unfinished restores into the claim. `destinations`: those of its namespace, where they are known already. */
export async function restoresOf(
  context: OperatorContext,
  claim: PersistentVolumeClaim,
  destinations?: readonly ReplicationDestination[],
): Promise<Restoring[]> {
  const { namespace, name } = claim.metadata;
  const { api, signal } = context;
  const all =
    destinations ?? (await api.list(REPLICATION_DESTINATION, { namespace, signal })).items;
  const found: Restoring[] = [];
  for (const destination of all) {
    if (targetClaimName(destination) !== name || !isUnfinished(destination)) continue;
    const by = `ReplicationDestination ${destination.metadata.name}`;
    found.push({
      kind: "ReplicationDestination",
      name: destination.metadata.name,
      message: `${by} has not restored PersistentVolumeClaim ${name} to its end`,
    });
  }
  if (isPopulating(claim)) {
    found.push({
      kind: "PersistentVolumeClaim",
      name,
      message: `PersistentVolumeClaim ${name} is not populated yet from ReplicationDestination ${claim.spec.dataSourceRef?.name}`,
    });
  }
  return found;
}

/** True while a run is under way, or one is asked for that will be made. */
export function isUnfinished({ spec, status, metadata }: ReplicationDestination): boolean {
  if (spec?.restic === undefined || metadata.deletionTimestamp !== undefined) return false;
  if (status?.lastSyncStartTime !== undefined) return true;
  // Held before it began: the volume is as it was.
  if (spec.paused === true) return false;
  const { manual } = spec.trigger ?? {};
  if (manual) return manual !== status?.lastManualSync;
  return status?.lastSyncTime === undefined;
}

/** True for a claim that gets its data from a ReplicationDestination, and has none yet. */
export function isPopulating({ spec }: PersistentVolumeClaim): boolean {
  const { dataSourceRef: from, volumeName } = spec;
  if (from?.apiGroup !== VOLSYNC_GROUP || from.kind !== "ReplicationDestination") return false;
  return volumeName === undefined;
}
