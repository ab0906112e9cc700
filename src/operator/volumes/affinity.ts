// Where a mover must run: a volume that one node at a time may have is with the pods that hold it. By the node's label, never by
// its name, so that the scheduler stays in charge and a volume that waits for its first pod gets a node.

import { isHoldfastError } from "../../base/errors.ts";
import { NODE } from "../cluster/kinds.ts";
import type { Pod } from "../cluster/kube-object.ts";
import type { OperatorContext } from "../context.ts";
import { holdersOf } from "./mounts.ts";
import type { Affinity } from "./volume.ts";

const HOSTNAME = "kubernetes.io/hostname";

/**
 * Affinity for a pod that mounts these claims, in order of their weight: of two that are held on different nodes the first
 * counts. Empty when none is held, or all may be on several nodes.
 */
export async function chooseAffinity(
  context: OperatorContext,
  {
    namespace,
    claims,
  }: { readonly namespace: string | undefined; readonly claims: readonly string[] },
): Promise<Affinity> {
  for (const name of claims) {
    const claim = context.stores.claims.get(namespace, name);
    const modes = claim?.status?.accessModes ?? claim?.spec.accessModes ?? [];
    const isOnOneNode = modes.length > 0 && modes.every((mode) => mode.startsWith("ReadWriteOnce"));
    if (!isOnOneNode) continue;
    const pod = placed(holdersOf(context, { namespace, name }));
    if (pod?.spec.nodeName === undefined) continue;
    return {
      nodeSelector: { [HOSTNAME]: await hostnameOf(context, pod.spec.nodeName) },
      ...(pod.spec.tolerations !== undefined && { tolerations: pod.spec.tolerations }),
    };
  }
  return {};
}

/** The pod that has the volume: a running one before one that waits for it. */
function placed(pods: readonly Pod[]): Pod | undefined {
  const onNode = pods.filter(
    ({ spec, metadata }) => spec.nodeName !== undefined && metadata.deletionTimestamp === undefined,
  );
  return onNode.find(({ status }) => status?.phase === "Running") ?? onNode[0];
}

/** Mostly the node's name; where it is not, the label says. */
async function hostnameOf({ api, signal }: OperatorContext, name: string): Promise<string> {
  try {
    const node = await api.get(NODE, { name }, { signal });
    return node?.metadata.labels?.[HOSTNAME] ?? name;
  } catch (error) {
    if (isHoldfastError(error, "CLUSTER_DENIED")) return name;
    throw error;
  }
}
