// How far back a keep rule reaches: years, months, days and hours, counted on the calendar as restic counts, so that a
// policy that moves over keeps the same snapshots. Pure.

import { HoldfastError } from "../base/errors.ts";
import { daysSinceEpoch, secondOf } from "../restic/go-time.ts";

export interface KeepDuration {
  readonly years: number;
  readonly months: number;
  readonly days: number;
  readonly hours: number;
}

/** A moment as a snapshot tells it. */
export interface ZonedTime {
  /** Since 1970. */
  readonly nanoseconds: bigint;
  /** East of UTC, in seconds; undefined for a time that was written in UTC ("Z"). */
  readonly offset: number | undefined;
}

/** Seconds that the zone of this process is east of UTC, at a second since 1970. */
export type LocalOffset = (second: number) => number;

const UNITS: Readonly<Record<string, keyof KeepDuration>> = {
  y: "years",
  m: "months",
  d: "days",
  h: "hours",
};

const SECOND = 1_000_000_000n;
const DAY_SECONDS = 86_400;

/** Reads "1y5m7d2h", in which each part may be missing; the last of two equal units counts. Throws USAGE. */
export function parseKeepDuration(text: string, option: string): KeepDuration {
  const duration = { years: 0, months: 0, days: 0, hours: 0 };
  const fail = (why: string): never => {
    throw new HoldfastError("USAGE", `${option}: not a duration: ${JSON.stringify(text)}; ${why}`, {
      hint: "Write years, months, days and hours as 1y5m7d2h.",
    });
  };
  let rest = text.trim();
  while (rest !== "") {
    const [part = "", digits, unit = ""] = /^(-?\d+)(.?)/su.exec(rest) ?? [];
    if (digits === undefined) fail("there is no number where one is needed");
    if (unit === "") fail(`no unit follows ${digits}`);
    const name = UNITS[unit] ?? fail(`the unit ${JSON.stringify(unit)} is unknown`);
    const count = Number(digits);
    if (count < 0) fail("a duration is not negative");
    if (!(count < 1e9)) fail("the number is too large");
    duration[name] = count;
    rest = rest.slice(part.length);
  }
  return duration;
}

/** "1y5m7d2h"; "" for none. */
export function formatKeepDuration({ years, months, days, hours }: KeepDuration): string {
  const part = (count: number, unit: string): string => (count === 0 ? "" : `${count}${unit}`);
  return part(years, "y") + part(months, "m") + part(days, "d") + part(hours, "h");
}

/** True when it reaches nowhere. */
export function isZeroDuration(duration: KeepDuration): boolean {
  return formatKeepDuration(duration) === "";
}

/**
 * The moment that lies `duration` before `time`, in nanoseconds since 1970. Years, months and days are counted on the
 * calendar at the time's place: that of this process where its offset fits, and one that never changes its clocks
 * elsewhere. A day that a month does not have runs over into the next month.
 */
export function before(time: ZonedTime, duration: KeepDuration, localOffset: LocalOffset): bigint {
  const offsetAt = placeOf(time, localOffset);
  const second = secondOf(time.nanoseconds);
  const local = second + offsetAt(second);
  const day = Math.floor(local / DAY_SECONDS);
  const date = civilDate(day);
  const month = date.year * 12 + (date.month - 1) - duration.years * 12 - duration.months;
  const year = Math.floor(month / 12);
  const days = daysSinceEpoch(year, month - year * 12 + 1, 1) + date.day - 1 - duration.days;
  const wall = days * DAY_SECONDS + (local - day * DAY_SECONDS);
  const nanoseconds =
    BigInt(fromWall(wall, offsetAt)) * SECOND +
    (time.nanoseconds - BigInt(second) * SECOND) -
    // restic's hours are 64 bits of nanoseconds, and overflow as such.
    BigInt.asIntN(64, BigInt(duration.hours) * 3600n * SECOND);
  return nanoseconds;
}

function placeOf({ nanoseconds, offset }: ZonedTime, localOffset: LocalOffset): LocalOffset {
  if (offset === undefined) return () => 0;
  const second = secondOf(nanoseconds);
  return localOffset(second) === offset ? localOffset : () => offset;
}

/** The second since 1970 at which clocks show `wall`; for one that is skipped or shown twice, the one that Go takes. */
function fromWall(wall: number, offsetAt: LocalOffset): number {
  const first = offsetAt(wall);
  return first === 0 ? wall : wall - offsetAt(wall - first);
}

/** Year, month and day of a day counted from 1970-01-01. */
function civilDate(day: number): { year: number; month: number; day: number } {
  const date = new Date(day * DAY_SECONDS * 1000);
  return { year: date.getUTCFullYear(), month: date.getUTCMonth() + 1, day: date.getUTCDate() };
}
