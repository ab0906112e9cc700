// What is done while a run is under way, and at its end: watching its Job, writing down how it ended, and removing what it made.

import { isHoldfastError } from "../../base/errors.ts";
import { JOB } from "../cluster/kinds.ts";
import type { Job } from "../cluster/kube-object.ts";
import type { Decision } from "../machine/decide.ts";
import {
  failureStatus,
  failuresOf,
  idleStatus,
  knownProblem,
  ownerStatus,
  runningStatus,
  successStatus,
} from "../machine/next-status.ts";
import { wantsFreshCopy } from "../machine/backoff.ts";
import { pinnedPlan } from "../machine/plan-run.ts";
import { deleteJob } from "../mover/ensure-job.ts";
import { keepLog, readMoverLog } from "../mover/log-pod.ts";
import { lateMover } from "../mover/lost-node.ts";
import type { RunState } from "../mover/run-state.ts";
import { statusLogs } from "../mover/status-logs.ts";
import type { MoverVerdict } from "../mover-verdict.ts";
import { VARIABLE } from "../mover-variables.ts";
import { LABEL } from "../names.ts";
import type { RunPlan } from "../run-plan.ts";
import { problemOf, type Problem } from "../signals/conditions.ts";
import { openCache } from "../volumes/cache-group.ts";
import { asksForCopies, tellCloned } from "../volumes/copy-trigger.ts";
import { moverUser, ownerToBe } from "./file-owner.ts";
import { isMisplaced } from "./misplaced.ts";
import { stepOf, writeStatus } from "./owner-status.ts";
import type { Next } from "./reconcile.ts";
import type { Owner, ReconcileContext, RolePart } from "./reconcile-context.ts";
import { standingProblem } from "./standing-problem.ts";

interface Running<T extends Owner> {
  readonly owner: T;
  readonly run: RunState;
}

/** A pod that is not started yet is nothing to tell of before this. */
const PATIENCE = 30_000;

/** The Job is at work. It is left alone, but for one that was made while the resource was paused. */
export async function watchRun<T extends Owner>(
  context: ReconcileContext,
  part: RolePart<T>,
  { owner, run }: Running<T>,
): Promise<Next<T>> {
  let problem = standingProblem(owner);
  let recheck: number | undefined;
  if (run.kind === "running") {
    const { job } = run;
    if (job.spec.parallelism === 0 && owner.spec.paused !== true) await resume(context, job);
    if (part.role === "source") await tellCloned(context, owner);
    const age = context.clock.now() - Date.parse(job.metadata.creationTimestamp ?? "");
    const { patience = PATIENCE } = run.problem ?? {};
    if (run.problem !== undefined && (run.failures > 0 || !(age < patience))) {
      problem = problemOf(run.problem, run.problem.reason);
    } else if (run.problem !== undefined) {
      recheck = patience - age;
    }
    const late = await lateMover(context, run.pods);
    if (late.problem !== undefined) problem = problemOf(late.problem, late.problem.reason);
    if (late.recheck !== undefined) recheck = Math.min(recheck ?? Infinity, late.recheck);
    // Its Job makes no other for it. The next one is made when the pod is gone.
    if (late.isGivenUp) await deleteJob(context, owner, part.role);
    if (run.problem?.reason === "Unschedulable" && !(age < PATIENCE)) {
      if (await isMisplaced(context, owner, run)) await deleteJob(context, owner, part.role);
      recheck = Math.min(recheck ?? Infinity, PATIENCE);
    }
  }
  const status = runningStatus(stepOf(context, part, owner), problem);
  await writeStatus(context, part.kind, owner, status);
  return { looked: { recheck } };
}

async function resume({ api, signal }: ReconcileContext, { metadata }: Job): Promise<void> {
  const { namespace, name } = metadata;
  const patch = { spec: { parallelism: 1 } };
  await api.patch(JOB, { namespace, name }, patch, { type: "merge", signal });
}

/** The Job succeeded: what it did stands in the status, and its trigger is answered. */
export async function finishRun<T extends Owner>(
  context: ReconcileContext,
  part: RolePart<T>,
  { owner, run, plan }: Running<T> & { readonly plan: RunPlan },
): Promise<Next<T>> {
  if (run.kind !== "succeeded") return "read";
  const image = await part.volumes.image(owner, plan, run.verdict?.snapshot);
  if ("waiting" in image) {
    const { reason, message, late, recheck } = image.waiting;
    const problem = late === true ? { reason, message } : standingProblem(owner);
    const status = runningStatus(stepOf(context, part, owner), problem);
    await writeStatus(context, part.kind, owner, status);
    return { looked: { recheck } };
  }
  const { job, verdict } = run;
  const log = await readMoverLog(context, owner, part.role);
  const problem = endProblem(job, verdict);
  const status = successStatus(stepOf(context, part, owner), {
    plan,
    verdict,
    logs: statusLogs(log, "Successful"),
    problem,
    pointInTime: pointInTimeOf(job),
    image: image.ready,
    owner: moverUser(job),
    pruned: wasPruned(job, verdict),
    unlocked: plan.unlock !== undefined && (isOfVolSync(job) || verdict?.unlocked === true),
  });
  const written = await writeStatus(context, part.kind, owner, status);
  context.events.record({
    about: written,
    type: "Normal",
    reason: part.role === "source" ? "BackupSucceeded" : "RestoreSucceeded",
    action: "Synchronizing",
    message: successText(verdict),
  });
  if (part.role === "source" && verdict?.uncached === true) await openCache(context, owner, job);
  return { owner: written };
}

/** What a mover warned of; and that one of ours said nothing, so that nobody knows what it did. */
function endProblem(job: Job, verdict: MoverVerdict | undefined): Problem | undefined {
  const [said] = verdict?.problems ?? [];
  if (said !== undefined) return problemOf(said);
  if (verdict !== undefined || isOfVolSync(job)) return undefined;
  const failure = {
    code: "MOVER_FAILED",
    message: "the mover ended with success, but its verdict is lost: what it did is not known",
    hint: "Look at the snapshots of the repository, or run it once more.",
  } as const;
  return problemOf(failure, "VerdictMissing");
}

function isOfVolSync({ metadata }: Job): boolean {
  return metadata.labels?.[LABEL.run] === undefined;
}

function successText(verdict: MoverVerdict | undefined): string {
  if (verdict === undefined) return "The mover ended with success";
  const id = typeof verdict.snapshot === "string" ? verdict.snapshot.slice(0, 8) : undefined;
  return id === undefined ? "There was nothing to do" : `Snapshot ${id}`;
}

/** When the volume's data is from, as the Job was told. */
function pointInTimeOf(job: Job): string | undefined {
  const env = job.spec.template.spec.containers[0]?.env ?? [];
  return env.find(({ name }) => name === VARIABLE.pointInTime)?.value;
}

/** Whether the repository was pruned: the mover says so; one of VolSync's was asked to in its arguments. */
function wasPruned(job: Job, verdict: MoverVerdict | undefined): boolean {
  if (verdict !== undefined) return verdict.pruned === true;
  if (!isOfVolSync(job)) return false;
  return job.spec.template.spec.containers[0]?.args?.includes("prune") ?? false;
}

/** The Job failed: counted, told, and the next attempt set, all in one write. */
export async function countFailure<T extends Owner>(
  context: ReconcileContext,
  part: RolePart<T>,
  { owner, run, plan }: Running<T> & { readonly plan: RunPlan },
): Promise<Next<T>> {
  if (run.kind !== "failed") return "read";
  const files = await ownerToBe(context, { owner, run, plan });
  if (files !== undefined) {
    const next = { plan, owner: files, jobUid: run.job.metadata.uid ?? "" };
    const status = ownerStatus(stepOf(context, part, owner), next);
    const written = await writeStatus(context, part.kind, owner, status);
    const message = `The files belong to ${files.uid}:${files.gid}: the mover starts again as that user`;
    const action = "CreateMover";
    context.events.record({ about: owner, type: "Normal", reason: "OwnerFound", action, message });
    return { owner: written };
  }
  const log = await readMoverLog(context, owner, part.role);
  const status = failureStatus(stepOf(context, part, owner), {
    plan,
    verdict: run.verdict,
    logs: statusLogs(log, "Failed"),
    jobUid: run.job.metadata.uid ?? "",
    problem: problemOf(run.problem, run.problem.reason),
  });
  return { owner: await writeStatus(context, part.kind, owner, status) };
}

/** A Job that is of no use any more. After some failures the copy of the volume goes with it. */
export async function discardJob<T extends Owner>(
  context: ReconcileContext,
  part: RolePart<T>,
  {
    owner,
    run,
    decision,
  }: Running<T> & { readonly decision: Extract<Decision, { kind: "discard" }> },
): Promise<Next<T>> {
  const { plan, wasCounted } = decision;
  if (wasCounted) await tryKeepLog(context, part, { owner, run, plan });
  if (wasCounted && wantsFreshCopy(failuresOf(owner)) && !asksForCopies(context, owner)) {
    const step = await part.volumes.cleanUp(owner, plan);
    if ("waiting" in step) {
      await deleteJob(context, owner, part.role);
      return { looked: { recheck: step.waiting.recheck } };
    }
  }
  await deleteJob(context, owner, part.role);
  // The store tells when it is gone.
  return { looked: {} };
}

/** A run has ended: its log is kept, everything else that it made goes. */
export async function removeRemains<T extends Owner>(
  context: ReconcileContext,
  part: RolePart<T>,
  { owner, run }: Running<T>,
): Promise<Next<T>> {
  const id = run.kind === "none" ? undefined : run.job.metadata.labels?.[LABEL.run];
  const plan = pinnedPlan(owner);
  if (run.kind !== "none") {
    await tryKeepLog(context, part, { owner, run, plan: { id: id ?? run.job.metadata.uid ?? "" } });
  }
  const step = await part.volumes.cleanUp(owner, plan);
  await deleteJob(context, owner, part.role);
  if ("waiting" in step) return { looked: { recheck: step.waiting.recheck } };
  const status = idleStatus(stepOf(context, part, owner), knownProblem(owner));
  const written = await writeStatus(context, part.kind, owner, status);
  // While the store still has the Job, the next look would come to the same.
  return run.kind === "none" ? { owner: written } : { looked: {} };
}

/** A log is worth less than the run that it tells of. */
async function tryKeepLog<T extends Owner>(
  context: ReconcileContext,
  part: RolePart<T>,
  { owner, run, plan }: Running<T> & { readonly plan: Pick<RunPlan, "id"> },
): Promise<void> {
  const verdict = run.kind === "succeeded" || run.kind === "failed" ? run.verdict : undefined;
  try {
    await keepLog(context, owner, part.role, plan, verdict);
  } catch (error) {
    if (!isHoldfastError(error)) throw error;
  }
}
