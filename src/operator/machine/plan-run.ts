// What a run will do, worked out once from the resource as it is when the run begins, and how that is kept in its status. Pure.

import type { Random } from "../../base/clock.ts";
import { HoldfastError } from "../../base/errors.ts";
import { ANNOTATION, EXTERNAL, type Role } from "../names.ts";
import type { ForgetPlan, RestorePlan, RunCause, RunPlan } from "../run-plan.ts";
import { isAhead, timeOf, timeText, type SyncResource } from "./sync-resource.ts";
import { triggerValue } from "./trigger.ts";

export interface PlanInput {
  readonly resource: SyncResource;
  readonly role: Role;
  readonly cause: RunCause;
  readonly secretHash: string;
  readonly defaultMode: "compat" | "safe";
  /** Milliseconds since 1970. */
  readonly now: number;
  /** RunPlan.id: see `newRunId`. */
  readonly id: string;
  /** RFC 3339, when the run began before: a further attempt of it, or one that VolSync began. */
  readonly started?: string | undefined;
}

const DAY_MS = 86_400_000;
const PRUNE_DAYS = 7;

/** Ten characters that no other run of the resource has. */
export function newRunId(random: Random): string {
  return Buffer.from(random(5)).toString("hex");
}

/** The plan of a run, of an attempt that comes after a failed one, or of what another operator left half done. */
export function planRun(input: PlanInput): RunPlan {
  const { resource, role, cause, secretHash, now, id } = input;
  const manualTag = resource.spec?.trigger?.manual;
  const trigger = triggerValue(resource);
  return {
    id,
    role,
    started: input.started ?? timeText(now),
    cause,
    ...(manualTag ? { manualTag } : {}),
    ...(trigger === undefined ? {} : { trigger }),
    generation: resource.metadata.generation ?? 0,
    secretHash,
    mode: modeOf(resource, input.defaultMode),
    ...(role === "source" ? sourcePlan(resource, now) : { restore: restorePlan(resource) }),
  };
}

/** `safe` or `compat`: what the resource says, or what holds for all. */
export function modeOf(
  { metadata }: SyncResource,
  defaultMode: "compat" | "safe",
): "compat" | "safe" {
  const mode = metadata.annotations?.[ANNOTATION.mode];
  return mode === "safe" || mode === "compat" ? mode : defaultMode;
}

interface SourceFields {
  readonly retain?: ForgetPlan;
  readonly pruneIntervalDays?: number;
  readonly unlock?: string;
  readonly exclude?: { readonly caches?: boolean };
}

function sourcePlan(resource: SyncResource, now: number): Partial<RunPlan> {
  const { metadata, status } = resource;
  const fields = (resource.spec?.restic ?? {}) as SourceFields;
  const { hourly, daily, weekly, monthly, yearly, within, last } = fields.retain ?? {};
  const forget = { hourly, daily, weekly, monthly, yearly, within, last };
  const pruned = timeOf(status?.restic?.lastPruned) ?? timeOf(metadata.creationTimestamp) ?? now;
  const accept = metadata.annotations?.[ANNOTATION.acceptShrink];
  const accepts = !!accept && accept !== status?.external?.[EXTERNAL.acceptShrink];
  const unlocks = !!fields.unlock && fields.unlock !== status?.restic?.lastUnlocked;
  return {
    forget: withoutAbsent(forget),
    prune: isAhead(pruned, now) || now > pruned + (fields.pruneIntervalDays ?? PRUNE_DAYS) * DAY_MS,
    ...(unlocks ? { unlock: fields.unlock } : {}),
    ...(accepts ? { acceptShrink: accept } : {}),
    ...(fields.exclude?.caches === true ? { excludeCaches: true } : {}),
  };
}

interface DestinationFields {
  readonly restoreAsOf?: string;
  readonly previous?: number;
  readonly enableFileDeletion?: boolean;
}

function restorePlan(resource: SyncResource): RestorePlan {
  const fields = (resource.spec?.restic ?? {}) as DestinationFields;
  const { restoreAsOf: asOf, previous, enableFileDeletion } = fields;
  return withoutAbsent({ asOf, previous, delete: enableFileDeletion });
}

function withoutAbsent<T extends object>(value: T): T {
  const present = Object.entries(value).filter(
    ([, field]) => field !== undefined && field !== null,
  );
  return Object.fromEntries(present) as T;
}

/**
 * The plan of the run that the status says is under way. Undefined: there is none, or another operator began it, or has been at
 * work since and left ours behind.
 */
export function pinnedPlan({ status }: SyncResource): RunPlan | undefined {
  const text = status?.external?.[EXTERNAL.run];
  if (text === undefined || status?.lastSyncStartTime === undefined) return undefined;
  let plan: Partial<RunPlan> | null;
  try {
    plan = JSON.parse(text) as Partial<RunPlan> | null;
  } catch {
    return undefined;
  }
  const isPlan =
    typeof plan?.id === "string" &&
    /^[a-z0-9]{4,32}$/.test(plan.id) &&
    typeof plan.secretHash === "string" &&
    typeof plan.cause?.kind === "string" &&
    (plan.role === "source" || plan.role === "destination") &&
    timeOf(plan.started) === timeOf(status.lastSyncStartTime);
  return isPlan ? (plan as RunPlan) : undefined;
}

/** Well below what of a resource is read at all (resources/slim-resource.ts), so that the field is named that is too long. */
const TAG_MAX = 32_768;

/** Throws RESOURCE_INVALID for texts that the status could not hold beside the plan: it would never be written, and nobody told. */
export function requireShortTags({ spec }: SyncResource): void {
  const { unlock } = (spec?.restic ?? {}) as SourceFields;
  const tags = { "spec.trigger.manual": spec?.trigger?.manual, "spec.restic.unlock": unlock };
  for (const [field, tag = ""] of Object.entries(tags)) {
    if (tag.length <= TAG_MAX) continue;
    throw new HoldfastError("RESOURCE_INVALID", `${field} has ${tag.length} characters`, {
      hint: `Give it at most ${TAG_MAX}: any new text will do.`,
    });
  }
}

/** Throws RESOURCE_INVALID, with VolSync's words, when the spec names no mover of ours or more than one. */
export function requireRestic(movers: readonly string[]): void {
  if (movers.length > 1) {
    throw new HoldfastError("RESOURCE_INVALID", "only one replication method can be supplied", {
      hint: `Leave one of ${movers.join(", ")}.`,
    });
  }
  if (movers[0] === "restic") return;
  const named = movers[0] === undefined ? "" : ` (${movers[0]} is not)`;
  throw new HoldfastError(
    "RESOURCE_INVALID",
    `a replication method must be specified - enabled movers: [restic]${named}`,
    { hint: "Use spec.restic; Holdfast runs no other mover." },
  );
}
