// The status after each step of the state machine: the whole of it, from the one before. Fields that are not ours stay. Pure.
//
// Times, reasons and texts are VolSync's (its users' tools wait for them); what VolSync hides stands in the condition Problem and
// in `external`. A status that says the same is the same object text, so that nothing is written when nothing has changed.

import type { Condition } from "../cluster/kube-object.ts";
import type { FileOwner, MoverVerdict } from "../mover-verdict.ts";
import { ANNOTATION, EXTERNAL, type Role } from "../names.ts";
import { formatGoDuration } from "../resources/go-duration.ts";
import type { RunPlan } from "../run-plan.ts";
import {
  boundedText,
  conditionsFor,
  type Problem,
  type SynchronizingState,
} from "../signals/conditions.ts";
import { runFactsText } from "../signals/run-facts.ts";
import { attemptDelay } from "./backoff.ts";
import { nextSync } from "./next-sync.ts";
import { timeOf, timeText, type SyncResource, type SyncStatus } from "./sync-resource.ts";
import { latchOf } from "./trigger.ts";

export interface StatusStep {
  readonly resource: SyncResource;
  readonly role: Role;
  /** Milliseconds since 1970. */
  readonly now: number;
  /** What EXTERNAL.movers is to be; undefined: as it was. */
  readonly movers?: string | undefined;
}

/** `keep`: as it stands in the status. */
export type ProblemChange = Problem | "keep" | undefined;

/** A run begins, or its next attempt does: its plan is pinned. */
export function beginStatus(
  step: StatusStep,
  {
    plan,
    problem,
    isRetry = false,
  }: { readonly plan: RunPlan; readonly problem: ProblemChange; readonly isRetry?: boolean },
): SyncStatus {
  // Another operator may have ended a run whose failures we counted.
  const fresh = isRetry ? {} : { [EXTERNAL.failures]: undefined, [EXTERNAL.failedJob]: undefined };
  return change(step, {
    fields: { lastSyncStartTime: plan.started },
    external: {
      [EXTERNAL.run]: JSON.stringify(plan),
      [EXTERNAL.trigger]: plan.trigger ?? step.resource.status?.external?.[EXTERNAL.trigger] ?? "",
      [EXTERNAL.retryAt]: undefined,
      ...fresh,
    },
    state: "SyncInProgress",
    problem,
  });
}

/** A run goes on; `problem` is what is known to stand in its way. */
export function runningStatus(step: StatusStep, problem: ProblemChange): SyncStatus {
  const latch = latchOf(step.resource, { role: step.role, isRunning: true });
  return change(step, {
    external: latch === undefined ? {} : { [EXTERNAL.trigger]: latch },
    state: "SyncInProgress",
    problem,
  });
}

export interface RunEnd {
  readonly plan: RunPlan;
  /** Undefined: the mover was VolSync's, or its pod is gone. */
  readonly verdict: MoverVerdict | undefined;
  /** What stands in `latestMoverStatus.logs`. */
  readonly logs: string;
}

/** The Job succeeded. */
export function successStatus(
  step: StatusStep,
  end: RunEnd & {
    readonly problem: Problem | undefined;
    /** The volume's data, when the mover does not say. RFC 3339. */
    readonly pointInTime: string | undefined;
    readonly image?: SyncStatus["latestImage"];
    /** Who the mover was: what EXTERNAL.owner is to be, if that is to change. */
    readonly owner?: string | undefined;
    /** The repository was pruned. */
    readonly pruned: boolean;
    /** The unlock that was asked for was made. */
    readonly unlocked: boolean;
  },
): SyncStatus {
  const { plan, verdict } = end;
  const { resource, role, now } = step;
  const status = resource.status ?? {};
  const started = timeOf(status.lastSyncStartTime) ?? now;
  const latch = latchOf(resource, { role, isRunning: true });
  const restic = {
    ...status.restic,
    ...(end.pruned ? { lastPruned: timeText(now) } : {}),
    ...(end.unlocked ? { lastUnlocked: plan.unlock } : {}),
  };
  return change(step, {
    fields: {
      lastSyncStartTime: undefined,
      lastSyncTime: timeText(now),
      lastSyncDuration: formatGoDuration(Math.max(0, now - started)),
      ...(plan.manualTag === undefined ? {} : { lastManualSync: plan.manualTag }),
      latestMoverStatus: { result: "Successful", logs: end.logs },
      ...(end.image === undefined ? {} : { latestImage: end.image }),
      ...(role === "source" && Object.keys(restic).length > 0 ? { restic } : {}),
    },
    external: {
      [EXTERNAL.run]: undefined,
      [EXTERNAL.failures]: undefined,
      [EXTERNAL.failedJob]: undefined,
      [EXTERNAL.retryAt]: undefined,
      [EXTERNAL.locks]: undefined,
      ...(end.owner === undefined ? {} : { [EXTERNAL.owner]: end.owner }),
      ...(latch === undefined ? {} : { [EXTERNAL.trigger]: latch }),
      ...(plan.acceptShrink === undefined ? {} : { [EXTERNAL.acceptShrink]: plan.acceptShrink }),
      ...(verdict === undefined ? {} : madeBy(verdict, { pointInTime: end.pointInTime, now })),
    },
    state: "CleaningUp",
    problem: end.problem,
  });
}

/** Digits of a snapshot's id. */
const SHORT_ID = 8;

/** What the snapshot was. A run that made or restored none leaves the age of the one before as it is: nothing is newer. */
function madeBy(
  verdict: MoverVerdict,
  { pointInTime, now }: { readonly pointInTime: string | undefined; readonly now: number },
): Record<string, string | undefined> {
  const { snapshot } = verdict;
  const facts = { [EXTERNAL.facts]: runFactsText(verdict) };
  if (snapshot === undefined || !/^[0-9a-f]{8,64}$/.test(snapshot)) return facts;
  const time = timeOf(verdict.pointInTime) ?? timeOf(pointInTime);
  // By the clock of a node, or the word of whoever wrote the repository: from the future it would never grow old.
  const at = time === undefined ? {} : { [EXTERNAL.pointInTime]: timeText(Math.min(time, now)) };
  // As people and restic's commands name it: the whole of it would fill a terminal's line in `kubectl get -o wide`.
  return { ...facts, [EXTERNAL.snapshot]: snapshot.slice(0, SHORT_ID), ...at };
}

/** Host names that are kept of the locks in a run's way. */
const LOCKS_MAX = 16;

/** The Job failed: counted once, and the next attempt is set. */
export function failureStatus(
  step: StatusStep,
  end: RunEnd & { readonly jobUid: string; readonly problem: Problem },
): SyncStatus {
  const failures = failuresOf(step.resource) + 1;
  const hosts = (end.verdict?.locks ?? [])
    .map(({ hostname }) => hostname)
    .filter((host) => typeof host === "string" && /^[A-Za-z0-9.-]{1,253}$/.test(host));
  const locks = [...new Set(hosts)].slice(0, LOCKS_MAX).join(",");
  return change(step, {
    fields: { latestMoverStatus: { result: "Failed", logs: end.logs } },
    external: {
      [EXTERNAL.failures]: String(failures),
      [EXTERNAL.failedJob]: end.jobUid,
      [EXTERNAL.retryAt]: timeText(step.now + attemptDelay(failures)),
      [EXTERNAL.locks]: locks === "" ? undefined : locks,
    },
    state: "SyncInProgress",
    problem: end.problem,
  });
}

/** The mover found whose the files are: no failure, and the next Job is made at once, as that user. */
export function ownerStatus(
  step: StatusStep,
  {
    plan,
    owner,
    jobUid,
  }: { readonly plan: RunPlan; readonly owner: FileOwner; readonly jobUid: string },
): SyncStatus {
  return change(step, {
    external: {
      [EXTERNAL.owner]: `${plan.id} ${owner.uid}:${owner.gid}`,
      [EXTERNAL.failedJob]: jobUid,
    },
    state: "SyncInProgress",
    problem: "keep",
  });
}

/** Attempts of the run under way that failed, one after the other. */
export function failuresOf({ status }: SyncResource): number {
  const count = Number(status?.external?.[EXTERNAL.failures] ?? 0);
  return Number.isSafeInteger(count) && count > 0 ? count : 0;
}

/** Nothing is to be done now. */
export function idleStatus(step: StatusStep, problem: ProblemChange): SyncStatus {
  const { resource, role } = step;
  const latch = latchOf(resource, { role, isRunning: false });
  return change(step, {
    external: {
      // Left behind where another operator ended what we began.
      [EXTERNAL.run]: undefined,
      [EXTERNAL.retryAt]: undefined,
      ...(latch === undefined ? {} : { [EXTERNAL.trigger]: latch }),
    },
    state: restState(resource),
    problem,
  });
}

function restState({ spec }: SyncResource): SynchronizingState {
  const { schedule, manual } = spec?.trigger ?? {};
  if (manual) return "WaitingForManual";
  // What has no trigger at all waits only while something stands in its way.
  return schedule ? "WaitingForSchedule" : "WaitingForManual";
}

/** The reconcile itself failed. */
export function errorStatus(step: StatusStep, problem: Problem): SyncStatus {
  return change(step, { state: { error: boundedText(problem.message) }, problem });
}

interface Change {
  readonly fields?: Partial<SyncStatus>;
  /** Undefined removes the key. */
  readonly external?: Readonly<Record<string, string | undefined>>;
  readonly state: SynchronizingState;
  readonly problem: ProblemChange;
}

function change(step: StatusStep, { fields, external, state, problem }: Change): SyncStatus {
  const { resource, role, now, movers } = step;
  const before = resource.status ?? {};
  const next: SyncStatus = { ...before, ...fields };
  const map = { ...before.external, ...external };
  if (movers !== undefined) map[EXTERNAL.movers] = movers;
  const kept = Object.entries(map).filter((entry): entry is [string, string] => {
    return entry[1] !== undefined;
  });
  next.external = kept.length === 0 ? undefined : Object.fromEntries(kept);
  next.nextSyncTime = nextSyncText({ ...resource, status: next }, before.nextSyncTime);
  next.conditions = conditionsFor({
    role,
    synchronizing: state,
    problem: problem === "keep" ? knownProblem(resource) : problem,
    previous: before.conditions,
    now: timeText(now),
    generation: resource.metadata.generation,
    health: wantsHealth(resource)
      ? {
          synced: next.lastSyncTime !== undefined,
          manualPending: isManualPending(resource, next),
          failed: next.latestMoverStatus?.result === "Failed",
          paused: resource.spec?.paused === true,
        }
      : undefined,
  });
  return ordered(next);
}

function nextSyncText(resource: SyncResource, before: string | undefined): string | undefined {
  try {
    const next = nextSync(resource);
    return next === undefined ? undefined : timeText(next);
  } catch {
    // The condition says that the schedule cannot be read.
    return before;
  }
}

function wantsHealth({ metadata }: SyncResource): boolean {
  return metadata.annotations?.[ANNOTATION.readyConditions] === "true";
}

function isManualPending({ spec }: SyncResource, status: SyncStatus): boolean {
  const manual = spec?.trigger?.manual;
  return !!manual && manual !== status.lastManualSync;
}

/** What the condition Problem says now. */
export function knownProblem({ status }: SyncResource): Problem | undefined {
  const condition = status?.conditions?.find(({ type }: Condition) => type === "Problem");
  if (condition?.status !== "True") return undefined;
  return { reason: condition.reason, message: condition.message };
}

/** Keys in one order, absent ones left out. */
function ordered(status: SyncStatus): SyncStatus {
  const entries = Object.entries(status).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries.toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

/** True when two statuses say the same, in whatever order their fields stand. */
export function isSameStatus(a: SyncStatus | undefined, b: SyncStatus | undefined): boolean {
  return canonical(a ?? {}) === canonical(b ?? {});
}

function canonical(value: unknown): string {
  return JSON.stringify(value, (_, field: unknown) => {
    if (typeof field !== "object" || field === null || Array.isArray(field)) return field;
    const entries = Object.entries(field).filter(([, each]) => each !== undefined);
    return Object.fromEntries(entries.toSorted(([x], [y]) => (x < y ? -1 : 1)));
  });
}
