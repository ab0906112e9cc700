// The nodes of a test cluster, as the control plane sees them: objects that say Ready, and Leases that are renewed, until a test
// loses one. What runs on them is in kubelet.ts.

import type { KubeObject, Node } from "../../../src/operator/cluster/kube-object.ts";
import type { ClusterLink } from "./cluster-link.ts";

export interface TestNodes {
  readonly names: readonly string[];
  /** False while a test has lost it. */
  alive(name: string): boolean;
  /** The node is heard of no more: its Lease is renewed no longer, and its pods report nothing. They go on or not as told. */
  lose(name: string): void;
  /** It is heard of again; one that was deleted registers itself anew. */
  recover(name: string): Promise<void>;
  /** Calls back after each recovery. */
  onRecover(listener: () => void): void;
}

const LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
/** Milliseconds between signs of life: well below the controllers' 6 seconds of grace. */
const HEARTBEAT = 1500;

/** Registers nodes, whose kubelet listens on `port` of the loopback interface, and keeps them alive until `signal`. */
export async function startNodes(options: {
  readonly link: ClusterLink;
  readonly names: readonly string[];
  readonly port: number;
  readonly signal: AbortSignal;
}): Promise<TestNodes> {
  const { link, names, port, signal } = options;
  const lost = new Set<string>();
  const listeners: (() => void)[] = [];
  const ready = async (name: string): Promise<void> => {
    await link.patch(`/api/v1/nodes/${name}/status`, {
      status: { conditions: conditions(), ...capacity(), ...address(port) },
    });
  };
  const renew = async (name: string): Promise<void> => {
    await link.apply(`${LEASES}/${name}`, {
      apiVersion: "coordination.k8s.io/v1",
      kind: "Lease",
      metadata: { name, namespace: "kube-node-lease" },
      spec: { holderIdentity: name, leaseDurationSeconds: 10, renewTime: microTime() },
    });
  };
  const register = async (name: string): Promise<void> => {
    await link.apply(`/api/v1/nodes/${name}`, {
      apiVersion: "v1",
      kind: "Node",
      metadata: {
        name,
        labels: {
          "kubernetes.io/hostname": name,
          "kubernetes.io/os": "linux",
          "kubernetes.io/arch": process.arch === "x64" ? "amd64" : process.arch,
        },
      },
    });
    await renew(name);
    await ready(name);
  };
  for (const name of names) await register(name);
  const beat = setInterval(() => {
    for (const name of names) if (!lost.has(name)) renew(name).catch(() => undefined);
  }, HEARTBEAT);
  signal.addEventListener("abort", () => clearInterval(beat), { once: true });
  // A machine under load may miss its beats: the controllers then call the node unknown until it says otherwise.
  link.follow<Node>("/api/v1/nodes", signal, (node, gone) => {
    const { name } = node.metadata;
    if (gone || lost.has(name) || !names.includes(name)) return;
    const state = node.status?.conditions?.find(({ type }) => type === "Ready");
    if (state !== undefined && state.status !== "True") ready(name).catch(() => undefined);
  });
  return {
    names,
    alive: (name) => !lost.has(name),
    lose: (name) => void lost.add(name),
    async recover(name) {
      lost.delete(name);
      await register(name);
      for (const listener of listeners) listener();
    },
    onRecover: (listener) => void listeners.push(listener),
  };
}

function conditions(): readonly unknown[] {
  const now = new Date().toISOString().replace(/\.\d+/, "");
  const times = { lastHeartbeatTime: now, lastTransitionTime: now };
  const calm = ["MemoryPressure", "DiskPressure", "PIDPressure"].map((type) => ({
    type,
    status: "False",
    reason: "Kubelet",
    message: "",
    ...times,
  }));
  return [...calm, { type: "Ready", status: "True", reason: "KubeletReady", ...times }];
}

function capacity(): Record<string, unknown> {
  const amounts = { cpu: "8", memory: "32Gi", pods: "110", "ephemeral-storage": "100Gi" };
  return { capacity: amounts, allocatable: amounts };
}

function address(port: number): Record<string, unknown> {
  return {
    addresses: [{ type: "InternalIP", address: "127.0.0.1" }],
    daemonEndpoints: { kubeletEndpoint: { Port: port } },
    nodeInfo: {
      kubeletVersion: "v1.36.3",
      operatingSystem: "linux",
      architecture: process.arch,
      machineID: "",
      systemUUID: "",
      bootID: "",
      kernelVersion: "",
      osImage: "",
      containerRuntimeVersion: "test://1",
      kubeProxyVersion: "",
    },
  };
}

/** RFC 3339 with microseconds. */
export function microTime(): string {
  return new Date().toISOString().replace("Z", "000Z");
}

/** Path of an object's collection, for those that the test cluster itself writes. */
export function placeOf({ metadata }: KubeObject, plural: string): string {
  return `/api/v1/namespaces/${metadata.namespace ?? ""}/${plural}/${metadata.name}`;
}
