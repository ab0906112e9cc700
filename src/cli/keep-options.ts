// The options that say which snapshots `forget` keeps, and the policy they make.

import type { Command } from "commander";
import { InvalidArgumentError } from "commander";
import { parseKeepDuration } from "../repository/keep-duration.ts";
import { CALENDAR_UNITS, KEEP_UNITS } from "../repository/keep-policy.ts";
import type { CalendarUnit, KeepPolicy, KeepUnit } from "../repository/keep-policy.ts";
import { collect } from "./option-values.ts";

/** Values by the names that commander makes of the options. */
export interface KeepFlags extends Record<string, unknown> {
  keepTag: string[];
  keepWithin?: string;
  keepWindow?: string;
}

const LETTERS: Readonly<Record<KeepUnit, string>> = {
  last: "l",
  hourly: "H",
  daily: "d",
  weekly: "w",
  monthly: "m",
  yearly: "y",
};

export function addKeepOptions(command: Command): void {
  for (const unit of KEEP_UNITS) {
    const what = unit === "last" ? "the last n" : `one of each of the last n ${NOUNS[unit]}`;
    const text = `keep ${what} ("unlimited" for all)`;
    command.option(`-${LETTERS[unit]}, --keep-${unit} <n>`, text, keepCount);
  }
  command.option(
    "--keep-within <duration>",
    "keep what is at most this much older than the newest (1y5m7d2h)",
  );
  for (const unit of CALENDAR_UNITS) {
    const text = `keep one of each ${NOUNS[unit].slice(0, -1)} within this of the newest`;
    command.option(`--keep-within-${unit} <duration>`, text);
  }
  command
    .option("--keep-tag <tags>", "keep what has all of these tags (repeatable)", collect, [])
    .option(
      "--keep-window <duration>",
      "keep what is needed to go back to any moment this long ago or later",
    );
}

const NOUNS: Readonly<Record<CalendarUnit, string>> = {
  hourly: "hours",
  daily: "days",
  weekly: "weeks",
  monthly: "months",
  yearly: "years",
};

/** The policy that the options make. Throws USAGE for a duration that is none. */
export function keepPolicy(flags: KeepFlags): KeepPolicy {
  const duration = (value: unknown, option: string) =>
    parseKeepDuration(typeof value === "string" ? value : "", option);
  const capital = (unit: string): string => unit.charAt(0).toUpperCase() + unit.slice(1);
  const eachUnit = <U extends string, V>(units: readonly U[], value: (unit: U) => V) =>
    Object.fromEntries(units.map((unit) => [unit, value(unit)])) as Record<U, V>;
  return {
    counts: eachUnit(KEEP_UNITS, (unit) => Number(flags[`keep${capital(unit)}`] ?? 0)),
    within: duration(flags.keepWithin, "--keep-within"),
    withinUnits: eachUnit(CALENDAR_UNITS, (unit) =>
      duration(flags[`keepWithin${capital(unit)}`], `--keep-within-${unit}`),
    ),
    tags: flags.keepTag.map((tags) => tags.split(",").map((tag) => tag.trim())),
    window: duration(flags.keepWindow, "--keep-window"),
  };
}

/** Of snapshots; -1 for all. */
function keepCount(value: string): number {
  if (value === "unlimited" || value === "-1") return -1;
  if (/^\d{1,15}$/.test(value)) return Number(value);
  throw new InvalidArgumentError('It is not a number of snapshots, nor "unlimited".');
}
