// What asks for a run. A manual trigger wins over the schedule; the trigger annotation asks for one run more besides either. Pure.
//
// The annotation is a latch: a value that was answered never asks again, its removal asks for nothing, and the same value added
// once more asks for nothing. GitOps tools take foreign annotations away and people put them back.

import { createHash } from "node:crypto";
import { ANNOTATION, EXTERNAL, type Role } from "../names.ts";
import type { RunCause } from "../run-plan.ts";
import { nextSync, skipsInitial } from "./next-sync.ts";
import { isAhead, timeOf, timeText, type SyncResource } from "./sync-resource.ts";

/** Why a run is to begin now; undefined when nothing asks for one. RESOURCE_INVALID for a schedule that cannot be read. */
export function pendingCause(
  resource: SyncResource,
  { role, now }: { readonly role: Role; readonly now: number },
): RunCause | undefined {
  const { schedule, manual } = resource.spec?.trigger ?? {};
  const status = resource.status ?? {};
  const asked = askedByAnnotation(resource, role);
  if (manual) {
    if (manual !== status.lastManualSync) return { kind: "manual", tag: manual };
    return asked === undefined ? undefined : { kind: "annotation", value: asked };
  }
  const next = nextSync(resource);
  if (schedule) {
    const isFirst = status.lastSyncTime === undefined && !skipsInitial(resource);
    if (isFirst) return { kind: "initial" };
    const wasAhead = isAhead(timeOf(status.lastSyncTime), now);
    if (wasAhead) return { kind: "schedule", due: timeText(now) };
    if (next !== undefined && next <= now) return { kind: "schedule", due: timeText(next) };
    return asked === undefined ? undefined : { kind: "annotation", value: asked };
  }
  return status.lastSyncTime === undefined ? { kind: "initial" } : { kind: "always" };
}

/** The annotation's value when it asks for a run that was not made. */
function askedByAnnotation(resource: SyncResource, role: Role): string | undefined {
  const value = triggerValue(resource);
  const answered = resource.status?.external?.[EXTERNAL.trigger];
  if (value === undefined || value === answered) return undefined;
  // A destination restores when it is created. Whoever annotates it then, as one would a source, wants that restore, not a second
  // one into a volume that may be in use by now.
  if (role === "destination" && (answered ?? "") === "") return undefined;
  // What was written while another operator ran was no request to us.
  if (answered === undefined && resource.status?.lastSyncTime !== undefined) return undefined;
  return value;
}

/**
 * What the latch should hold: undefined when it is right. A first sight is recorded, so that the next value can be told from it;
 * and a destination takes what it sees during a run for the wish for that run.
 */
export function latchOf(
  resource: SyncResource,
  { role, isRunning }: { readonly role: Role; readonly isRunning: boolean },
): string | undefined {
  const value = triggerValue(resource);
  const answered = resource.status?.external?.[EXTERNAL.trigger];
  const isNew = role === "source" && !isRunning && resource.status?.lastSyncTime === undefined;
  if (answered === undefined) return isNew ? "" : (value ?? "");
  if (role === "source" || value === undefined || value === answered) return undefined;
  return isRunning || answered === "" ? value : undefined;
}

/** An annotation may hold 256 KiB, and what is answered is kept in the status twice. */
const VALUE_MAX = 200;

/** The annotation's value, or its hash when it is long; undefined when there is none, or an empty one. */
export function triggerValue({ metadata }: SyncResource): string | undefined {
  const value = metadata.annotations?.[ANNOTATION.trigger];
  if (value === undefined || value === "") return undefined;
  if (value.length <= VALUE_MAX) return value;
  return `sha256:${createHash("sha256").update(value).digest("hex")}`;
}

/** Annotations that were meant to be the trigger and are not: people know it by several names. */
export function lookAlikes({ metadata }: SyncResource): string[] {
  return Object.keys(metadata.annotations ?? {}).filter(
    (key) =>
      key !== ANNOTATION.trigger &&
      /^(?:[a-z0-9.-]*(?:volsync|backube|holdfast)[a-z0-9.-]*\/)(?:.*trigger.*|.*-now|sync|reconcile|run)$/i.test(
        key,
      ) &&
      !KNOWN.has(key),
  );
}

const KNOWN: ReadonlySet<string> = new Set(Object.values(ANNOTATION));
