// Does what the state machine decides (docs/decisions/operator.md), for either kind. Each look begins with what is in the cluster and
// ends when there is something to wait for; a look that was cut off anywhere is made good by the next one.
//
// Must never: make a Job, or remove one, because of a cached status. Those decisions are made again from the resource as the API
// server has it at that moment, and every status is written over that version alone.

import { HoldfastError, isHoldfastError } from "../../base/errors.ts";
import type { OperatorContext } from "../context.ts";
import { annotationSlips, triggerSlip } from "../machine/annotation-slips.ts";
import { decide, type Decision } from "../machine/decide.ts";
import { errorStatus } from "../machine/next-status.ts";
import { requireRestic, requireShortTags } from "../machine/plan-run.ts";
import { triggerValue } from "../machine/trigger.ts";
import { endedRun, readRun } from "../mover/run-state.ts";
import { requireReadable, slimResource } from "../resources/slim-resource.ts";
import { ANNOTATION, EXTERNAL } from "../names.ts";
import { moversOf } from "../resources/status-fields.ts";
import { problemOfError } from "../signals/conditions.ts";
import { hasLeftOver } from "./left-over.ts";
import { writeStatus } from "./owner-status.ts";
import { perform } from "./perform.ts";
import type { Owner, ReconcileContext, RolePart } from "./reconcile-context.ts";
import { seenJob } from "./seen-job.ts";

/** What one look came to. `recheck`: milliseconds after which to look again, though nothing changed. */
export interface Looked {
  readonly recheck?: number | undefined;
}

/** Decisions that may follow each other in one look; more is a defect, and the queue slows it down. */
const ROUNDS_MAX = 16;
/** As much of a value tells it from another one. */
const VALUE_SEEN = 100;
/** What was refused is looked at again now and then: a Secret that is mended tells nobody. */
const ERROR_RECHECK = 60_000;

/** Failures of the API server that say nothing of the resource: the queue tries again. */
const PASSING = [
  "CLUSTER_CONFLICT",
  "CLUSTER_GONE",
  "CLUSTER_UNREACHABLE",
  "CLUSTER_FAILED",
  "CLUSTER_NOT_FOUND",
  "CANCELLED",
] as const;

/** Looks at the resource under `namespace/name`. Throws what passes by itself; all else ends in its condition. */
export async function reconcile<T extends Owner>(
  context: ReconcileContext,
  part: RolePart<T>,
  key: string,
): Promise<Looked> {
  const [namespace, name] = key.split("/") as [string, string];
  let owner: T | undefined = part.store.get(namespace, name);
  let isLive = false;
  for (let round = 0; round < ROUNDS_MAX; round++) {
    if (owner === undefined) context.memory.forget(`${part.role} ${key}`);
    if (owner === undefined || owner.metadata.deletionTimestamp !== undefined) return {};
    let next: Next<T>;
    try {
      next = await look(context, part, { owner, isLive });
    } catch (error) {
      if (isHoldfastError(error, "CLUSTER_CONFLICT")) next = "read";
      else return await refuse(context, part, { owner, error });
    }
    if (next !== "read" && "looked" in next) return next.looked;
    isLive = true;
    if (next === "read") {
      const { signal } = context;
      owner = await context.api.get(part.kind, { namespace, name }, { signal });
    } else {
      owner = next.owner;
    }
  }
  throw new HoldfastError("BUG", `${part.role} ${key} does not come to rest`, { retryable: true });
}

/** How it goes on: with the object as it was written, with the object as the API server has it, or not now. */
export type Next<T> = { readonly owner: T } | "read" | { readonly looked: Looked };

/** Decisions that are made of the object as the API server has it, because they cannot be taken back. */
const NEEDS_LIVE: readonly Decision["kind"][] = ["attempt", "discard", "clean", "finish"];

async function look<T extends Owner>(
  context: ReconcileContext,
  part: RolePart<T>,
  { owner: whole, isLive }: { readonly owner: T; readonly isLive: boolean },
): Promise<Next<T>> {
  const owner = slimResource(whole);
  const movers = moversOf((owner.spec ?? {}) as Record<string, unknown>);
  // Left to others by its owner: neither status nor event.
  const external = (owner.spec as { external?: unknown } | undefined)?.external;
  if (movers.length === 0 && external !== undefined) return { looked: {} };
  requireReadable(owner);
  const resource = part.read(owner);
  requireRestic(movers);
  requireShortTags(resource);
  warnOfSlips(context, part, resource);
  tellAnswered(context, part, resource);
  const run = readRun(context, resource, part.role);
  const { role } = part;
  const decision = decide({ resource, role, now: context.clock.now(), job: seenJob(run) });
  const isLeftOver = decision.kind === "idle" && hasLeftOver(context, resource, role);
  if (!isLive && (isLeftOver || NEEDS_LIVE.includes(decision.kind))) return "read";
  if (isLeftOver) await part.volumes.cleanUp(resource, undefined);
  const isEnd = decision.kind === "finish" || decision.kind === "fail";
  const ended = isEnd ? await endedRun(context, run) : run;
  return await perform(context, part, { owner: resource, run: ended, decision });
}

/** Says in the resource what is wrong with it. */
async function refuse<T extends Owner>(
  context: ReconcileContext,
  part: RolePart<T>,
  { owner, error }: { readonly owner: T; readonly error: unknown },
): Promise<Looked> {
  if (context.signal.aborted || isHoldfastError(error, ...PASSING)) throw error;
  const problem = problemOfError(error);
  const step = { resource: owner, role: part.role, now: context.clock.now() };
  await writeStatus(context, part.kind, owner, errorStatus(step, problem));
  // A defect of ours is for the log as well.
  if (!isHoldfastError(error)) throw error;
  return { recheck: ERROR_RECHECK };
}

function warnOfSlips<T extends Owner>(
  context: Pick<OperatorContext, "events"> & Pick<ReconcileContext, "memory">,
  { role }: RolePart<T>,
  owner: T,
): void {
  const { namespace, name, uid } = owner.metadata;
  const noTrigger = triggerSlip(owner) ?? [];
  for (const { key, reason, text, fix } of annotationSlips(owner).concat(noTrigger)) {
    const value = owner.metadata.annotations?.[key] ?? "";
    const news = `${uid} ${key} ${reason === "UnknownTrigger" ? "" : value.slice(0, VALUE_SEEN)}`;
    if (!context.memory.isNews(`${role} ${namespace}/${name}`, news)) continue;
    context.events.record({
      about: owner,
      type: "Warning",
      reason,
      action: "Synchronizing",
      message: `The ${text}. ${fix}`,
    });
  }
}

/**
 * The first value of a destination's trigger means the restore that was made when it was created (machine/trigger.ts). Whoever sets it
 * long after that restore, and waits for another one, is to know.
 */
function tellAnswered<T extends Owner>(
  { events, memory }: Pick<ReconcileContext, "events" | "memory">,
  { role }: RolePart<T>,
  owner: T,
): void {
  const { lastSyncTime, lastSyncStartTime, external } = owner.status ?? {};
  const value = triggerValue(owner);
  const isFirst = role === "destination" && external?.[EXTERNAL.trigger] === "";
  if (!isFirst || value === undefined) return;
  if (lastSyncTime === undefined || lastSyncStartTime !== undefined) return;
  const { namespace, name, uid } = owner.metadata;
  if (!memory.isNews(`${role} ${namespace}/${name}`, `${uid} answered ${value}`)) return;
  events.record({
    about: owner,
    type: "Normal",
    reason: "TriggerAnswered",
    action: "Synchronizing",
    message: `annotation ${ANNOTATION.trigger} means the restore that ended at ${lastSyncTime}, and starts no second one. Another value does`,
  });
}
