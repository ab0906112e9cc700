// Puts pods on nodes, as kube-scheduler does, as far as volumes, selectors, taints and node affinity decide it: resources are
// without end here. A pod that fits nowhere says so in its condition PodScheduled, in the words that people know.

import type {
  KubeObject,
  Node,
  PersistentVolume,
  PersistentVolumeClaim,
  Pod,
  StorageClass,
} from "../../../src/operator/cluster/kube-object.ts";
import type { ClusterLink } from "./cluster-link.ts";
import { KeyedWork } from "./keyed-work.ts";
import { fitsAffinity, tolerates, type NodeAffinity, type Taint } from "./node-fit.ts";
import { placeOf } from "./node.ts";

const SELECTED_NODE = "volume.kubernetes.io/selected-node";

type FullNode = Node & { spec?: { unschedulable?: boolean; taints?: Taint[] } };

/** Where a pod goes; or why nowhere; or nothing to say until something changes. */
type Choice = { node: string } | { reason: string } | "later";

/** Schedules until `signal`. */
export function startScheduler(link: ClusterLink, signal: AbortSignal): void {
  const pods = new Map<string, Pod>();
  const nodes = new Map<string, FullNode>();
  const claims = new Map<string, PersistentVolumeClaim>();
  const volumes = new Map<string, PersistentVolume>();
  const classes = new Map<string, StorageClass>();
  const work = new KeyedWork(async (key) => {
    const pod = pods.get(key);
    if (pod === undefined || !isWaiting(pod)) return;
    const choice = await choose(pod);
    if (choice === "later") return;
    if ("node" in choice) await bind(link, pod, choice.node);
    else await refuse(link, pod, choice.reason);
  }, signal);
  let queued = false;
  const look = (): void => {
    if (queued || signal.aborted) return;
    queued = true;
    setImmediate(() => {
      queued = false;
      for (const [key, pod] of pods) if (isWaiting(pod)) work.ask(key);
    });
  };
  const keep = <T extends KubeObject>(path: string, into: Map<string, T>): void => {
    link.follow<T>(path, signal, (object, gone) => {
      const key = keyOf(object);
      if (gone) into.delete(key);
      else into.set(key, object);
      look();
    });
  };
  keep("/api/v1/nodes", nodes);
  keep("/api/v1/persistentvolumeclaims", claims);
  keep("/api/v1/persistentvolumes", volumes);
  keep("/apis/storage.k8s.io/v1/storageclasses", classes);
  keep("/api/v1/pods", pods);

  const choose = async (pod: Pod): Promise<Choice> => {
    const mounted = claimsOf(pod).map((name) => ({
      name,
      claim: claims.get(`${pod.metadata.namespace}/${name}`),
    }));
    for (const { name, claim } of mounted) {
      if (claim === undefined) return { reason: `persistentvolumeclaim "${name}" not found` };
      if (claim.metadata.deletionTimestamp !== undefined) {
        return { reason: `persistentvolumeclaim "${name}" is being deleted` };
      }
      if (claim.status?.phase === "Lost") {
        return { reason: `persistentvolumeclaim "${name}" bound to non-existent persistentvolume` };
      }
      if (isExclusive(claim) && usedByAnother(claim, pod)) {
        return {
          reason:
            "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode",
        };
      }
    }
    const unbound = mounted
      .map(({ claim }) => claim!)
      .filter(({ status }) => status?.phase !== "Bound");
    if (unbound.some((claim) => bindingMode(claim) !== "WaitForFirstConsumer")) {
      return { reason: "pod has unbound immediate PersistentVolumeClaims" };
    }
    const bound = mounted.map(({ claim }) => volumes.get(claim!.spec.volumeName ?? ""));
    const fitting = [...nodes.values()].filter((node) => fits(pod, node, bound));
    // Already promised to a node: it stays there.
    const promised = unbound
      .map(({ metadata }) => metadata.annotations?.[SELECTED_NODE])
      .find(Boolean);
    const node = fitting.find(({ metadata }) => metadata.name === promised) ?? fitting[0];
    if (node === undefined) {
      return {
        reason: `0/${nodes.size} nodes are available: they do not match the pod's node affinity/selector, or have untolerated taints`,
      };
    }
    if (unbound.length === 0) return { node: node.metadata.name };
    for (const claim of unbound) {
      if (claim.metadata.annotations?.[SELECTED_NODE] !== undefined) continue;
      await link.patch(placeOf(claim, "persistentvolumeclaims"), {
        metadata: { annotations: { [SELECTED_NODE]: node.metadata.name } },
      });
    }
    return "later";
  };

  const bindingMode = (claim: PersistentVolumeClaim): string =>
    classes.get(claim.spec.storageClassName ?? "")?.volumeBindingMode ?? "Immediate";

  const usedByAnother = (claim: PersistentVolumeClaim, pod: Pod): boolean =>
    [...pods.values()].some(
      (other) =>
        other.metadata.uid !== pod.metadata.uid &&
        other.metadata.namespace === pod.metadata.namespace &&
        other.spec.nodeName !== undefined &&
        !isOver(other) &&
        claimsOf(other).includes(claim.metadata.name),
    );
}

function fits(
  pod: Pod,
  node: FullNode,
  volumes: readonly (PersistentVolume | undefined)[],
): boolean {
  const labels = node.metadata.labels ?? {};
  const { nodeSelector = {}, tolerations, affinity } = pod.spec;
  const ready = node.status?.conditions?.find(({ type }) => type === "Ready")?.status === "True";
  if (!ready || node.spec?.unschedulable === true) return false;
  if (!Object.entries(nodeSelector).every(([key, value]) => labels[key] === value)) return false;
  if (!tolerates(node.spec?.taints ?? [], tolerations)) return false;
  const wanted = (affinity as { nodeAffinity?: NodeAffinity } | undefined)?.nodeAffinity;
  if (!fitsAffinity(node, wanted?.requiredDuringSchedulingIgnoredDuringExecution)) return false;
  return volumes.every((volume) => {
    const { required } = (volume?.spec.nodeAffinity ?? {}) as {
      required?: Parameters<typeof fitsAffinity>[1];
    };
    return fitsAffinity(node, required);
  });
}

async function bind(link: ClusterLink, pod: Pod, node: string): Promise<void> {
  const { namespace, name, uid } = pod.metadata;
  await link.create(`/api/v1/namespaces/${namespace}/bindings`, {
    apiVersion: "v1",
    kind: "Binding",
    metadata: { name, namespace, uid },
    target: { apiVersion: "v1", kind: "Node", name: node },
  });
}

async function refuse(link: ClusterLink, pod: Pod, message: string): Promise<void> {
  const before = pod.status?.conditions?.find(({ type }) => type === "PodScheduled");
  if (before?.message === message) return;
  const condition = { type: "PodScheduled", status: "False", reason: "Unschedulable", message };
  await link.patch(`${placeOf(pod, "pods")}/status`, { status: { conditions: [condition] } });
}

function isWaiting({ metadata, spec, status }: Pod): boolean {
  const gates = spec["schedulingGates"] as unknown[] | undefined;
  return (
    spec.nodeName === undefined &&
    metadata.deletionTimestamp === undefined &&
    (gates?.length ?? 0) === 0 &&
    status?.phase === "Pending"
  );
}

/** Whether it ended for good. */
export function isOver({ status }: Pod): boolean {
  return status?.phase === "Succeeded" || status?.phase === "Failed";
}

/** Names of the claims that a pod mounts. */
export function claimsOf({ spec }: Pod): string[] {
  return (spec.volumes ?? []).flatMap(({ persistentVolumeClaim }) =>
    persistentVolumeClaim === undefined ? [] : [persistentVolumeClaim.claimName],
  );
}

function isExclusive({ spec }: PersistentVolumeClaim): boolean {
  return spec.accessModes?.includes("ReadWriteOncePod") === true;
}

function keyOf({ metadata }: KubeObject): string {
  return metadata.namespace === undefined
    ? metadata.name
    : `${metadata.namespace}/${metadata.name}`;
}
