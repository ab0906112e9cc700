// The conditions of a ReplicationSource or -Destination, in their order: Synchronizing first and as VolSync has it, since tools read
// the first one; then Problem, which says what VolSync hides; then, where an annotation asks for them, Ready, Reconciling and
// Stalled as kstatus reads them, so that `kubectl wait`, Flux and others need no knowledge of the kind. Pure.
//
// They are opt-in because they change what existing `wait: true` setups do: they would wait for the first backup.

import { ERROR_CODES, isHoldfastError, type ErrorCode } from "../../base/errors.ts";
import type { Condition } from "../cluster/kube-object.ts";
import type { Role } from "../names.ts";

export interface Problem {
  /** CamelCase; a label of holdfast_problem, so of a small set. */
  readonly reason: string;
  /** What, why, and how to fix it. */
  readonly message: string;
}

/** What VolSync's own condition says. Texts and reasons are facts that its users' tools rely on. */
export type SynchronizingState =
  | "SyncInProgress"
  | "WaitingForSchedule"
  | "WaitingForManual"
  | "CleaningUp"
  | { readonly error: string };

const SYNCHRONIZING = {
  SyncInProgress: "Synchronization in-progress",
  WaitingForSchedule: "Waiting for next scheduled synchronization",
  WaitingForManual: "Waiting for manual trigger",
  CleaningUp: "Cleaning up",
} as const;

export interface ConditionsInput {
  readonly role: Role;
  readonly synchronizing: SynchronizingState;
  readonly problem?: Problem | undefined;
  /** `status.conditions` as it is: transition times are kept, and conditions that are not ours. */
  readonly previous: readonly Condition[] | undefined;
  /** RFC 3339. */
  readonly now: string;
  /** `metadata.generation`. */
  readonly generation: number | undefined;
  /** Present when the annotation asks for Ready, Reconciling and Stalled. */
  readonly health?: HealthInput | undefined;
}

export interface HealthInput {
  /** It has synchronized at least once: `status.lastSyncTime` is set. */
  readonly synced: boolean;
  /** `spec.trigger.manual` is set, and `status.lastManualSync` is not it yet. */
  readonly manualPending: boolean;
  /** `status.latestMoverStatus.result` is Failed. */
  readonly failed: boolean;
  readonly paused: boolean;
}

const HEALTH_TYPES: readonly string[] = ["Ready", "Reconciling", "Stalled"];

/** All conditions, in order. */
export function conditionsFor(input: ConditionsInput): Condition[] {
  const ours = [synchronizing(input.synchronizing), problemCondition(input.problem)];
  if (input.health) ours.push(...healthConditions(input, input.health));
  const before = input.previous ?? [];
  const foreign = before.filter(
    ({ type }) => !HEALTH_TYPES.includes(type) && !ours.some((one) => one.type === type),
  );
  const stamped = ours.map((one): Condition => {
    const earlier = before.find(({ type }) => type === one.type);
    const unchanged = earlier?.status === one.status;
    const lastTransitionTime = unchanged ? earlier.lastTransitionTime : input.now;
    // VolSync's own has none.
    const known = input.generation !== undefined && one.type !== "Synchronizing";
    const observed = known ? { observedGeneration: input.generation } : {};
    return { ...one, lastTransitionTime, ...observed };
  });
  return [...stamped, ...foreign];
}

type Bare = Omit<Condition, "lastTransitionTime" | "observedGeneration">;

function synchronizing(state: SynchronizingState): Bare {
  const type = "Synchronizing";
  if (typeof state === "object") {
    return { type, status: "False", reason: "Error", message: state.error };
  }
  const status = state === "SyncInProgress" ? "True" : "False";
  return { type, status, reason: state, message: SYNCHRONIZING[state] };
}

function problemCondition(problem: Problem | undefined): Bare {
  const type = "Problem";
  if (problem === undefined) {
    return { type, status: "False", reason: "None", message: "No problem is known" };
  }
  return { type, status: "True", ...problem };
}

/**
 * A source stays Ready while routine runs go on, and a Kustomization that waits for it does not flip every night. A manual tag is
 * something asked for in the spec: until it is answered, the resource is not what its spec says.
 */
function healthConditions(
  { role, synchronizing: state, problem }: ConditionsInput,
  { synced, manualPending, failed, paused }: HealthInput,
): Bare[] {
  const error = typeof state === "object" ? state.error : undefined;
  const running = state === "SyncInProgress";
  const because = problem ?? {
    reason: error === undefined ? "Failed" : "Error",
    message: error ?? "The last run failed",
  };
  const verb = role === "source" ? "backup" : "restore";
  if (failed || error !== undefined) {
    return [
      { type: "Ready", status: "False", ...because },
      settled("Reconciling", "Stalled", `The last ${verb} failed; it is tried again`),
      { type: "Stalled", status: "True", ...because },
    ];
  }
  const stalled = settled("Stalled", "NotStalled", "Nothing stands in the way");
  if (paused && !running && (!synced || manualPending)) {
    const message = `Paused: there will be no ${verb} until it is not`;
    return [
      { type: "Ready", status: "True", reason: "Paused", message },
      settled("Reconciling", "Paused", message),
      stalled,
    ];
  }
  if (!synced || manualPending) {
    const [reason, message] = synced
      ? ["ManualTriggerPending", `The ${verb} that spec.trigger.manual asks for has not ended`]
      : ["FirstRunPending", `No ${verb} has ended yet`];
    return [
      { type: "Ready", status: "False", reason, message },
      { type: "Reconciling", status: "True", reason, message },
      stalled,
    ];
  }
  const message = `The last ${verb} was successful`;
  return [
    { type: "Ready", status: "True", reason: "Synchronized", message },
    settled("Reconciling", "Synchronized", message),
    stalled,
  ];
}

function settled(type: string, reason: string, message: string): Bare {
  return { type, status: "False", reason, message };
}

/** Reasons that say more to a person than the name of their code. */
const REASONS: Partial<Record<ErrorCode, string>> = {
  STORAGE_UNAVAILABLE: "RepositoryUnreachable",
  STORAGE_FAILED: "RepositoryUnreachable",
  STORAGE_DENIED: "RepositoryAccessDenied",
  STORAGE_FULL: "RepositoryFull",
  STORAGE_NOT_FOUND: "RepositoryNotFound",
  REPO_NOT_FOUND: "RepositoryNotFound",
  REPO_LOCKED: "RepositoryLocked",
  CLUSTER_DENIED: "ForbiddenByRBAC",
  CLUSTER_UNREACHABLE: "ClusterUnreachable",
};

/** `WrongPassword` for WRONG_PASSWORD; of a small set, whatever a pod says. */
export function reasonOf(code: ErrorCode): string {
  if (!Object.hasOwn(ERROR_CODES, code)) return "MoverFailed";
  return (
    REASONS[code] ??
    code
      .split("_")
      .map((word) => word.charAt(0) + word.slice(1).toLowerCase())
      .join("")
  );
}

/** Bytes that a text of ours takes in a condition or an event at most. */
const MESSAGE_MAX = 1024;

/** What is wrong, with the fix: of an error that was thrown, or of a problem that a mover told. */
export function problemOf(
  failure: {
    readonly code: ErrorCode;
    readonly message: string;
    readonly hint?: string | undefined;
  },
  reason: string = reasonOf(failure.code),
): Problem {
  const { message, hint } = failure;
  return { reason, message: boundedText(hint ? `${message}. ${hint}` : message) };
}

/** The same of any thrown value: a defect of ours is one, too. */
export function problemOfError(error: unknown): Problem {
  if (isHoldfastError(error)) return problemOf(error);
  const message = error instanceof Error ? error.message : String(error);
  return { reason: reasonOf("BUG"), message: boundedText(message) };
}

/** One line of at most 1,024 bytes, without what a terminal would act on. */
export function boundedText(text: string): string {
  // oxlint-disable-next-line no-control-regex -- what is looked for are control characters
  const line = text
    .toWellFormed()
    .replaceAll(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, " ")
    .trim();
  if (Buffer.byteLength(line) <= MESSAGE_MAX) return line;
  let end = Math.min(line.length, MESSAGE_MAX);
  while (Buffer.byteLength(line.slice(0, end)) > MESSAGE_MAX - 3) end -= 1;
  return `${line
    .slice(0, end)
    .toWellFormed()
    .replace(/\ufffd$/, "")}…`;
}
