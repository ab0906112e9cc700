// What has become of the Job of a run, from the cached objects alone: whether it is at work, done or failed, what its mover
// said, and, where no mover could say anything, what Kubernetes says of the pod.

import type { ErrorCode } from "../../base/errors.ts";
import type { ContainerState, Job, Pod } from "../cluster/kube-object.ts";
import { isOwnedBy } from "../cluster/owner.ts";
import { POD } from "../cluster/kinds.ts";
import type { OperatorContext } from "../context.ts";
import type { MoverVerdict } from "../mover-verdict.ts";
import { MOVER_CONTAINER, MOVER_EXIT } from "../mover-variables.ts";
import { LABEL, moverName } from "../names.ts";
import type { Role } from "../names.ts";
import { reasonOf } from "../signals/conditions.ts";
import type { MoverOwner } from "./owner.ts";
import { parseVerdict } from "./parse-verdict.ts";

/** Why a run failed, or does not come on. */
export interface RunProblem {
  /** CamelCase, for conditions and events. */
  readonly reason: string;
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint?: string | undefined;
  /** False: the same again fails the same way until somebody changes something. */
  readonly retryable: boolean;
  /** Milliseconds from the Job's beginning in which it is none: a pod takes its time. Absent: less than most (run-steps.ts). */
  readonly patience?: number | undefined;
}

const WORDS_MAX = 500;

export type RunState =
  /** No Job of the resource. */
  | { readonly kind: "none" }
  | {
      readonly kind: "running";
      readonly job: Job;
      /** Newest first. */
      readonly pods: readonly Pod[];
      /** Pods of this Job that failed. */
      readonly failures: number;
      /** Of the newest pod that ended, if it said something. */
      readonly verdict?: MoverVerdict | undefined;
      /** Why the pod does not start, or why the one before failed. */
      readonly problem?: RunProblem | undefined;
    }
  | {
      readonly kind: "succeeded";
      readonly job: Job;
      readonly pods: readonly Pod[];
      /** Absent when the mover was none of ours, or its pod is gone. */
      readonly verdict?: MoverVerdict | undefined;
    }
  | {
      readonly kind: "failed";
      readonly job: Job;
      readonly pods: readonly Pod[];
      readonly verdict?: MoverVerdict | undefined;
      readonly problem: RunProblem;
    };

/** The state of the resource's Job. */
export function readRun(
  { stores }: Pick<OperatorContext, "stores">,
  owner: MoverOwner,
  role: Role,
): RunState {
  const { namespace } = owner.metadata;
  const name = moverName(role, owner.metadata.name);
  const job = stores.jobs.get(namespace, name);
  if (job === undefined || !isOwnedBy(job, owner)) return { kind: "none" };
  return stateOf(job, podsOf({ stores }, job));
}

/**
 * The state of a run that has ended, with its verdict: the watch of pods may be behind that of Jobs, and who took an end without a
 * word for a success would lose the warning in it. CLUSTER_*.
 */
export async function endedRun(
  { api, signal }: Pick<OperatorContext, "api" | "signal">,
  run: RunState,
): Promise<RunState> {
  if (run.kind === "none" || run.kind === "running" || run.verdict !== undefined) return run;
  const { name, namespace, labels } = run.job.metadata;
  // One that VolSync made has none.
  if (labels?.[LABEL.run] === undefined) return run;
  const { items } = await api.list(POD, { namespace, labelSelector: `job-name=${name}`, signal });
  return stateOf(run.job, newestFirst(items, run.job));
}

function stateOf(job: Job, pods: readonly Pod[]): RunState {
  const failed = pods.filter(({ status }) => status?.phase === "Failed");
  const run = job.metadata.labels?.[LABEL.run];
  const of = (all: readonly Pod[]): MoverVerdict | undefined => {
    for (const pod of all) {
      const verdict = parseVerdict(endOf(pod)?.message, run);
      if (verdict !== undefined) return verdict;
    }
    return undefined;
  };
  if (has(job, "Complete")) {
    const said = of(pods.filter(({ status }) => status?.phase === "Succeeded"));
    // A failure that ends with status 0 is none of our movers' words.
    return { kind: "succeeded", job, pods, verdict: said?.result === "ok" ? said : undefined };
  }
  const [newest] = failed;
  const verdict = newest && of([newest]);
  if (has(job, "Failed")) {
    return { kind: "failed", job, pods, verdict, problem: problemOf(job, newest, verdict) };
  }
  const [current] = pods;
  const problem =
    current === undefined
      ? withoutPod(job)
      : (waitingProblem(current) ??
        (newest && problemOf(job, newest, verdict)) ??
        notStarted(current));
  return { kind: "running", job, pods, failures: failed.length, verdict, problem };
}

/** The Job's pods, the newest first. */
export function podsOf({ stores }: Pick<OperatorContext, "stores">, job: Job): Pod[] {
  const { namespace, name } = job.metadata;
  return newestFirst(stores.pods.indexed("job", `${namespace}/${name}`), job);
}

function newestFirst(pods: readonly Pod[], job: Job): Pod[] {
  const born = ({ metadata }: Pod): string => metadata.creationTimestamp ?? "";
  return pods
    .filter((pod) => isOwnedBy(pod, job))
    .sort((a, b) => (born(a) < born(b) ? 1 : born(a) > born(b) ? -1 : 0));
}

/** How the mover's container ended; undefined while it has not. */
export function endOf(pod: Pod): ContainerState["terminated"] {
  const container = pod.status?.containerStatuses?.find(({ name }) => name === MOVER_CONTAINER);
  return container?.state?.terminated;
}

function has({ status }: Job, type: "Complete" | "Failed"): boolean {
  return (status?.conditions ?? []).some((each) => each.type === type && each.status === "True");
}

function problemOf(job: Job, pod: Pod | undefined, verdict: MoverVerdict | undefined): RunProblem {
  const said = verdict?.result === "failed" ? verdict.problems?.[0] : undefined;
  if (said !== undefined) {
    const { code, message, hint, retryable = false } = said;
    return { reason: reasonOf(code), code, message, hint, retryable };
  }
  const fate = pod && fateOf(pod);
  if (fate !== undefined) return fate;
  const failed = (job.status?.conditions ?? []).find(({ type }) => type === "Failed");
  const why = failed?.message ?? "its pod ended without a word";
  return failure("MoverFailed", `the mover failed: ${why}`, {
    hint: "Look at the log and the events of its pod.",
  });
}

function failure(
  reason: string,
  message: string,
  { hint, retryable = true }: { hint: string; retryable?: boolean },
): RunProblem {
  return { reason, code: "MOVER_FAILED", message, hint, retryable };
}

/** What Kubernetes did to a pod whose mover said nothing. */
function fateOf(pod: Pod): RunProblem | undefined {
  const { name } = pod.metadata;
  const { reason, message, conditions = [] } = pod.status ?? {};
  const end = endOf(pod);
  if (end?.reason === "OOMKilled" || end?.exitCode === 137) {
    const killed = end.reason === "OOMKilled" ? "ran out of memory" : "was killed";
    return failure(
      end.reason === "OOMKilled" ? "OutOfMemory" : "MoverKilled",
      `mover ${name} ${killed}`,
      {
        hint: "Raise the memory limit in moverResources, or take it away.",
      },
    );
  }
  const disrupted = conditions.find(
    ({ type, status }) => type === "DisruptionTarget" && status === "True",
  );
  if (reason === "Evicted") {
    return failure("Evicted", `mover ${name} was evicted: ${message ?? "no reason given"}`, {
      hint: "The node was short of memory or disk: set requests in moverResources.",
    });
  }
  if (reason === "NodeLost" || disrupted !== undefined) {
    const why = disrupted?.message ?? disrupted?.reason ?? "its node is gone";
    return failure("MoverDisrupted", `mover ${name} was stopped: ${why}`, {
      hint: "It starts again elsewhere; nothing needs to be done.",
    });
  }
  if (end === undefined) return undefined;
  const said = lastWords(end.message ?? "");
  return failure("MoverFailed", `mover ${name} ended with exit status ${end.exitCode}${said}`, {
    hint: "Look at its log.",
    retryable: end.exitCode !== MOVER_EXIT.ended,
  });
}

/** Of what it printed last, the line that tells of the failure. */
function lastWords(printed: string): string {
  const lines = printed.split("\n").filter((line) => line.trim() !== "");
  const line = lines.find((each) => each.startsWith("Fatal: ")) ?? lines.at(-1);
  if (line === undefined) return "";
  return `: ${line.replaceAll(/[\p{Cc}\p{Cf}]+/gu, " ").slice(0, WORDS_MAX)}`;
}

/** A Job whose pods are refused when they are made waits for ever, and says so in Events alone. */
function withoutPod({ metadata, spec, status }: Job): RunProblem | undefined {
  if (spec.parallelism === 0 || (status?.active ?? 0) > 0) return undefined;
  const { name, namespace, labels } = metadata;
  const job = `job -n ${namespace} ${name}`;
  const why = `Pod Security, a quota or an admission webhook may refuse it: kubectl describe ${job}`;
  // It stays as it was made, whoever acts now.
  const isOfVolSync = labels?.[LABEL.run] === undefined;
  return failure("NoMoverPod", `Job ${name} has no pod`, {
    hint: isOfVolSync
      ? `${why}. VolSync made it: kubectl delete ${job}, and the run goes on with a Job of ours`
      : why,
  });
}

/** As long as VolSync waits for a claim: until then a volume may be attached, and an image come. */
const START_PATIENCE = 120_000;

/** On its node, and no more: a kubelet that cannot mount something says so in Events alone. */
function notStarted({ metadata, spec, status }: Pod): RunProblem | undefined {
  if (spec.nodeName === undefined || (status?.phase ?? "Pending") !== "Pending") return undefined;
  const { name, namespace } = metadata;
  const problem = failure(
    "MoverNotStarted",
    `mover ${name} is on node ${spec.nodeName} and does not start`,
    {
      hint: `A volume may be in use elsewhere, what it mounts may not be there, or the image takes long: kubectl describe pod -n ${namespace} ${name}`,
    },
  );
  return { ...problem, patience: START_PATIENCE };
}

const IMAGE = ["ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"];
const CREATION = ["CreateContainerConfigError", "CreateContainerError", "RunContainerError"];

/** Why a pod has not started; undefined when it has, or nothing keeps it. */
function waitingProblem(pod: Pod): RunProblem | undefined {
  const { phase, conditions = [], containerStatuses = [] } = pod.status ?? {};
  if (phase !== undefined && phase !== "Pending") return undefined;
  const { name } = pod.metadata;
  const waiting = containerStatuses.find(({ name: is }) => is === MOVER_CONTAINER)?.state?.waiting;
  const said = waiting?.message ?? waiting?.reason ?? "";
  if (waiting?.reason !== undefined && IMAGE.includes(waiting.reason)) {
    return failure("ImagePullFailed", `the image of mover ${name} cannot be had: ${said}`, {
      hint: "Check the operator's image setting, and pull secrets of the mover's service account.",
    });
  }
  if (waiting?.reason !== undefined && CREATION.includes(waiting.reason)) {
    return failure("ContainerNotCreated", `mover ${name} cannot be started: ${said}`, {
      hint: "Check that the Secret still has its keys, and moverSecurityContext.",
    });
  }
  const scheduled = conditions.find(({ type }) => type === "PodScheduled");
  if (scheduled?.status === "False") {
    return failure("Unschedulable", `mover ${name} finds no node: ${scheduled.message ?? ""}`, {
      hint: "Check moverResources, moverAffinity, and on which node the volume can be mounted.",
    });
  }
  return undefined;
}
