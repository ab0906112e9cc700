// What a pod of the test cluster finds in its file system and environment: its volumes as directories, with the owners and modes
// that a kubelet gives them, and variables from Secrets, ConfigMaps and its own fields. Throws with the words of a kubelet's
// event when something is missing, which may yet come.

import { execFile } from "node:child_process";
import { chmod, chown, mkdir, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import type {
  ConfigMap,
  Container,
  KubeObject,
  PersistentVolumeClaim,
  Pod,
  Secret,
  Volume,
} from "../../../src/operator/cluster/kube-object.ts";
import type { ClusterLink } from "./cluster-link.ts";
import type { Mount } from "./container-process.ts";
import { claimsOf } from "./scheduler.ts";

const run = promisify(execFile);

export interface PodFiles {
  readonly link: ClusterLink;
  readonly pod: Pod;
  /** Of the pod: its own volumes are made here. */
  readonly folder: string;
  readonly directoryOfVolume: (volume: string) => string;
}

/** Directory of each volume, by its name. */
export async function prepareVolumes(files: PodFiles): Promise<Map<string, string>> {
  const directories = new Map<string, string>();
  for (const volume of files.pod.spec.volumes ?? []) {
    directories.set(volume.name, await prepare(files, volume));
  }
  return directories;
}

async function prepare(files: PodFiles, volume: Volume): Promise<string> {
  const { link, pod, folder, directoryOfVolume } = files;
  const namespace = pod.metadata.namespace ?? "";
  const own = join(folder, "volumes", volume.name);
  const { fsGroup, fsGroupChangePolicy } = pod.spec.securityContext ?? {};
  if (volume.persistentVolumeClaim !== undefined) {
    const { claimName } = volume.persistentVolumeClaim;
    const claim = await link.get<PersistentVolumeClaim>(
      `/api/v1/namespaces/${namespace}/persistentvolumeclaims/${claimName}`,
    );
    const bound = claim?.spec.volumeName;
    if (bound === undefined) throw new Error(`claim ${claimName} is not bound`);
    await refuseSecondNode(link, pod, claim!);
    const directory = directoryOfVolume(bound);
    if (fsGroup !== undefined) await giveToGroup(directory, fsGroup, fsGroupChangePolicy);
    return directory;
  }
  await mkdir(own, { recursive: true });
  if (volume.secret !== undefined) {
    const { secretName, optional, items, defaultMode = 0o644 } = volume.secret;
    const secret = await link.get<Secret>(`/api/v1/namespaces/${namespace}/secrets/${secretName}`);
    if (secret === undefined && optional !== true)
      throw new Error(`secret "${secretName}" not found`);
    await writeKeys(own, decoded(secret?.data), items, { fsGroup, mode: defaultMode });
  } else if (volume.configMap !== undefined) {
    const { name, optional, items } = volume.configMap;
    const map = await link.get<ConfigMap>(`/api/v1/namespaces/${namespace}/configmaps/${name}`);
    if (map === undefined && optional !== true) throw new Error(`configmap "${name}" not found`);
    const data = Object.entries(map?.data ?? {}).map(([key, text]) => [key, Buffer.from(text)]);
    await writeKeys(own, Object.fromEntries(data) as Record<string, Buffer>, items, { fsGroup });
  } else if (volume.emptyDir !== undefined) {
    await chmod(own, 0o777);
    if (fsGroup !== undefined) {
      await chown(own, 0, fsGroup);
      await chmod(own, 0o2777);
    }
  } else if (volume["projected"] !== undefined) {
    const { sources = [] } = volume["projected"] as { sources?: readonly Projection[] };
    for (const source of sources) await project(files, own, source);
  } else throw new Error(`volume ${volume.name} is of a kind that this cluster lacks`);
  return own;
}

/** What a projected volume is made of: that of a service account's token has all three. */
interface Projection {
  readonly serviceAccountToken?: { path: string; expirationSeconds?: number; audience?: string };
  readonly configMap?: { name: string; items?: readonly { key: string; path: string }[] };
  readonly downwardAPI?: { items?: readonly { path: string; fieldRef: { fieldPath: string } }[] };
}

async function project(
  { link, pod }: PodFiles,
  directory: string,
  { serviceAccountToken: token, configMap, downwardAPI }: Projection,
): Promise<void> {
  const { namespace = "", name, uid } = pod.metadata;
  const write = async (path: string, text: string): Promise<void> => {
    await writeFile(join(directory, path), text);
    await chmod(join(directory, path), 0o444);
  };
  if (token !== undefined) {
    const account = pod.spec.serviceAccountName ?? "default";
    const place = `/api/v1/namespaces/${namespace}/serviceaccounts/${account}/token`;
    const boundObjectRef = { apiVersion: "v1", kind: "Pod", name, uid };
    const { expirationSeconds = 3600, audience } = token;
    const audiences = audience === undefined ? [] : [audience];
    const made = await link.create<KubeObject & { status: { token: string } }>(place, {
      apiVersion: "authentication.k8s.io/v1",
      kind: "TokenRequest",
      spec: { expirationSeconds, boundObjectRef, audiences },
    });
    await write(token.path, made.status.token);
  }
  if (configMap !== undefined) {
    const place = `/api/v1/namespaces/${namespace}/configmaps/${configMap.name}`;
    const map = await link.get<ConfigMap>(place);
    if (map === undefined) throw new Error(`configmap "${configMap.name}" not found`);
    for (const { key, path } of configMap.items ?? []) await write(path, map.data?.[key] ?? "");
  }
  for (const { path, fieldRef } of downwardAPI?.items ?? [])
    await write(path, fieldOf(pod, fieldRef.fieldPath));
}

/** A volume that one node may have at a time is not attached to another one while a pod there has it. */
async function refuseSecondNode(
  link: ClusterLink,
  pod: Pod,
  claim: PersistentVolumeClaim,
): Promise<void> {
  const modes = claim.spec.accessModes ?? [];
  if (modes.includes("ReadWriteMany") || modes.includes("ReadOnlyMany")) return;
  const pods = await link.list<Pod>(`/api/v1/namespaces/${pod.metadata.namespace}/pods`);
  const holder = pods.find(
    (other) =>
      other.spec.nodeName !== undefined &&
      other.spec.nodeName !== pod.spec.nodeName &&
      other.status?.phase === "Running" &&
      claimsOf(other).includes(claim.metadata.name),
  );
  if (holder === undefined) return;
  throw new Error(
    `Multi-Attach error for volume "${claim.spec.volumeName}": already used by pod ${holder.metadata.name}`,
  );
}

async function writeKeys(
  directory: string,
  data: Readonly<Record<string, Buffer>>,
  items: readonly { key: string; path: string; mode?: number }[] | undefined,
  { fsGroup, mode = 0o644 }: { fsGroup?: number | undefined; mode?: number },
): Promise<void> {
  const wanted = items ?? Object.keys(data).map((key) => ({ key, path: key, mode: undefined }));
  for (const { key, path, mode: own } of wanted) {
    const content = data[key];
    if (content === undefined) throw new Error(`references non-existent secret key: ${key}`);
    const file = join(directory, path);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, content);
    // A group that may read is what fsGroup adds.
    await chmod(file, (own ?? mode) | (fsGroup === undefined ? 0 : 0o440));
    if (fsGroup !== undefined) await chown(file, 0, fsGroup);
  }
}

function decoded(data: Readonly<Record<string, string>> = {}): Record<string, Buffer> {
  return Object.fromEntries(
    Object.entries(data).map(([key, value]) => [key, Buffer.from(value, "base64")]),
  );
}

/** What fsGroup does to a volume: the group owns all of it, may read and write, and new files inherit it. */
async function giveToGroup(
  directory: string,
  group: number,
  policy: "Always" | "OnRootMismatch" | undefined,
): Promise<void> {
  const { gid, mode } = await stat(directory);
  if (policy === "OnRootMismatch" && gid === group && (mode & 0o2070) === 0o2070) return;
  const id = String(group);
  await run("chgrp", ["-R", "-h", id, directory]);
  await run("chmod", ["-R", "g+rwX", directory]);
  await run("find", [directory, "-type", "d", "-exec", "chmod", "g+s", "{}", "+"]);
}

/** Mounts of a container. */
export function mountsOf(
  pod: Pod,
  container: Container,
  directories: ReadonlyMap<string, string>,
): Mount[] {
  return (container.volumeMounts ?? []).map(({ name, mountPath, subPath, readOnly }) => {
    const directory = directories.get(name) ?? "";
    const volume = pod.spec.volumes?.find((each) => each.name === name);
    return {
      source: subPath === undefined ? directory : join(directory, subPath),
      target: mountPath,
      readOnly:
        readOnly === true ||
        volume?.persistentVolumeClaim?.readOnly === true ||
        volume?.secret !== undefined ||
        volume?.configMap !== undefined,
    };
  });
}

interface Reference {
  readonly secretKeyRef?: { name: string; key: string; optional?: boolean };
  readonly configMapKeyRef?: { name: string; key: string; optional?: boolean };
  readonly fieldRef?: { fieldPath: string };
}

/** The variables of a container. */
export async function environmentOf(
  { link, pod }: PodFiles,
  container: Container,
): Promise<Record<string, string>> {
  const namespace = `/api/v1/namespaces/${pod.metadata.namespace ?? ""}`;
  // Where every pod finds the API server, whether or not it may ask it for anything.
  const { hostname, port } = new URL(link.address);
  const environment: Record<string, string> = {
    KUBERNETES_SERVICE_HOST: hostname,
    KUBERNETES_SERVICE_PORT: port,
  };
  const from = (container["envFrom"] ?? []) as {
    prefix?: string;
    secretRef?: { name: string; optional?: boolean };
  }[];
  for (const { prefix = "", secretRef } of from) {
    if (secretRef === undefined) continue;
    const secret = await link.get<Secret>(`${namespace}/secrets/${secretRef.name}`);
    if (secret === undefined && secretRef.optional !== true) {
      throw new Error(`secret "${secretRef.name}" not found`);
    }
    for (const [key, value] of Object.entries(decoded(secret?.data))) {
      environment[prefix + key] = value.toString();
    }
  }
  for (const { name, value, valueFrom } of container.env ?? []) {
    const found =
      valueFrom === undefined ? expand(value ?? "", environment) : await refer(valueFrom);
    if (found !== undefined) environment[name] = found;
  }
  return environment;

  async function refer(reference: Reference): Promise<string | undefined> {
    const { secretKeyRef, configMapKeyRef, fieldRef } = reference;
    if (secretKeyRef !== undefined) {
      const { name, key, optional } = secretKeyRef;
      const secret = await link.get<Secret>(`${namespace}/secrets/${name}`);
      const value = secret?.data?.[key];
      if (value !== undefined) return Buffer.from(value, "base64").toString();
      if (optional === true) return undefined;
      throw new Error(
        secret === undefined
          ? `secret "${name}" not found`
          : `couldn't find key ${key} in Secret ${pod.metadata.namespace}/${name}`,
      );
    }
    if (configMapKeyRef !== undefined) {
      const { name, key } = configMapKeyRef;
      return (await link.get<ConfigMap>(`${namespace}/configmaps/${name}`))?.data?.[key];
    }
    return fieldRef === undefined ? undefined : fieldOf(pod, fieldRef.fieldPath);
  }
}

/** `$(NAME)` in values and arguments, when there is such a variable before it. */
export function expand(text: string, environment: Readonly<Record<string, string>>): string {
  return text.replace(/\$\$|\$\(([\w.-]+)\)/g, (all, name: string | undefined) =>
    name === undefined ? "$" : (environment[name] ?? all),
  );
}

function fieldOf(pod: Pod, path: string): string {
  const fields: Record<string, string | undefined> = {
    "metadata.name": pod.metadata.name,
    "metadata.namespace": pod.metadata.namespace,
    "metadata.uid": pod.metadata.uid,
    "spec.nodeName": pod.spec.nodeName,
    "spec.serviceAccountName": pod.spec.serviceAccountName,
    "status.podIP": "127.0.0.1",
  };
  return fields[path] ?? "";
}
