// Which locks of a repository belong to pods that are surely dead. A lock names its host, which for a mover is its pod; only the
// operator can tell what became of that, and it says so only of pods that it knows by more than their name: those whose Job is
// the resource's own, those of other resources that open the same Secret, and those that it wrote down while they were there.
//
// Must never: take a pod for dead because it cannot be found. One that was deleted by force may still be running on a node that
// does not answer.
//
// A node that somebody called out of service is gone, on the terms of Kubernetes itself: it is not ready, and whoever may taint nodes
// says that the machine is off. Its volumes are taken from it on that word, and its pods are given up.

import { isHoldfastError } from "../../base/errors.ts";
import type { Job, Node, Pod } from "../cluster/kube-object.ts";
import { NODE } from "../cluster/kinds.ts";
import { isOwnedBy } from "../cluster/owner.ts";
import type { OperatorContext } from "../context.ts";
import type { SeenLock } from "../mover-verdict.ts";
import { MOVER_CONTAINER } from "../mover-variables.ts";
import { CREATED_BY, EXTERNAL, LABEL } from "../names.ts";
import type { MoverOwner } from "./owner.ts";

/** Pods that are remembered; the oldest are forgotten, whose locks are stale by age long since. */
const REMEMBERED = 24;

const OUT_OF_SERVICE = "node.kubernetes.io/out-of-service";

interface Remembered {
  readonly pod: string;
  readonly node: string;
  readonly isDead: boolean;
}

/**
 * The value for `status.external[EXTERNAL.movers]`: pods of the resource's Jobs that are there now, added to those that were
 * before; `pod@node`, and `pod@node!` once the kubelet said that it ended. Undefined: there never was one.
 */
export function recordMovers(
  { stores }: Pick<OperatorContext, "stores">,
  owner: MoverOwner,
): string | undefined {
  const known = new Map(remembered(owner).map((each) => [each.pod, each]));
  for (const pod of stores.pods.list(owner.metadata.namespace)) {
    if (!isMoverOf(stores.jobs, pod, owner)) continue;
    const { name } = pod.metadata;
    const before = known.get(name);
    const node = pod.spec.nodeName ?? before?.node ?? "";
    known.set(name, { pod: name, node, isDead: isTerminal(pod) || before?.isDead === true });
  }
  if (known.size === 0) return undefined;
  return [...known.values()]
    .slice(-REMEMBERED)
    .map(({ pod, node, isDead }) => `${pod}@${node}${isDead ? "!" : ""}`)
    .join(",");
}

/** Host names among those of `locks` whose pods are proved dead: what HOLDFAST_DEAD_OWNERS says. CLUSTER_*. */
export async function deadLockOwners(
  context: Pick<OperatorContext, "api" | "stores" | "signal">,
  owner: MoverOwner,
  locks: readonly Pick<SeenLock, "hostname">[],
): Promise<string[]> {
  const hosts = [...new Set(locks.map(({ hostname }) => hostname))];
  const dead: string[] = [];
  for (const host of hosts) if (await isDead(context, owner, host)) dead.push(host);
  return dead.sort();
}

async function isDead(
  context: Pick<OperatorContext, "api" | "stores" | "signal">,
  owner: MoverOwner,
  host: string,
): Promise<boolean> {
  const { stores } = context;
  const memory = remembered(owner).find(({ pod }) => pod === host);
  const pod = stores.pods.get(owner.metadata.namespace, host);
  if (pod !== undefined) {
    const isKnown = memory !== undefined || opensSameSecret(stores.jobs, pod, owner);
    if (!isKnown) return false;
    return isTerminal(pod) || (await nodeIsGone(context, pod.spec.nodeName));
  }
  if (memory === undefined) return false;
  return memory.isDead || (await nodeIsGone(context, memory.node));
}

/** The kubelet reported that all containers of the pod ended: the phase alone is also set by others for a lost node. */
function isTerminal({ status, metadata }: Pod): boolean {
  const phase = status?.phase;
  if (phase !== "Succeeded" && phase !== "Failed") return false;
  const states = status?.containerStatuses ?? [];
  const mover = states.find(({ name }) => name === MOVER_CONTAINER);
  // A pod that the kubelet refused, or that was evicted before it began, has no container that could hold a lock.
  if (mover === undefined)
    return status?.reason !== "NodeLost" && metadata.deletionTimestamp === undefined;
  return mover.state?.terminated !== undefined && mover.state.running === undefined;
}

async function nodeIsGone(
  { api, signal }: Pick<OperatorContext, "api" | "signal">,
  name: string | undefined,
): Promise<boolean> {
  // A pod that was never given to a node never ran, but that is for whoever sees it ended to say.
  if (name === undefined || name === "") return false;
  try {
    const node = await api.get(NODE, { name }, { signal });
    return node === undefined || isOutOfService(node);
  } catch (error) {
    // Where we may not ask, the lock goes by its age.
    if (isHoldfastError(error, "CLUSTER_DENIED")) return false;
    throw error;
  }
}

function isOutOfService({ spec, status }: Node): boolean {
  const isReady = status?.conditions?.some(
    ({ type, status: is }) => type === "Ready" && is === "True",
  );
  return isReady !== true && (spec?.taints ?? []).some(({ key }) => key === OUT_OF_SERVICE);
}

function remembered({ status }: MoverOwner): Remembered[] {
  const text = status?.external?.[EXTERNAL.movers] ?? "";
  return text
    .split(",")
    .map((entry) => /^([^@!,]+)@([^@!,]*)(!?)$/.exec(entry))
    .filter((match) => match !== null)
    .map(([, pod = "", node = "", mark]) => ({ pod, node, isDead: mark === "!" }));
}

function jobOf(jobs: OperatorContext["stores"]["jobs"], pod: Pod): Job | undefined {
  const { namespace, ownerReferences = [], labels = {} } = pod.metadata;
  if (labels[LABEL.createdBy] !== CREATED_BY) return undefined;
  const reference = ownerReferences.find(({ kind, controller }) => kind === "Job" && controller);
  const job = reference && jobs.get(namespace, reference.name);
  return job?.metadata.uid === reference?.uid ? job : undefined;
}

function isMoverOf(jobs: OperatorContext["stores"]["jobs"], pod: Pod, owner: MoverOwner): boolean {
  const job = jobOf(jobs, pod);
  return job !== undefined && isOwnedBy(job, owner);
}

/** A mover of this namespace whose Job takes its repository from the same Secret. */
function opensSameSecret(
  jobs: OperatorContext["stores"]["jobs"],
  pod: Pod,
  owner: MoverOwner,
): boolean {
  const job = jobOf(jobs, pod);
  if (job === undefined) return false;
  if (isOwnedBy(job, owner)) return true;
  const container = job.spec.template.spec.containers.find(({ name }) => name === MOVER_CONTAINER);
  const location = container?.env?.find(({ name }) => name === "RESTIC_REPOSITORY");
  const secret = location?.valueFrom?.secretKeyRef?.name;
  return secret !== undefined && secret === owner.spec.restic?.repository;
}
