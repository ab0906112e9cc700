// Owner references: what makes an object go when its owner goes, and what tells our objects from those of others.

import type { KubeObject, OwnerReference } from "./kube-object.ts";

/** The reference of a controller to what it makes. Throws nothing: the owner must come from the server, with its UID. */
export function controllerReference(owner: KubeObject): OwnerReference {
  const { name, uid = "" } = owner.metadata;
  const { apiVersion, kind } = owner;
  return { apiVersion, kind, name, uid, controller: true, blockOwnerDeletion: true };
}

/** Whether `owner` is the controller of `object`. Names do not count: a resource that was made anew is another one. */
export function isControlledBy(object: KubeObject, owner: KubeObject): boolean {
  const { uid } = owner.metadata;
  return uid !== undefined && controllerOf(object)?.uid === uid;
}

/** The reference to the one controller; undefined when there is none. */
export function controllerOf(object: KubeObject): OwnerReference | undefined {
  return object.metadata.ownerReferences?.find(({ controller }) => controller === true);
}

/** Whether `owner` is among the owners, controller or not. */
export function isOwnedBy(object: KubeObject, owner: KubeObject): boolean {
  const { uid } = owner.metadata;
  return object.metadata.ownerReferences?.some((reference) => reference.uid === uid) ?? false;
}
