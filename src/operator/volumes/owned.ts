// Whose an object is. What the operator makes names its resource as the controller, so that it goes with it; what bears one of
// our names and is somebody else's is never touched.

import { HoldfastError } from "../../base/errors.ts";
import type { KubeObject, ObjectMeta } from "../cluster/kube-object.ts";
import { controllerOf, controllerReference, isControlledBy } from "../cluster/owner.ts";
import { CREATED_BY, LABEL } from "../names.ts";

/** Metadata of an object that belongs to `owner`; `temporary`: it goes at the end of the run. */
export function ownedMetadata(
  owner: KubeObject,
  { name, temporary, annotations }: OwnedMetadata,
): ObjectMeta {
  const { namespace, uid = "" } = owner.metadata;
  return {
    name,
    ...(namespace !== undefined && { namespace }),
    labels: { [LABEL.createdBy]: CREATED_BY, ...(temporary && { [LABEL.cleanup]: uid }) },
    ...(annotations && { annotations }),
    ownerReferences: [controllerReference(owner)],
  };
}

interface OwnedMetadata {
  readonly name: string;
  readonly temporary: boolean;
  readonly annotations?: Record<string, string>;
}

export type Standing =
  /** It can be used. */
  | "ours"
  /** It is on its way out: to wait for. */
  | "leaving";

/**
 * What to do with an object that bears a name of ours. One that an earlier resource of the same name made goes by the garbage
 * collector. Throws CLUSTER_EXISTS for one that is somebody else's.
 */
export function standingOf(object: KubeObject, owner: KubeObject): Standing {
  if (object.metadata.deletionTimestamp !== undefined) return "leaving";
  if (isControlledBy(object, owner)) return "ours";
  const other = controllerOf(object);
  if (other?.kind === owner.kind && other.name === owner.metadata.name) return "leaving";
  const { kind, metadata } = object;
  const whose = other === undefined ? "has no owner" : `belongs to ${other.kind} ${other.name}`;
  throw new HoldfastError(
    "CLUSTER_EXISTS",
    `${kind} ${metadata.namespace}/${metadata.name} ${whose}, and ${owner.kind} ${owner.metadata.name} needs that name`,
    { hint: `Remove or rename ${kind} ${metadata.name}; it is not touched until then` },
  );
}
