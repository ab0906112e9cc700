// A volume that was made for a run that is over: a request of a process that lost its lease, or that was cut off, may be carried out when
// another one has ended that run already. Nobody would miss such a volume before the next run, nor remove it.

import type { KubeObject } from "../cluster/kube-object.ts";
import { isControlledBy } from "../cluster/owner.ts";
import type { OperatorContext } from "../context.ts";
import { cacheClaimName, destinationClaimName, LABEL, pointInTimeName } from "../names.ts";
import type { Role } from "../names.ts";
import type { Owner } from "./reconcile-context.ts";

/**
 * True when something that goes at the end of a run is there and is not about to go, as far as the stores know. It says nothing of
 * whether a run is under way.
 */
export function hasLeftOver(
  { stores: { claims, snapshots } }: Pick<OperatorContext, "stores">,
  owner: Owner,
  role: Role,
): boolean {
  const { namespace, name, uid } = owner.metadata;
  const names =
    role === "source"
      ? [pointInTimeName(name)]
      : [destinationClaimName(name), cacheClaimName(role, name)];
  const isLeftOver = (found: KubeObject | undefined): boolean =>
    found !== undefined &&
    found.metadata.deletionTimestamp === undefined &&
    found.metadata.labels?.[LABEL.cleanup] === uid &&
    isControlledBy(found, owner);
  return names.some(
    (each) => isLeftOver(claims.get(namespace, each)) || isLeftOver(snapshots.get(namespace, each)),
  );
}
