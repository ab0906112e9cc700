// Secrets that a mover mounts besides the repository's: authorities to trust, and what moverVolumes names. Where one is not there,
// or lacks a key, the kubelet waits for it, and says so in Events alone: the pod's status says what it says of every pod that is being
// made. So they are looked at before the mover is made. ConfigMaps are not: nothing else asks for the right to read them.

import { HoldfastError } from "../../base/errors.ts";
import { SECRET } from "../cluster/kinds.ts";
import type { OperatorContext } from "../context.ts";
import type { MoverFields, MoverOwner } from "./owner.ts";

export interface MountedSecret {
  readonly field: string;
  readonly name: string;
  /** What is mounted of it; none: all. */
  readonly keys: readonly string[];
}

/** Throws SECRET_INVALID, with the field that names it, for one without which the mover's pod would never start; CLUSTER_*. */
export async function requireMountedSecrets(
  { api, signal }: Pick<OperatorContext, "api" | "signal">,
  { metadata: { namespace }, spec }: MoverOwner,
): Promise<void> {
  for (const { field, name, keys } of mountedSecrets(spec.restic ?? {})) {
    const secret = await api.get(SECRET, { namespace, name }, { signal });
    if (secret === undefined) {
      throw new HoldfastError(
        "SECRET_INVALID",
        `${field}: there is no Secret ${namespace}/${name}`,
        {
          hint: `Apply it in the namespace of the resource, or correct ${field}.`,
          retryable: true,
        },
      );
    }
    const missing = keys.filter((key) => !Object.hasOwn(secret.data ?? {}, key));
    if (missing.length === 0) continue;
    const words = missing.map((key) => JSON.stringify(key)).join(", ");
    throw new HoldfastError(
      "SECRET_INVALID",
      `${field}: Secret ${namespace}/${name} has no ${words}`,
      {
        hint: `Add it to the Secret, or correct ${field}.`,
        retryable: true,
      },
    );
  }
}

/** Those without which the mover's pod would not start. */
export function mountedSecrets({ customCA, moverVolumes = [] }: MoverFields): MountedSecret[] {
  const found: MountedSecret[] = [];
  const { secretName, key } = customCA ?? {};
  // Without a key nothing is mounted (mover-volumes.ts).
  if (secretName && key) found.push({ field: "customCA", name: secretName, keys: [key] });
  for (const { mountPath, volumeSource } of moverVolumes) {
    const { secretName: name, optional, items = [] } = volumeSource.secret ?? {};
    if (!name || optional === true) continue;
    const keys = items.map((item) => item.key);
    found.push({ field: `moverVolumes ${mountPath}`, name, keys });
  }
  return found;
}
