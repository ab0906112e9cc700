// What metrics know of one ReplicationSource or -Destination: drawn from its spec and status alone, so it is the same after the
// operator began anew, and gone with the resource. Counters count what changed between two states of the status: a status write
// that was lost is not counted, and one that is repeated is not counted twice.

import { parseSchedule, type Schedule } from "../../plan/schedule.ts";
import type { Condition, KubeObject } from "../cluster/kube-object.ts";
import { EXTERNAL, type Role } from "../names.ts";
import { readRunFacts, type RunFacts } from "./run-facts.ts";
import { DurationWindow } from "./window.ts";

/** The fields that are read; both kinds of resource have them. */
export interface SignalledResource extends KubeObject {
  spec?: {
    trigger?: { schedule?: string | undefined; manual?: string | undefined } | undefined;
    paused?: boolean | undefined;
    restic?: unknown;
  };
  status?:
    | {
        lastSyncTime?: string | undefined;
        lastSyncStartTime?: string | undefined;
        lastSyncDuration?: string | undefined;
        lastManualSync?: string | undefined;
        latestMoverStatus?: { result?: string | undefined } | undefined;
        conditions?: readonly Condition[] | undefined;
        external?: Readonly<Record<string, string>> | undefined;
      }
    | undefined;
}

/** Slots of a schedule that are counted at one look, which must not hold up the process: more were missed in any case. */
const SLOTS_MAX = 1_000;

export class ResourceRecord {
  readonly role: Role;
  readonly labels: Readonly<Record<string, string>>;
  readonly durations: DurationWindow = new DurationWindow();
  readonly failures: Map<string, number> = new Map();
  successes = 0;
  facts: RunFacts = {};
  lastSync: number | undefined;
  runStarted: number | undefined;
  pointInTime: number | undefined;
  problem: string | undefined;
  /** Reason of the Synchronizing condition. */
  phase: string | undefined;
  failing = false;
  paused = false;
  #schedule: Schedule | undefined;
  #scheduleText: string | undefined;
  #manualPending = false;
  #missed = 0;
  /** When the next interval will have been missed; undefined when none can be. */
  #deadline: number | undefined;
  #late = false;
  #last: Attempts | undefined;

  constructor(role: Role, resource: SignalledResource) {
    this.role = role;
    this.labels = {
      obj_name: resource.metadata.name,
      obj_namespace: resource.metadata.namespace ?? "",
      role,
      method: "restic",
    };
  }

  observe(resource: SignalledResource): void {
    const before = this.#last;
    const attempts = attemptsOf(resource);
    this.#last = attempts;
    const { spec, status } = resource;
    const external = status?.external;
    const lastSync = timeOf(status?.lastSyncTime);
    const ended = lastSync !== undefined && lastSync !== this.lastSync;
    if (ended) {
      const seconds = secondsOf(status?.lastSyncDuration);
      if (seconds !== undefined) this.durations.add(lastSync, seconds);
      if (before) this.successes += 1;
    }
    const problem = conditionOf(resource, "Problem");
    const synchronizing = conditionOf(resource, "Synchronizing");
    this.problem = problem?.status === "True" ? problem.reason : undefined;
    this.phase = synchronizing?.reason;
    if (before && hasFailedAnew(before, attempts)) {
      const reason = this.problem ?? synchronizing?.reason ?? "Unknown";
      this.failures.set(reason, (this.failures.get(reason) ?? 0) + 1);
    }
    this.failing = status?.latestMoverStatus?.result === "Failed" || this.phase === "Error";
    this.runStarted = timeOf(status?.lastSyncStartTime);
    this.pointInTime = timeOf(external?.[EXTERNAL.pointInTime]);
    this.facts = readRunFacts(external);
    this.paused = spec?.paused === true;
    const manual = spec?.trigger?.manual;
    this.#manualPending =
      manual !== undefined && manual !== "" && manual !== status?.lastManualSync;
    // A manual trigger suspends the schedule.
    this.#reschedule(manual ? undefined : spec?.trigger?.schedule, lastSync);
  }

  /**
   * Whether the copy is not what it should be: never made, or a slot of the schedule went by. Undefined where nothing promises
   * when it will be: a destination that restores when asked to.
   */
  outOfSync(now: number): boolean | undefined {
    this.#countMissed(now);
    if (this.role === "destination" && this.#schedule === undefined) return undefined;
    return this.lastSync === undefined || this.#late || this.#manualPending;
  }

  /** Slots of the schedule that went by without a success, while this process looked or before. */
  missedIntervals(now: number): number {
    this.#countMissed(now);
    return this.#missed;
  }

  #reschedule(text: string | undefined, lastSync: number | undefined): void {
    if (text === this.#scheduleText && lastSync === this.lastSync) return;
    if (text !== this.#scheduleText) {
      this.#scheduleText = text;
      this.#schedule = text ? readSchedule(text) : undefined;
    }
    this.lastSync = lastSync;
    this.#late = false;
    const due = lastSync === undefined ? undefined : this.#schedule?.next(lastSync);
    this.#deadline = due === undefined ? undefined : this.#schedule?.next(due);
  }

  #countMissed(now: number): void {
    for (let slots = 0; this.#deadline !== undefined && this.#deadline <= now; slots++) {
      this.#late = true;
      this.#missed += 1;
      this.#deadline = this.#schedule?.next(slots < SLOTS_MAX ? this.#deadline : now);
    }
  }
}

interface Attempts {
  /** Consecutive failed ones. */
  readonly failures: number;
  /** Why the reconcile itself was refused. */
  readonly error: string | undefined;
}

function attemptsOf(resource: SignalledResource): Attempts {
  const count = Number(resource.status?.external?.[EXTERNAL.failures] ?? 0);
  const synchronizing = conditionOf(resource, "Synchronizing");
  return {
    failures: Number.isFinite(count) ? count : 0,
    error: synchronizing?.reason === "Error" ? synchronizing.message : undefined,
  };
}

/** An attempt failed: the count of them grew, or the reconcile itself was refused. */
function hasFailedAnew(before: Attempts, now: Attempts): boolean {
  return now.failures > before.failures || (now.error !== undefined && now.error !== before.error);
}

function conditionOf({ status }: SignalledResource, type: string): Condition | undefined {
  return status?.conditions?.find((condition) => condition.type === type);
}

function readSchedule(text: string): Schedule | undefined {
  try {
    return parseSchedule(text, { timeZone: "UTC", source: "spec.trigger.schedule" });
  } catch {
    return undefined; // the resource's condition says so
  }
}

function timeOf(text: string | null | undefined): number | undefined {
  if (typeof text !== "string") return undefined;
  const time = Date.parse(text);
  return Number.isNaN(time) ? undefined : time;
}

const GO_DURATION = /(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)/g;
const SECONDS: Readonly<Record<string, number>> = {
  ns: 1e-9,
  us: 1e-6,
  µs: 1e-6,
  μs: 1e-6,
  ms: 1e-3,
  s: 1,
  m: 60,
  h: 3600,
};

/** Seconds of a duration as Go writes it: `1m33.549925697s`. */
function secondsOf(text: string | null | undefined): number | undefined {
  if (typeof text !== "string") return undefined;
  let seconds: number | undefined;
  for (const [, count, unit] of text.matchAll(GO_DURATION)) {
    seconds = (seconds ?? 0) + Number(count) * SECONDS[unit!]!;
  }
  return seconds;
}
