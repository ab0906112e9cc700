// The reference by which an object goes when the resource it belongs to goes.

import type { KubeObject, OwnerReference } from "../cluster/kube-object.ts";

/** The controlling reference to `owner`, which is in the cluster already. */
export function ownedBy({ apiVersion, kind, metadata }: KubeObject): OwnerReference {
  return {
    apiVersion,
    kind,
    name: metadata.name,
    uid: metadata.uid ?? "",
    controller: true,
    blockOwnerDeletion: true,
  };
}

/** True when `owner` controls the object. */
export function isOwnedBy(object: KubeObject, owner: KubeObject): boolean {
  const { uid } = owner.metadata;
  const references = object.metadata.ownerReferences ?? [];
  return uid !== undefined && references.some((each) => each.uid === uid);
}
