// What each decision of the state machine does at rest and at the begin of a run; run-steps.ts has what happens while one is under
// way.

import type { Decision } from "../machine/decide.ts";
import { beginStatus, idleStatus, runningStatus } from "../machine/next-status.ts";
import { modeOf, newRunId, planRun } from "../machine/plan-run.ts";
import type { SyncStatus } from "../machine/sync-resource.ts";
import type { RunState } from "../mover/run-state.ts";
import { lateMover, leftBehind } from "../mover/lost-node.ts";
import { readMoverSecret } from "../mover/secret.ts";
import { problemOf, problemOfError } from "../signals/conditions.ts";
import type { RunCause, RunPlan } from "../run-plan.ts";
import { settleCache } from "../volumes/cache-group.ts";
import { COPY_TRIGGER_LATE } from "../volumes/copy-trigger.ts";
import { makeAttempt } from "./mover-attempt.ts";
import { stepOf, writeStatus } from "./owner-status.ts";
import type { Next } from "./reconcile.ts";
import type { Owner, ReconcileContext, RolePart } from "./reconcile-context.ts";
import { countFailure, discardJob, finishRun, removeRemains, watchRun } from "./run-steps.ts";
import { standingProblem } from "./standing-problem.ts";

export interface Task<T extends Owner> {
  readonly owner: T;
  readonly run: RunState;
  readonly decision: Decision;
}

/** How often a Secret is looked at while a run waits for its next attempt, or an idle resource has a bad one. */
const SECRET_RECHECK = 60_000;
/** Of a mover whose Job is gone, which tells in time when it has ended, but for what was missed. */
const LEFT_RECHECK = 15_000;

/** Does it. Throws what stands in the way. */
export async function perform<T extends Owner>(
  context: ReconcileContext,
  part: RolePart<T>,
  { owner, run, decision }: Task<T>,
): Promise<Next<T>> {
  switch (decision.kind) {
    case "idle":
      return await rest(context, part, { owner, next: decision.next });
    case "begin":
      return await begin(context, part, { owner, cause: decision.cause });
    case "adopt":
      return await pin(context, part, {
        owner,
        cause: decision.cause,
        started: owner.status?.lastSyncStartTime,
      });
    case "retry":
      return await retry(context, part, { owner, plan: decision.plan });
    case "hold":
      return await hold(context, part, { owner, plan: decision.plan, until: decision.until });
    case "attempt":
      return await attempt(context, part, { owner, plan: decision.plan });
    case "watch":
      return await watchRun(context, part, { owner, run });
    case "finish":
      return await finishRun(context, part, { owner, run, plan: decision.plan });
    case "fail":
      return await countFailure(context, part, { owner, run, plan: decision.plan });
    case "discard":
      return await discardJob(context, part, { owner, run, decision });
    case "clean":
      return await removeRemains(context, part, { owner, run });
  }
}

async function write<T extends Owner>(
  context: ReconcileContext,
  part: RolePart<T>,
  owner: T,
  status: SyncStatus,
): Promise<T> {
  return await writeStatus(context, part.kind, owner, status);
}

async function rest<T extends Owner>(
  context: ReconcileContext,
  part: RolePart<T>,
  { owner, next }: { readonly owner: T; readonly next: number | undefined },
): Promise<Next<T>> {
  const { namespace, name } = owner.metadata;
  const key = `${part.role} ${namespace}/${name}`;
  if (part.role === "source") await settleCache(context, owner);
  let problem = standingProblem(owner);
  let recheck = next === undefined ? undefined : Math.max(0, next - context.clock.now());
  if (!context.memory.hasChecked(key, owner)) {
    try {
      await readMoverSecret(context, owner);
      context.memory.setChecked(key, owner);
    } catch (error) {
      problem = problemOfError(error);
      recheck = Math.min(recheck ?? SECRET_RECHECK, SECRET_RECHECK);
    }
  }
  await write(context, part, owner, idleStatus(stepOf(context, part, owner), problem));
  return { looked: { recheck } };
}

async function begin<T extends Owner>(
  context: ReconcileContext,
  part: RolePart<T>,
  { owner, cause }: { readonly owner: T; readonly cause: RunCause },
): Promise<Next<T>> {
  const mode = modeOf(owner, context.settings.defaultMode);
  const isHeld = owner.spec.paused === true && mode === "safe";
  const obstacle = isHeld
    ? { reason: "Paused", message: "spec.paused is true: no run begins until it is not." }
    : await part.obstacle(owner, { mode });
  if (obstacle !== undefined) {
    const { reason, message, recheck } = obstacle;
    const status = idleStatus(stepOf(context, part, owner), { reason, message });
    await write(context, part, owner, status);
    return { looked: { recheck } };
  }
  return await pin(context, part, { owner, cause });
}

/** Writes the plan down: from here on the run is under way, whoever looks. */
async function pin<T extends Owner>(
  context: ReconcileContext,
  part: RolePart<T>,
  input: {
    readonly owner: T;
    readonly cause: RunCause;
    readonly started?: string | undefined;
    /** The attempt before. */
    readonly before?: RunPlan;
  },
): Promise<Next<T>> {
  const { owner, cause, started, before } = input;
  const secret = await readMoverSecret(context, owner);
  const { namespace, name } = owner.metadata;
  context.memory.setChecked(`${part.role} ${namespace}/${name}`, owner);
  const plan = planRun({
    resource: owner,
    role: part.role,
    cause,
    secretHash: secret.hash,
    defaultMode: context.settings.defaultMode,
    now: context.clock.now(),
    id: before?.id ?? newRunId(context.random),
    started,
  });
  const step = stepOf(context, part, owner);
  const isRetry = before !== undefined;
  const problem = standingProblem(owner);
  const written = await write(context, part, owner, beginStatus(step, { plan, problem, isRetry }));
  if (!isRetry) warn(context, part, written);
  return { owner: written };
}

function warn<T extends Owner>({ events }: ReconcileContext, part: RolePart<T>, owner: T): void {
  const warning = part.warning(owner);
  if (warning === undefined) return;
  events.record({ about: owner, type: "Warning", action: "Synchronizing", ...warning });
}

async function retry<T extends Owner>(
  context: ReconcileContext,
  part: RolePart<T>,
  { owner, plan }: { readonly owner: T; readonly plan: RunPlan },
): Promise<Next<T>> {
  return await pin(context, part, {
    owner,
    cause: plan.cause,
    started: plan.started,
    before: plan,
  });
}

async function hold<T extends Owner>(
  context: ReconcileContext,
  part: RolePart<T>,
  { owner, plan, until }: { readonly owner: T; readonly plan: RunPlan; readonly until: number },
): Promise<Next<T>> {
  const secret = await readMoverSecret(context, owner);
  // Whoever changed it wants to see whether that was it.
  if (secret.hash !== plan.secretHash) return await retry(context, part, { owner, plan });
  await write(
    context,
    part,
    owner,
    runningStatus(stepOf(context, part, owner), standingProblem(owner)),
  );
  const left = until - context.clock.now();
  return { looked: { recheck: Math.max(0, Math.min(left, SECRET_RECHECK)) } };
}

async function attempt<T extends Owner>(
  context: ReconcileContext,
  part: RolePart<T>,
  { owner, plan }: { readonly owner: T; readonly plan: RunPlan },
): Promise<Next<T>> {
  const secret = await readMoverSecret(context, owner);
  if (secret.hash !== plan.secretHash) return await retry(context, part, { owner, plan });
  // What was not in the way when the run began may be by now.
  const obstacle = await part.obstacle(owner, plan);
  if (obstacle !== undefined) {
    const { reason, message, recheck } = obstacle;
    const status = runningStatus(stepOf(context, part, owner), { reason, message });
    await write(context, part, owner, status);
    return { looked: { recheck } };
  }
  // The mover of a Job that was removed may take a while to end: never two at once.
  const left = leftBehind(context, owner, part.role);
  if (left.length > 0) {
    const late = await lateMover(context, left);
    const problem = late.problem && problemOf(late.problem, late.problem.reason);
    const status = runningStatus(stepOf(context, part, owner), problem ?? standingProblem(owner));
    await writeStatus(context, part.kind, owner, status);
    return { looked: { recheck: late.recheck ?? LEFT_RECHECK } };
  }
  const step = await makeAttempt(context, part, { owner, plan, secret });
  const waiting = "waiting" in step ? step.waiting : undefined;
  const { reason, message = "" } = waiting?.late === true ? waiting : {};
  const problem = reason === undefined ? standingProblem(owner) : { reason, message };
  const status = runningStatus(stepOf(context, part, owner), problem);
  // As with VolSync, and still waited for.
  if (reason === COPY_TRIGGER_LATE) status.latestMoverStatus = { result: "Failed", logs: message };
  await write(context, part, owner, status);
  return { looked: { recheck: waiting?.recheck } };
}
