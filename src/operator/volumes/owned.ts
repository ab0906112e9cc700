// Whose an object is. What the operator makes names its resource as the controller, so that it goes with it; what bears one of
// our names and is somebody else's is never touched.

import { HoldfastError, isHoldfastError } from "../../base/errors.ts";
import type { Kind } from "../cluster/kinds.ts";
import type { KubeObject, ObjectMeta } from "../cluster/kube-object.ts";
import { controllerOf, controllerReference, isControlledBy } from "../cluster/owner.ts";
import type { OperatorContext } from "../context.ts";
import { CREATED_BY, LABEL } from "../names.ts";
import { tell } from "./told.ts";

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

/** Creates the object and tells its owner what it was made from. Undefined when one was made in between: look again. */
export async function makeOwned<T extends KubeObject>(
  context: OperatorContext,
  kind: Kind<T>,
  {
    owner,
    object,
    from,
  }: { readonly owner: KubeObject; readonly object: T; readonly from?: string },
): Promise<T | undefined> {
  let made: T;
  try {
    made = await context.api.create(kind, object, { signal: context.signal });
  } catch (error) {
    if (isHoldfastError(error, "CLUSTER_EXISTS")) return undefined;
    throw error;
  }
  tell(context, {
    owner,
    type: "Normal",
    reason: `${kind.kind}Created`,
    action: `Create${kind.kind}`,
    message: `created ${kind.kind} ${object.metadata.name}${from === undefined ? "" : ` from ${from}`}`,
    related: made,
  });
  return made;
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
