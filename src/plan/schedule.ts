// When something is due: a line of cron by the rules of Kubernetes, VolSync and CloudNativePG (robfig/cron), in a time zone.
// The line is read here, so that a plan means the same everywhere; the calendar with its changes of the clock is croner's.
// Unlike robfig's, a time that a change of the clock leaves out is not skipped: it is due when the clock has jumped.

import { Cron } from "croner";
import { HoldfastError } from "../base/errors.ts";

export interface Schedule {
  /** As it was written. */
  readonly text: string;
  readonly timeZone: string;
  /** The first time behind `after`, both in milliseconds since 1970; undefined for one that never comes. */
  next(after: number): number | undefined;
}

interface Field {
  readonly name: string;
  readonly min: number;
  readonly max: number;
  readonly names?: readonly string[];
}

const FIELDS: readonly Field[] = [
  { name: "minute", min: 0, max: 59 },
  { name: "hour", min: 0, max: 23 },
  { name: "day of the month", min: 1, max: 31 },
  {
    name: "month",
    min: 1,
    max: 12,
    names: ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
  },
  {
    name: "day of the week",
    min: 0,
    max: 6,
    names: ["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
  },
];

const DESCRIPTORS: ReadonlyMap<string, string> = new Map([
  ["@yearly", "0 0 1 1 *"],
  ["@annually", "0 0 1 1 *"],
  ["@monthly", "0 0 1 * *"],
  ["@weekly", "0 0 * * 0"],
  ["@daily", "0 0 * * *"],
  ["@midnight", "0 0 * * *"],
  ["@hourly", "0 * * * *"],
]);

const EXAMPLE =
  'Write it like "30 2 * * *": minute, hour, day of the month, month, day of the week.';

/**
 * Reads "30 2 * * *", "@daily" or "CRON_TZ=Europe/Berlin 30 2 * * *"; the zone in the line goes before `timeZone`. Throws USAGE
 * naming `source`.
 */
export function parseSchedule(
  text: string,
  { timeZone, source }: { readonly timeZone: string; readonly source: string },
): Schedule {
  const [, named, rest = ""] = /^\s*(?:(?:CRON_)?TZ=(\S+)\s+)?(.*?)\s*$/s.exec(text) ?? [];
  const zone = named ?? timeZone;
  if (!isTimeZone(zone)) {
    throw invalid(source, `there is no time zone ${JSON.stringify(zone)}`, ZONE_HINT);
  }
  const line = DESCRIPTORS.get(rest.toLowerCase()) ?? rest;
  if (line.startsWith("@")) {
    const known = [...DESCRIPTORS.keys()].join(", ");
    throw invalid(source, `${JSON.stringify(line)} is not known`, `Use one of ${known}.`);
  }
  const parts = line.split(/\s+/).filter((part) => part !== "");
  if (parts.length !== FIELDS.length) {
    throw invalid(source, `it has ${parts.length} fields, and a schedule has five`, EXAMPLE);
  }
  const fields = parts.map((part, i) => readField(part, FIELDS[i]!, source));
  const pattern = fields.join(" ");
  const schedule: Schedule = {
    text,
    timeZone: zone,
    next: (after) => cronOf(pattern, zone).nextRun(new Date(after))?.getTime(),
  };
  // The 31st of February: whoever wrote it waits for ever.
  if (schedule.next(Date.UTC(2024, 0, 1)) === undefined) {
    throw invalid(source, "such a day never comes", EXAMPLE);
  }
  return schedule;
}

/** Croner keeps 80 KB for a pattern, a flag for each of ten thousand years: too much for each of hundreds of resources. */
const CRONS_MAX = 16;
const crons = new Map<string, Cron>();

/** Croner's form of a pattern: one of the last that were asked for, or made anew. */
function cronOf(pattern: string, timezone: string): Cron {
  const key = `${timezone} ${pattern}`;
  const cron = crons.get(key) ?? new Cron(pattern, { mode: "5-part", timezone, paused: true });
  crons.delete(key);
  crons.set(key, cron);
  if (crons.size > CRONS_MAX) crons.delete(crons.keys().next().value!);
  return cron;
}

const ZONE_HINT = "Give a name such as Europe/Berlin, or UTC.";

/** True for the name of a time zone of this machine's data: "Europe/Berlin", "UTC". */
export function isTimeZone(name: string): boolean {
  try {
    return name !== "" && new Intl.DateTimeFormat("en", { timeZone: name }).format(0) !== "";
  } catch {
    return false;
  }
}

/** A field as croner takes it: `*`, or all its numbers. */
function readField(text: string, field: Field, source: string): string {
  const numbers = new Set<number>();
  let isAny = false;
  for (const part of text.split(",")) {
    const range = readPart(part, field, source);
    // By robfig's rules one `*` in the list makes days of the month and of the week narrow each other down.
    if (range.isAny) isAny = true;
    for (let number = range.from; number <= range.to; number += range.step) numbers.add(number);
  }
  return isAny ? "*" : [...numbers].toSorted((a, b) => a - b).join(",");
}

/** One part of a list: `*`, `3`, `1-5`, `*` or `1-5` or `3` with a step behind a slash. */
function readPart(
  text: string,
  field: Field,
  source: string,
): { readonly from: number; readonly to: number; readonly step: number; readonly isAny: boolean } {
  const { name, min, max } = field;
  const fail = (why: string, hint = EXAMPLE): never => {
    throw invalid(source, `the ${name} ${JSON.stringify(text)} ${why}`, hint);
  };
  const [range = "", stepText, ...more] = text.split("/");
  const step = stepText === undefined ? 1 : /^\d{1,4}$/.test(stepText) ? Number(stepText) : 0;
  if (more.length > 0 || step === 0) return fail("has a step that is no number from 1 on");
  if (range === "*" || range === "?") return { from: min, to: max, step, isAny: step === 1 };
  const ends = range.split("-").map((end) => numberOf(end, field));
  const [from, to = stepText === undefined ? from : max] = ends;
  if (from === undefined || to === undefined || ends.length > 2 || ends.includes(undefined))
    return fail("cannot be understood");
  if (from < min || to > max) {
    const isSunday = name === "day of the week" && (from === 7 || to === 7);
    const hint = isSunday ? "Sunday is 0 here, as in Kubernetes." : EXAMPLE;
    return fail(`is outside of ${min} to ${max}`, hint);
  }
  if (from > to) return fail("ends before it begins");
  return { from, to, step, isAny: false };
}

function numberOf(text: string, { names, min }: Field): number | undefined {
  if (/^\d{1,4}$/.test(text)) return Number(text);
  const at = names?.indexOf(text.toLowerCase()) ?? -1;
  return at < 0 ? undefined : at + min;
}

function invalid(source: string, why: string, hint: string): HoldfastError {
  return new HoldfastError("USAGE", `${source}: ${why}`, { hint });
}
