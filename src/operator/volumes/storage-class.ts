// Which storage class serves a claim, and whether its volumes are made at once or for the first pod. Who may not read storage
// classes goes without these checks: the API server and the provisioner still have the last word.

import { HoldfastError, isHoldfastError } from "../../base/errors.ts";
import { STORAGE_CLASS } from "../cluster/kinds.ts";
import type { PersistentVolumeClaim, StorageClass } from "../cluster/kube-object.ts";
import type { OperatorContext } from "../context.ts";

const DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class";

/** `unknown`: we may not look. `absent`: there is none of that name, or no default where none is named. */
export type ClassFound = { readonly class: StorageClass } | "absent" | "unknown";

/** The class called `name`, or the cluster's default one. */
export async function findStorageClass(
  { api, signal }: OperatorContext,
  name: string | undefined,
): Promise<ClassFound> {
  try {
    if (name !== undefined) {
      const found = await api.get(STORAGE_CLASS, { name }, { signal });
      return found === undefined ? "absent" : { class: found };
    }
    const { items } = await api.list(STORAGE_CLASS, { signal });
    const found = items.find(({ metadata }) => metadata.annotations?.[DEFAULT_CLASS] === "true");
    return found === undefined ? "absent" : { class: found };
  } catch (error) {
    if (isHoldfastError(error, "CLUSTER_DENIED")) return "unknown";
    throw error;
  }
}

/** Throws VOLUME_NOT_READY when no class can serve a claim that is to be made. An empty name asks for a volume made by hand. */
export async function requireStorageClass(
  context: OperatorContext,
  { name, field }: { readonly name: string | undefined; readonly field: string },
): Promise<void> {
  if (name === "") return;
  if ((await findStorageClass(context, name)) !== "absent") return;
  throw name === undefined
    ? new HoldfastError("VOLUME_NOT_READY", "the cluster has no default StorageClass", {
        hint: `Set ${field} to one of \`kubectl get storageclass\``,
      })
    : new HoldfastError("VOLUME_NOT_READY", `there is no StorageClass ${JSON.stringify(name)}`, {
        hint: `Set ${field} to one of \`kubectl get storageclass\``,
      });
}

/** True when the claim gets its volume without a pod that uses it. */
export async function bindsAtOnce(
  context: OperatorContext,
  { spec }: PersistentVolumeClaim,
): Promise<boolean> {
  if (!spec.storageClassName) return false;
  const found = await findStorageClass(context, spec.storageClassName);
  return typeof found === "object" && found.class.volumeBindingMode !== "WaitForFirstConsumer";
}
