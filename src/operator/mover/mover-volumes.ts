// What is mounted into a mover's pod, and where: the data, the cache, what the user adds below /mnt, and the files of secrets.

import { HoldfastError } from "../../base/errors.ts";
import type { PersistentVolumeClaim, Volume, VolumeMount } from "../cluster/kube-object.ts";
import { PLACE } from "../mover-variables.ts";
import type { Role } from "../names.ts";
import { GOOGLE_CREDENTIALS } from "./environment.ts";
import type { ExtraVolume, MoverFields } from "./owner.ts";
import type { MoverSecret } from "./secret.ts";

export interface Mounts {
  readonly volumes: Volume[];
  readonly mounts: VolumeMount[];
}

/** Where the cache is: on a claim, or in a directory that goes with the pod. */
export type MoverCache =
  | { readonly claim: PersistentVolumeClaim }
  | { readonly emptyDir: { readonly sizeLimit?: string | undefined } };

export interface MountInput {
  readonly role: Role;
  readonly fields: MoverFields;
  readonly secret: MoverSecret;
  readonly volume: { readonly claim: PersistentVolumeClaim; readonly readOnly: boolean };
  readonly cache: MoverCache | undefined;
}

/** Read by the mover's user, whoever that is: without an fsGroup such files belong to root alone. Nobody writes. */
const SECRET_MODE = 0o444;

/** All volumes and mounts of the pod. RESOURCE_INVALID for a mountPath that leads elsewhere. */
export function moverMounts(input: MountInput): Mounts {
  const volumes: Volume[] = [];
  const mounts: VolumeMount[] = [];
  const add = (volume: Volume, mountPath: string, readOnly = false): void => {
    volumes.push(volume);
    mounts.push({ name: volume.name, mountPath, ...(readOnly && { readOnly }) });
  };
  const { role, fields, secret, volume, cache } = input;
  const { claim, readOnly } = volume;
  const claimName = claim.metadata.name;
  add(
    { name: "data", persistentVolumeClaim: { claimName, ...(readOnly && { readOnly }) } },
    PLACE.data,
    // A backup writes nothing, and may so mount what the application is using.
    readOnly || role === "source",
  );
  if (cache !== undefined) add({ name: "cache", ...cacheSource(cache) }, PLACE.cache);
  add({ name: "tempdir", emptyDir: { medium: "Memory" } }, PLACE.temporary);
  if (secret.keys.includes(GOOGLE_CREDENTIALS)) {
    const items = [{ key: GOOGLE_CREDENTIALS, path: "gcs.json" }];
    const source = { secretName: secret.name, defaultMode: SECRET_MODE, items };
    add({ name: "gcs-credentials", secret: source }, PLACE.credentials, true);
  }
  const authorities = customCaSource(fields);
  if (authorities !== undefined) {
    add({ name: "custom-ca", ...authorities }, PLACE.customCa.replace(/\/[^/]+$/, ""), true);
  }
  for (const extra of fields.moverVolumes ?? []) addExtra(extra, add);
  return { volumes, mounts };
}

/** True when certificates of authorities are mounted. */
export function hasCustomCa(fields: MoverFields): boolean {
  return customCaSource(fields) !== undefined;
}

function cacheSource(cache: MoverCache): Omit<Volume, "name"> {
  if ("claim" in cache) {
    return { persistentVolumeClaim: { claimName: cache.claim.metadata.name } };
  }
  const { sizeLimit } = cache.emptyDir;
  return { emptyDir: sizeLimit === undefined ? {} : { sizeLimit } };
}

/** The Secret is preferred; without a key there is nothing to mount. */
function customCaSource({ customCA }: MoverFields): Omit<Volume, "name"> | undefined {
  const { secretName, configMapName, key } = customCA ?? {};
  if (!key) return undefined;
  const items = [{ key, path: "ca.crt" }];
  if (secretName) return { secret: { secretName, items, defaultMode: SECRET_MODE } };
  if (configMapName) return { configMap: { name: configMapName, items } };
  return undefined;
}

function addExtra(
  { mountPath, volumeSource }: ExtraVolume,
  add: (volume: Volume, mountPath: string, readOnly?: boolean) => void,
): void {
  const parts = mountPath.split("/").filter((part) => part !== "" && part !== ".");
  const path = parts.join("/");
  if (path === "" || parts.includes("..") || /[:\0]/.test(path)) {
    throw new HoldfastError(
      "RESOURCE_INVALID",
      `moverVolumes: mountPath ${JSON.stringify(mountPath)} is not a path below ${PLACE.mounts}`,
      { hint: "Give a name such as `repo`: it is mounted at /mnt/repo." },
    );
  }
  const { secret, persistentVolumeClaim: claim, nfs } = volumeSource;
  const name = `u-${parts.join("-")}`;
  const at = `${PLACE.mounts}/${path}`;
  const secretName = secret?.secretName;
  if (secretName !== undefined) add({ name, secret: { ...secret, secretName } }, at, true);
  else if (claim !== undefined) add({ name, persistentVolumeClaim: claim }, at, claim.readOnly);
  else if (nfs !== undefined) add({ name, nfs }, at, nfs.readOnly);
  else {
    throw new HoldfastError(
      "RESOURCE_INVALID",
      `moverVolumes: ${JSON.stringify(mountPath)} has no volumeSource that is known`,
      { hint: "Give secret, persistentVolumeClaim or nfs." },
    );
  }
}
