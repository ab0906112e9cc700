// As whom a mover runs: as the resource says, else as the application whose volume it is, seen in its pod or in the template of
// its workload. Never as root unless the namespace allows privileged movers; then it is told what that costs.

import { isHoldfastError } from "../../base/errors.ts";
import type { Kind } from "../cluster/kinds.ts";
import { DEPLOYMENT, NAMESPACE, REPLICA_SET, STATEFUL_SET } from "../cluster/kinds.ts";
import type {
  Container,
  KubeObject,
  Pod,
  PodSecurityContext,
  PodSpec,
  Workload,
} from "../cluster/kube-object.ts";
import type { OperatorContext } from "../context.ts";
import { ANNOTATION, VOLSYNC_GROUP } from "../names.ts";
import type { ReplicationDestination } from "../resources/replication-destination.ts";
import type { ReplicationSource } from "../resources/replication-source.ts";
import { mountedBy } from "./mounts.ts";
import type { Identity } from "./volume.ts";

/** True when the namespace lets movers run as root with capabilities. */
export async function allowsPrivileged(
  { api, signal }: OperatorContext,
  namespace: string,
): Promise<boolean> {
  const found = await api.get(NAMESPACE, { name: namespace }, { signal });
  return found?.metadata.annotations?.[ANNOTATION.privilegedMovers] === "true";
}

export interface IdentityRequest {
  readonly owner: ReplicationSource | ReplicationDestination;
  /** The application's claim, not a copy of it. */
  readonly claim: string;
  /** As allowsPrivileged says: the mover is root, and nothing is inferred. */
  readonly privileged?: boolean;
}

export async function inferIdentity(
  context: OperatorContext,
  { owner, claim, privileged }: IdentityRequest,
): Promise<Identity> {
  const given = owner.spec.restic?.moverSecurityContext;
  if (given !== undefined) return { securityContext: given, from: "moverSecurityContext" };
  const { namespace = "" } = owner.metadata;
  if (privileged ?? (await allowsPrivileged(context, namespace))) {
    return { from: `namespace ${namespace}, which allows privileged movers` };
  }
  const names = [claim, ...populatedFrom(context, owner)];
  const user =
    podUser(context, namespace, names) ?? (await workloadUser(context, namespace, names));
  if (user === undefined) return { from: "the image: no workload is known that mounts the volume" };
  return identityOf(user, namespace);
}

/** Claims that are made from what a destination restores: their pods are those that will read it. */
function populatedFrom({ stores }: OperatorContext, { kind, metadata }: KubeObject): string[] {
  if (kind !== "ReplicationDestination") return [];
  return stores.claims
    .list(metadata.namespace)
    .filter(({ spec: { dataSourceRef: from } }) => {
      return from?.apiGroup === VOLSYNC_GROUP && from.kind === kind && from.name === metadata.name;
    })
    .map((claim) => claim.metadata.name);
}

interface User {
  readonly from: string;
  readonly spec: PodSpec;
  /** Mounts the volume. */
  readonly container: Container;
  /** What the kubelet says its first process is. */
  readonly actual?: { readonly uid?: number; readonly gid?: number } | undefined;
}

function podUser(context: OperatorContext, namespace: string, names: string[]): User | undefined {
  for (const name of names) {
    const claim = context.stores.claims.get(namespace, name);
    if (claim === undefined) continue;
    const pods = mountedBy(context, claim);
    // One that runs says more than one that is about to.
    const sorted = [...pods].sort((a, b) => Number(isRunning(b)) - Number(isRunning(a)));
    for (const pod of sorted) {
      const container = mounting(pod.spec, (volume) => claimOf(volume, pod.metadata.name) === name);
      if (container === undefined) continue;
      const from = `pod ${pod.metadata.name}`;
      return { from, spec: pod.spec, container, actual: actualUser(pod, container.name) };
    }
  }
  return undefined;
}

function isRunning({ status }: Pod): boolean {
  return status?.phase === "Running";
}

/** containerStatuses[].user, which kubelets report since Kubernetes 1.31. */
function actualUser(pod: Pod, container: string): User["actual"] {
  return pod.status?.containerStatuses?.find(({ name }) => name === container)?.user?.linux;
}

type PodVolume = NonNullable<PodSpec["volumes"]>[number];

/** The claim of a pod's volume; that of an ephemeral one is named for the pod. */
function claimOf(
  { name, persistentVolumeClaim, ephemeral }: PodVolume,
  pod: string,
): string | undefined {
  return (
    persistentVolumeClaim?.claimName ?? (ephemeral === undefined ? undefined : `${pod}-${name}`)
  );
}

/** The container that mounts such a volume: the first that may write. */
function mounting(spec: PodSpec, isIt: (volume: PodVolume) => boolean): Container | undefined {
  const names = new Set((spec.volumes ?? []).filter(isIt).map(({ name }) => name));
  return containerWith(spec, names);
}

function containerWith(spec: PodSpec, names: ReadonlySet<string>): Container | undefined {
  const mounts = (writing: boolean) => {
    return ({ volumeMounts = [] }: Container): boolean => {
      return volumeMounts.some(({ name, readOnly }) => names.has(name) && !(writing && readOnly));
    };
  };
  const all = spec.containers;
  return (
    all.find(mounts(true)) ?? all.find(mounts(false)) ?? spec.initContainers?.find(mounts(false))
  );
}

async function workloadUser(
  context: OperatorContext,
  namespace: string,
  names: readonly string[],
): Promise<User | undefined> {
  for (const kind of [DEPLOYMENT, STATEFUL_SET, REPLICA_SET]) {
    for (const workload of await workloads(context, kind, namespace)) {
      const { template, volumeClaimTemplates = [] } = workload.spec;
      if (template === undefined) continue;
      const mounted = new Set(
        volumeClaimTemplates
          .map(({ metadata }) => metadata.name)
          .filter((name) => names.some((claim) => isOfTemplate(claim, name, workload))),
      );
      for (const volume of template.spec.volumes ?? []) {
        if (names.includes(volume.persistentVolumeClaim?.claimName ?? "")) mounted.add(volume.name);
      }
      const container = containerWith(template.spec, mounted);
      if (container === undefined) continue;
      return { from: `${kind.kind} ${workload.metadata.name}`, spec: template.spec, container };
    }
  }
  return undefined;
}

/** `<template>-<set>-<ordinal>` */
function isOfTemplate(claim: string, template: string, { metadata }: Workload): boolean {
  const prefix = `${template}-${metadata.name}-`;
  return claim.startsWith(prefix) && /^\d+$/.test(claim.slice(prefix.length));
}

/** None when we may not list them. */
async function workloads(
  { api, signal }: OperatorContext,
  kind: Kind<Workload>,
  namespace: string,
): Promise<readonly Workload[]> {
  try {
    return (await api.list(kind, { namespace, signal })).items;
  } catch (error) {
    if (isHoldfastError(error, "CLUSTER_DENIED", "CLUSTER_NOT_FOUND")) return [];
    throw error;
  }
}

function identityOf({ from, spec, container, actual }: User, namespace: string): Identity {
  const pod = spec.securityContext ?? {};
  const own = container.securityContext ?? {};
  const runAsUser = own.runAsUser ?? pod.runAsUser ?? actual?.uid;
  const runAsGroup = own.runAsGroup ?? pod.runAsGroup ?? actual?.gid;
  const { fsGroup, supplementalGroups } = pod;
  const seLinuxOptions = own.seLinuxOptions ?? pod.seLinuxOptions;
  const isRoot = runAsUser === 0;
  const securityContext: PodSecurityContext = {
    runAsNonRoot: true,
    ...(runAsUser !== undefined && !isRoot && { runAsUser }),
    ...(runAsGroup !== undefined && !isRoot && { runAsGroup }),
    // A group change of the whole volume at every mount would be the mover's doing, not the application's.
    ...(fsGroup !== undefined && { fsGroup, fsGroupChangePolicy: "OnRootMismatch" }),
    ...(supplementalGroups !== undefined && { supplementalGroups }),
    ...(seLinuxOptions !== undefined && { seLinuxOptions }),
    seccompProfile: { type: "RuntimeDefault" },
  };
  if (!isRoot) return { securityContext, from };
  return {
    securityContext,
    from,
    problem: {
      reason: "ApplicationRunsAsRoot",
      message: `${from} runs as root, and movers in namespace ${namespace} may not, so files that only root can read are out of reach. To allow it: kubectl annotate namespace ${namespace} ${ANNOTATION.privilegedMovers}=true, or set moverSecurityContext`,
    },
  };
}
