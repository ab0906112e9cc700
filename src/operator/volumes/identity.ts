// As whom a mover runs: as the resource says, else as the application whose volume it is, seen in its pod or in the template of
// its workload. As root where the application is and the namespace's Pod Security lets it, then without capabilities, as VolSync's
// movers are; where it does not let it, that is told with the fix.

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
import { IDENTITY } from "../mover-variables.ts";
import { ANNOTATION, VOLSYNC_GROUP } from "../names.ts";
import type { ReplicationDestination } from "../resources/replication-destination.ts";
import type { ReplicationSource } from "../resources/replication-source.ts";
import { mountedBy } from "./mounts.ts";
import type { Identity, MoverRights } from "./volume.ts";

const ENFORCED_LEVEL = "pod-security.kubernetes.io/enforce";

/** What the namespace lets movers be. CLUSTER_*. */
export async function moverRights(
  { api, signal }: OperatorContext,
  namespace: string,
): Promise<MoverRights> {
  const found = await api.get(NAMESPACE, { name: namespace }, { signal });
  const { annotations, labels } = found?.metadata ?? {};
  return {
    privileged: annotations?.[ANNOTATION.privilegedMovers] === "true",
    rootAllowed: found !== undefined && labels?.[ENFORCED_LEVEL] !== "restricted",
  };
}

export interface IdentityRequest {
  readonly owner: ReplicationSource | ReplicationDestination;
  /** The application's claim, not a copy of it. */
  readonly claim: string;
  /** As moverRights says. */
  readonly rights?: MoverRights;
}

export async function inferIdentity(
  context: OperatorContext,
  { owner, claim, rights }: IdentityRequest,
): Promise<Identity> {
  const given = owner.spec.restic?.moverSecurityContext;
  if (given !== undefined) {
    return { kind: IDENTITY.given, securityContext: given, from: "moverSecurityContext" };
  }
  const { namespace = "" } = owner.metadata;
  const { privileged, rootAllowed } = rights ?? (await moverRights(context, namespace));
  if (privileged) {
    const from = `namespace ${namespace}, which allows privileged movers`;
    return { kind: IDENTITY.given, from };
  }
  const names = [claim, ...populatedFrom(context, owner)];
  const user =
    podUser(context, namespace, names) ?? (await workloadUser(context, namespace, names));
  if (user === undefined) {
    const from = "the image: no workload is known that mounts the volume";
    return { kind: IDENTITY.unknown, from };
  }
  return identityOf(user, { namespace, rootAllowed });
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

function identityOf(
  { from, spec, container, actual }: User,
  { namespace, rootAllowed }: { readonly namespace: string; readonly rootAllowed: boolean },
): Identity {
  const pod = spec.securityContext ?? {};
  const own = container.securityContext ?? {};
  const runAsUser = own.runAsUser ?? pod.runAsUser ?? actual?.uid;
  const runAsGroup = own.runAsGroup ?? pod.runAsGroup ?? actual?.gid;
  const { fsGroup, supplementalGroups } = pod;
  const seLinuxOptions = own.seLinuxOptions ?? pod.seLinuxOptions;
  const isRoot = runAsUser === 0;
  const isKept = !isRoot || rootAllowed;
  const securityContext: PodSecurityContext = {
    ...(!(isRoot && isKept) && { runAsNonRoot: true }),
    ...(runAsUser !== undefined && isKept && { runAsUser }),
    ...(runAsGroup !== undefined && isKept && { runAsGroup }),
    // A group change of the whole volume at every mount would be the mover's doing, not the application's.
    ...(fsGroup !== undefined && { fsGroup, fsGroupChangePolicy: "OnRootMismatch" }),
    ...(supplementalGroups !== undefined && { supplementalGroups }),
    ...(seLinuxOptions !== undefined && { seLinuxOptions }),
    seccompProfile: { type: "RuntimeDefault" },
  };
  if (!isRoot) {
    const kind = runAsUser === undefined ? IDENTITY.unknown : IDENTITY.application;
    return { kind, securityContext, from };
  }
  if (rootAllowed) {
    const message = `${from} runs as root, and so does the mover, without any capability. To run it as another user, set moverSecurityContext`;
    const notice = { reason: "MoverRunsAsRoot", message };
    return { kind: IDENTITY.root, securityContext, from, notice };
  }
  return {
    kind: IDENTITY.unprivileged,
    securityContext,
    from,
    problem: {
      reason: "ApplicationRunsAsRoot",
      message: `${from} runs as root, and movers in namespace ${namespace} may not, so files that only root can read are out of reach. To allow it: kubectl label namespace ${namespace} ${ENFORCED_LEVEL}=baseline --overwrite, or set moverSecurityContext to a user who can read them`,
    },
  };
}
