// The state machine: what to do next about a ReplicationSource or -Destination, from its object and its Job alone
// (docs/decisions/operator.md). Pure: the same two things give the same decision, whichever process looks and however often.
//
// The state is in the status. `lastSyncStartTime` is set exactly while a run is under way; the run's plan stands in
// `status.external`. A Job is of the run whose id it carries; one without an id was made by VolSync and is taken over.

import { EXTERNAL, type Role } from "../names.ts";
import type { RunCause, RunPlan } from "../run-plan.ts";
import { nextSync } from "./next-sync.ts";
import { pinnedPlan } from "./plan-run.ts";
import { isAhead, timeOf, type SyncResource } from "./sync-resource.ts";
import { pendingCause, triggerValue } from "./trigger.ts";

/** What matters of the resource's Job. */
export interface SeenJob {
  readonly kind: "running" | "succeeded" | "failed";
  readonly uid: string;
  /** RunPlan.id that it was made for; undefined: made by VolSync. */
  readonly run: string | undefined;
  /** It is being deleted. */
  readonly isLeaving: boolean;
}

export interface Observed {
  readonly resource: SyncResource;
  readonly role: Role;
  /** Milliseconds since 1970. */
  readonly now: number;
  /** Undefined: there is none. */
  readonly job: SeenJob | undefined;
}

export type Decision =
  /** Nothing to do until `next`, or until something changes. */
  | { readonly kind: "idle"; readonly next: number | undefined }
  /** Pin a plan. */
  | { readonly kind: "begin"; readonly cause: RunCause }
  /** Pin a plan for a run that another operator began. */
  | { readonly kind: "adopt"; readonly cause: RunCause }
  /** Make volumes and the Job. */
  | { readonly kind: "attempt"; readonly plan: RunPlan }
  | { readonly kind: "watch"; readonly plan: RunPlan }
  /** The Job succeeded: write down what it did. */
  | { readonly kind: "finish"; readonly plan: RunPlan }
  /** The Job failed: count it. */
  | { readonly kind: "fail"; readonly plan: RunPlan }
  /** A Job that was counted, or is of another run: keep its log, remove it. */
  | { readonly kind: "discard"; readonly plan: RunPlan; readonly wasCounted: boolean }
  /** Wait for the next attempt until `until`, or until something that may help is changed. */
  | { readonly kind: "hold"; readonly plan: RunPlan; readonly until: number }
  /** Pin the plan anew for the next attempt. */
  | { readonly kind: "retry"; readonly plan: RunPlan }
  /** A run has ended: remove what it made. */
  | { readonly kind: "clean" };

/** What to do next. RESOURCE_INVALID for a schedule that cannot be read, unless a run is under way, which goes on. */
export function decide(observed: Observed): Decision {
  const { resource, job } = observed;
  if (resource.status?.lastSyncStartTime === undefined) return decideAtRest(observed);
  const plan = pinnedPlan(resource);
  if (plan === undefined) return { kind: "adopt", cause: causeOfForeign(observed) };
  if (job?.isLeaving) return { kind: "watch", plan };
  const failedJob = resource.status.external?.[EXTERNAL.failedJob];
  if (job !== undefined) {
    if (job.uid === failedJob) return { kind: "discard", plan, wasCounted: true };
    if (job.run !== undefined && job.run !== plan.id) {
      return { kind: "discard", plan, wasCounted: false };
    }
    if (job.kind === "succeeded") return { kind: "finish", plan };
    return { kind: job.kind === "failed" ? "fail" : "watch", plan };
  }
  const until = timeOf(resource.status.external?.[EXTERNAL.retryAt]);
  if (until === undefined) return { kind: "attempt", plan };
  return isRetryDue(observed, plan, until)
    ? { kind: "retry", plan }
    : { kind: "hold", plan, until };
}

function decideAtRest({ resource, role, now, job }: Observed): Decision {
  if (job?.isLeaving) return { kind: "idle", next: undefined };
  if (job !== undefined || isCleaning(resource)) return { kind: "clean" };
  const cause = pendingCause(resource, { role, now });
  return cause === undefined
    ? { kind: "idle", next: nextSync(resource) }
    : { kind: "begin", cause };
}

/** The condition says that a run's remains are to be removed. */
export function isCleaning({ status }: SyncResource): boolean {
  const condition = status?.conditions?.find(({ type }) => type === "Synchronizing");
  return condition?.reason === "CleaningUp";
}

/** The time has come, or the resource was changed since the attempt that failed: the cause may be mended. */
function isRetryDue({ resource, now }: Observed, plan: RunPlan, until: number): boolean {
  if (now >= until || isAhead(until, now)) return true;
  if ((resource.metadata.generation ?? 0) !== plan.generation) return true;
  const trigger = triggerValue(resource);
  return trigger !== undefined && trigger !== plan.trigger;
}

/** Another operator knew why it began the run; to us the spec must do. */
function causeOfForeign({ resource }: Observed): RunCause {
  const { schedule, manual } = resource.spec?.trigger ?? {};
  if (manual) return { kind: "manual", tag: manual };
  if (resource.status?.lastSyncTime === undefined) return { kind: "initial" };
  if (!schedule) return { kind: "always" };
  return { kind: "schedule", due: resource.status.lastSyncStartTime ?? "" };
}
