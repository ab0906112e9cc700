// Which snapshots `forget` keeps: restic's keep rules with restic's calendar, and the recovery window. Pure; the clock and
// the zone are arguments. It decides about one group at a time and never removes anything.
//
// A snapshot belongs to the hour, day, week (ISO 8601), month and year of the place where it was made.

import { daysSinceEpoch, parseTime } from "../restic/go-time.ts";
import type { Snapshot } from "../restic/snapshot.ts";
import { before, formatKeepDuration, isZeroDuration } from "./keep-duration.ts";
import type { KeepDuration, LocalOffset, ZonedTime } from "./keep-duration.ts";
import { hasTags } from "./snapshots.ts";

/** Units of the rules that count, in the order in which restic asks and tells. */
export const KEEP_UNITS = ["last", "hourly", "daily", "weekly", "monthly", "yearly"] as const;
export type KeepUnit = (typeof KEEP_UNITS)[number];
export type CalendarUnit = Exclude<KeepUnit, "last">;
export const CALENDAR_UNITS: readonly CalendarUnit[] = [
  "hourly",
  "daily",
  "weekly",
  "monthly",
  "yearly",
];

export interface KeepPolicy {
  /** How many of each unit; -1 for all, 0 for no such rule. */
  readonly counts: Readonly<Record<KeepUnit, number>>;
  /** Everything this far before the newest snapshot. */
  readonly within: KeepDuration;
  /** One of each unit, this far before the newest snapshot. */
  readonly withinUnits: Readonly<Record<CalendarUnit, KeepDuration>>;
  /** Everything that has all tags of one of these lists. */
  readonly tags: readonly (readonly string[])[];
  /**
   * How far back from now every moment must be recoverable: the newest snapshot from before that and all later ones
   * are kept. Ours, restic has no such rule.
   */
  readonly window: KeepDuration;
}

export interface KeepReason<T> {
  readonly kept: T;
  /** The rules that keep it, in restic's words. */
  readonly matches: string[];
  /** What is left of each count after it. */
  readonly counters: Readonly<Record<KeepUnit, number>>;
}

export interface KeepDecision<T> {
  /** Newest first, as are the others. */
  readonly keep: T[];
  readonly remove: T[];
  /** One for each that is kept. */
  readonly reasons: KeepReason<T>[];
}

export interface KeepContext {
  /** Nanoseconds since 1970. */
  readonly now: bigint;
  readonly localOffset: LocalOffset;
}

interface Judged {
  readonly snapshot: Pick<Snapshot, "time" | "tags">;
}

/** True when no rule keeps anything. */
export function isEmptyPolicy(policy: KeepPolicy): boolean {
  const { counts, within, withinUnits, tags, window } = policy;
  return (
    KEEP_UNITS.every((unit) => counts[unit] === 0) &&
    [within, window, ...Object.values(withinUnits)].every(isZeroDuration) &&
    tags.length === 0
  );
}

/** Applies the policy to the snapshots of one group, given in any order; of equal times the first is taken for newer. */
export function applyPolicy<T extends Judged>(
  snapshots: readonly T[],
  policy: KeepPolicy,
  context: KeepContext,
): KeepDecision<T> {
  const timed = snapshots.map((item) => ({ item, time: zonedTime(item.snapshot.time) }));
  timed.sort((a, b) => compare(b.time.nanoseconds, a.time.nanoseconds));
  const rules = rulesOf(policy, timed, context);
  const decision: KeepDecision<T> = { keep: [], remove: [], reasons: [] };
  for (const [number, { item, time }] of timed.entries()) {
    const judged = { ...item.snapshot, number, moment: time.nanoseconds };
    const isOldest = number === timed.length - 1;
    const matches = rules.flatMap((rule) => rule.match(judged, isOldest));
    if (matches.length === 0) {
      decision.remove.push(item);
      continue;
    }
    decision.keep.push(item);
    const counters = { ...policy.counts };
    for (const rule of rules) if (rule.unit !== undefined) counters[rule.unit] = rule.left;
    decision.reasons.push({ kept: item, matches, counters });
  }
  return decision;
}

/** The policy in restic's words: "keep 3 latest, 2 daily snapshots and all snapshots within 5d of the newest". */
export function describePolicy(policy: KeepPolicy): string {
  const { counts, within, withinUnits, tags, window } = policy;
  const counted = KEEP_UNITS.filter((unit) => counts[unit] !== 0).map((unit) => {
    const name = unit === "last" ? "latest" : unit;
    return `${counts[unit] === -1 ? "all" : counts[unit]} ${name}`;
  });
  const lists = CALENDAR_UNITS.filter((unit) => !isZeroDuration(withinUnits[unit])).map(
    (unit) => `${unit} snapshots within ${formatKeepDuration(withinUnits[unit])}`,
  );
  if (counted.length > 0) lists.unshift(`${counted.join(", ")} snapshots`);
  const parts = lists.length === 0 ? [] : [lists.join(", ")];
  if (tags.length > 0) {
    parts.push(`all snapshots with tags [${tags.map(tagsText).join(" ")}]`);
  }
  if (!isZeroDuration(within)) {
    parts.push(`all snapshots within ${formatKeepDuration(within)} of the newest`);
  }
  if (!isZeroDuration(window)) {
    parts.push(`everything that the recovery window of ${formatKeepDuration(window)} needs`);
  }
  return parts.length === 0 ? "remove" : `keep ${parts.join(" and ")}`;
}

/** A snapshot while it is judged. */
interface Candidate {
  readonly time: string;
  readonly tags: readonly string[];
  readonly moment: bigint;
  /** Its place in the group, 0 for the newest. */
  readonly number: number;
}

interface Rule {
  /** What it counts, if it counts. */
  readonly unit: KeepUnit | undefined;
  /** What is left of its count. */
  left: number;
  /** Why it keeps this one; empty when it does not. Asked once for each, newest first. */
  match(candidate: Candidate, isOldest: boolean): string[];
}

function rulesOf(
  policy: KeepPolicy,
  timed: readonly { time: ZonedTime }[],
  { now, localOffset }: KeepContext,
): Rule[] {
  const latest = timed.find(({ time }) => time.nanoseconds < now)?.time ?? NO_TIME;
  const since = (duration: KeepDuration, from: ZonedTime): bigint =>
    before(from, duration, localOffset);
  const rules: Rule[] = policy.tags.map((list) =>
    plain(({ tags }) => hasTags(tags, list), `has tags ${tagsText(list)}`),
  );
  if (!isZeroDuration(policy.within)) {
    const start = since(policy.within, latest);
    rules.push(
      plain(({ moment }) => moment > start, `within ${formatKeepDuration(policy.within)}`),
    );
  }
  for (const unit of KEEP_UNITS) rules.push(counting(unit, policy.counts[unit]));
  for (const unit of CALENDAR_UNITS) {
    const duration = policy.withinUnits[unit];
    if (isZeroDuration(duration)) continue;
    const start = since(duration, latest);
    const reason = `${unit} within ${formatKeepDuration(duration)}`;
    const each = oncePer(unit, (isRepeated) => (isRepeated ? `oldest ${reason}` : reason));
    rules.push({
      unit: undefined,
      left: 0,
      match: (candidate, isOldest) => (candidate.moment > start ? each(candidate, isOldest) : []),
    });
  }
  if (!isZeroDuration(policy.window)) {
    const start = since(policy.window, hereAndNow(now, localOffset));
    // The newest of those that are not younger than the window, or all where there is none.
    const reached = timed.find(({ time }) => time.nanoseconds <= start)?.time.nanoseconds;
    const reason = `recovery window of ${formatKeepDuration(policy.window)}`;
    rules.push(plain(({ moment }) => reached === undefined || moment >= reached, reason));
  }
  return rules;
}

function plain(keeps: (candidate: Candidate) => boolean, reason: string): Rule {
  return {
    unit: undefined,
    left: 0,
    match: (candidate) => (keeps(candidate) ? [reason] : []),
  };
}

function counting(unit: KeepUnit, count: number): Rule {
  const reason = `${unit} snapshot`;
  const each = oncePer(unit, (isRepeated) => (isRepeated ? `oldest ${reason}` : reason));
  const rule: Rule = {
    unit,
    left: count,
    match(candidate, isOldest) {
      if (rule.left === 0) return [];
      const matches = each(candidate, isOldest);
      if (matches.length > 0 && rule.left > 0) rule.left--;
      return matches;
    },
  };
  return rule;
}

/**
 * Keeps the first of each span of time, and the oldest snapshot of all whatever span it is in: so the history stays as
 * long as the rule has room for. `reason` is told whether the span had one already.
 */
function oncePer(
  unit: KeepUnit,
  reason: (isRepeated: boolean) => string,
): (candidate: Candidate, isOldest: boolean) => string[] {
  let last: string | undefined;
  return (candidate, isOldest) => {
    const span = SPANS[unit](candidate);
    const isRepeated = span === last;
    if (isRepeated && !isOldest) return [];
    last = span;
    return [reason(isRepeated)];
  };
}

/** A text for the span of time that a candidate is in. */
const SPANS: Readonly<Record<KeepUnit, (candidate: Candidate) => string>> = {
  last: ({ number }) => String(number),
  hourly: ({ time }) => time.slice(0, "2026-01-31T23".length),
  daily: ({ time }) => time.slice(0, "2026-01-31".length),
  weekly: ({ time }) => isoWeek(time),
  monthly: ({ time }) => time.slice(0, "2026-01".length),
  yearly: ({ time }) => time.slice(0, "2026".length),
};

/** The Monday of the week, as a day since 1970. */
function isoWeek(time: string): string {
  const [year = 0, month = 1, day = 1] = time.slice(0, 10).split("-").map(Number);
  const days = daysSinceEpoch(year, month, day);
  // 1970-01-01 was a Thursday.
  return String(days - ((((days + 3) % 7) + 7) % 7));
}

/** Go's zero time: what a group has that holds only snapshots from the future. */
const NO_TIME: ZonedTime = { nanoseconds: parseTime("0001-01-01T00:00:00Z"), offset: undefined };

function hereAndNow(now: bigint, localOffset: LocalOffset): ZonedTime {
  return { nanoseconds: now, offset: localOffset(Number(now / 1_000_000_000n)) };
}

function zonedTime(text: string): ZonedTime {
  const [, sign, hours, minutes] = /([+-])(\d\d):(\d\d)$/.exec(text) ?? [];
  const offset = Number(hours) * 3600 + Number(minutes) * 60;
  return {
    nanoseconds: parseTime(text),
    offset: sign === undefined ? undefined : sign === "-" ? -offset : offset,
  };
}

function tagsText(tags: readonly string[]): string {
  return `[${tags.join(", ")}]`;
}

function compare(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
