// When a resource with a schedule is due: the first time of its schedule behind the end of the last successful run, in UTC unless
// the line names a zone. Slots that passed meanwhile are not made up for. The annotation of a jitter puts all slots of a resource off by
// the same time, which is another one for each resource, so that not all of a cluster are due in the same second. Pure.

import { createHash } from "node:crypto";
import { HoldfastError, messageOf } from "../../base/errors.ts";
import { parseSchedule, type Schedule } from "../../plan/schedule.ts";
import { ANNOTATION } from "../names.ts";
import { timeOf, type SyncResource } from "./sync-resource.ts";

/** Schedules that were read; many resources share few lines. Only a cache: it changes no result. */
const read = new Map<string, Schedule>();
const READ_MAX = 1000;

/** Reads `spec.trigger.schedule`. RESOURCE_INVALID with the fix when it is none: the CRD's pattern lets some of those pass. */
export function scheduleOf(text: string): Schedule {
  const known = read.get(text);
  if (known !== undefined) return known;
  let schedule: Schedule;
  try {
    schedule = parseSchedule(text, { timeZone: "UTC", source: "spec.trigger.schedule" });
  } catch (error) {
    const hint = (error as HoldfastError).hint;
    throw new HoldfastError("RESOURCE_INVALID", messageOf(error), {
      cause: error,
      ...(hint === undefined ? {} : { hint }),
    });
  }
  if (read.size >= READ_MAX) read.clear();
  read.set(text, schedule);
  return schedule;
}

/**
 * When the schedule asks for the next run, in milliseconds since 1970. Undefined: there is no schedule, a manual trigger suspends
 * it, or the first run has not been and is due at once.
 */
export function nextSync(resource: SyncResource): number | undefined {
  const { schedule, manual } = resource.spec?.trigger ?? {};
  if (!schedule || manual) return undefined;
  const parsed = scheduleOf(schedule);
  const last = timeOf(resource.status?.lastSyncTime);
  if (last === undefined && !skipsInitial(resource)) return undefined;
  const after = last ?? timeOf(resource.metadata.creationTimestamp) ?? 0;
  const jitter = jitterOf(resource);
  const slot = parsed.next(after - jitter);
  return slot === undefined ? undefined : slot + jitter;
}

const UNIT = { s: 1000, m: 60_000, h: 3_600_000 } as const;
const JITTER_MAX = 24 * UNIT.h;

/**
 * Milliseconds, in whole seconds, by which the resource's slots are put off: from none to less than the annotation says, always the
 * same for a resource. RESOURCE_INVALID with the fix for what is no such time.
 */
function jitterOf({ metadata }: SyncResource): number {
  const text = metadata.annotations?.[ANNOTATION.jitter];
  if (text === undefined || text === "") return 0;
  const [, count, unit] = /^(\d{1,6})([smh])$/.exec(text) ?? [];
  const most = Number(count) * UNIT[unit as keyof typeof UNIT];
  if (!(most <= JITTER_MAX)) {
    const shown = JSON.stringify(text.slice(0, 40));
    throw new HoldfastError("RESOURCE_INVALID", `${ANNOTATION.jitter} is ${shown}`, {
      hint: 'Write a time of at most a day, such as "10m", "90s" or "2h".',
    });
  }
  const hash = createHash("sha256")
    .update(metadata.uid ?? "")
    .digest();
  return Math.floor((hash.readUIntBE(0, 6) / 2 ** 48) * (most / UNIT.s)) * UNIT.s;
}

/** True when the resource asks for no run at its creation; only what has a schedule can wait for it. */
export function skipsInitial({ metadata, spec }: SyncResource): boolean {
  return metadata.annotations?.[ANNOTATION.skipInitialSync] === "true" && !!spec?.trigger?.schedule;
}
