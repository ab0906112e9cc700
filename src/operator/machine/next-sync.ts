// When a resource with a schedule is due: the first time of its schedule behind the end of the last successful run, in UTC unless
// the line names a zone. Slots that passed meanwhile are not made up for. Pure.

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
  if (last !== undefined) return parsed.next(last);
  return skipsInitial(resource)
    ? parsed.next(timeOf(resource.metadata.creationTimestamp) ?? 0)
    : undefined;
}

/** True when the resource asks for no run at its creation; only what has a schedule can wait for it. */
export function skipsInitial({ metadata, spec }: SyncResource): boolean {
  return metadata.annotations?.[ANNOTATION.skipInitialSync] === "true" && !!spec?.trigger?.schedule;
}
