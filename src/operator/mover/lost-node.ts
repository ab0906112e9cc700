// A mover whose node is not heard of. Kubernetes marks its pod for deletion after a while, but no kubelet is there to end it, so the pod
// stays, and its Job makes no other: with a failure policy a Job replaces a pod only when that has ended, and a Job counts no pod as
// ended while its status says Running, not even one deleted by force, which its finalizer keeps
// (docs/decisions/operator.md, "Lost nodes").
//
// Must never: take a mover for dead because it is late. It may be writing to the volume and the repository all the while. Only what
// says that it is dead ends it: its pod or its node is gone, or somebody deleted the pod by force, which is his word for it.

import { isHoldfastError } from "../../base/errors.ts";
import { NODE, POD } from "../cluster/kinds.ts";
import type { Pod } from "../cluster/kube-object.ts";
import type { OperatorContext } from "../context.ts";
import { moverName, type Role } from "../names.ts";
import { MOVER_CONTAINER } from "../mover-variables.ts";
import type { MoverOwner } from "./owner.ts";
import type { RunProblem } from "./run-state.ts";

/** Milliseconds that a pod may take to go after its grace: a kubelet that is there needs a second or two. */
const SLACK = 5_000;
/** Nodes are not watched. */
const RECHECK = 15_000;

export interface LateMover {
  /** Its node is not ready, or gone. */
  readonly problem?: RunProblem | undefined;
  /** It was deleted by force, and nobody is there to end it: its Job waits for it for ever. */
  readonly isGivenUp?: true;
  /** Milliseconds after which to look again, though nothing changed. */
  readonly recheck?: number | undefined;
}

type LateContext = Pick<OperatorContext, "api" | "clock" | "signal">;

/** What is to be said of those of `pods` that should have ended, or report no more. Empty when all is well. CLUSTER_*. */
export async function lateMover(context: LateContext, pods: readonly Pod[]): Promise<LateMover> {
  const now = context.clock.now();
  let recheck: number | undefined;
  for (const pod of pods) {
    const since = lateSince(pod);
    if (since === undefined) continue;
    if (since > now) {
      recheck = Math.min(recheck ?? Infinity, since - now);
      continue;
    }
    recheck = Math.min(recheck ?? Infinity, RECHECK);
    const { nodeName = "" } = pod.spec;
    const node = await nodeState(context, nodeName);
    // One that is ready ends its pods itself, however long that takes.
    if (node === "ready" || node === "unknown") continue;
    const problem = nodeLost(pod, node);
    if (!isForced(pod)) return { problem, recheck };
    // That cannot be taken back: decided of the pod as it is now.
    const { namespace, name, uid } = pod.metadata;
    const { signal } = context;
    const live = await context.api.get(POD, { namespace, name }, { signal });
    const isStill = live !== undefined && live.metadata.uid === uid && isForced(live);
    return { problem, recheck, ...(isStill && { isGivenUp: true }) };
  }
  return { recheck };
}

/** Pods of Jobs of the resource that are gone, and have not ended yet as far as anybody knows. */
export function leftBehind(
  { stores }: Pick<OperatorContext, "stores">,
  { metadata }: MoverOwner,
  role: Role,
): Pod[] {
  const { namespace } = metadata;
  const name = moverName(role, metadata.name);
  const job = stores.jobs.get(namespace, name)?.metadata.uid;
  return stores.pods.indexed("job", `${namespace}/${name}`).filter((pod) => {
    const owner = pod.metadata.ownerReferences?.find(({ kind }) => kind === "Job");
    return owner?.controller === true && owner.uid !== job && !hasEnded(pod);
  });
}

function hasEnded({ status }: Pod): boolean {
  return status?.phase === "Succeeded" || status?.phase === "Failed";
}

/** From when on its node should be asked about, in milliseconds since 1970; undefined: not at all. */
function lateSince(pod: Pod): number | undefined {
  const { metadata, spec, status } = pod;
  if (hasEnded(pod) || spec.nodeName === undefined) return undefined;
  // The time by which it is to be gone, grace included.
  if (metadata.deletionTimestamp !== undefined) {
    const end = Date.parse(metadata.deletionTimestamp);
    return Number.isNaN(end) ? 0 : end + SLACK;
  }
  // A mover has no probe: while it runs, only the controller of nodes calls it unready.
  const states = status?.containerStatuses ?? [];
  const isAtWork = states.some(({ name, state }) => name === MOVER_CONTAINER && state?.running);
  const ready = status?.conditions?.find(({ type }) => type === "Ready");
  return isAtWork && ready?.status === "False" ? 0 : undefined;
}

/** Deleted with no grace at all before it ended: kubelets ask for that only of pods that have. */
function isForced(pod: Pod): boolean {
  const { deletionTimestamp, deletionGracePeriodSeconds } = pod.metadata;
  return deletionTimestamp !== undefined && deletionGracePeriodSeconds === 0 && !hasEnded(pod);
}

/** `unknown`: we may not ask. */
async function nodeState(
  { api, signal }: LateContext,
  name: string,
): Promise<"ready" | "not ready" | "gone" | "unknown"> {
  try {
    const node = await api.get(NODE, { name }, { signal });
    if (node === undefined) return "gone";
    const ready = node.status?.conditions?.find(({ type }) => type === "Ready");
    return ready?.status === "True" ? "ready" : "not ready";
  } catch (error) {
    if (isHoldfastError(error, "CLUSTER_DENIED")) return "unknown";
    throw error;
  }
}

function nodeLost({ metadata, spec }: Pod, node: "not ready" | "gone"): RunProblem {
  const { name, namespace } = metadata;
  const { nodeName } = spec;
  const base = { reason: "NodeLost", code: "MOVER_FAILED", retryable: true } as const;
  if (node === "gone") {
    const message = `mover ${name} was on node ${nodeName}, which is gone`;
    return { ...base, message, hint: "It starts again elsewhere when Kubernetes has removed it." };
  }
  return {
    ...base,
    message: `mover ${name} is on node ${nodeName}, which is not ready; it may still be at work there, so no other is started`,
    hint: `It goes on when the node is back. When that machine is surely off: kubectl taint node ${nodeName} node.kubernetes.io/out-of-service=nodeshutdown:NoExecute, or kubectl delete node ${nodeName}. When the mover alone is surely dead: kubectl delete pod -n ${namespace} ${name} --force.`,
  };
}
