// Times as Go writes them in JSON: RFC 3339 with up to nine fraction digits, trailing zeros dropped
// (docs/formats/restic.md#json). Trees hold millions of them, so nothing here allocates a Date.

import { HoldfastError } from "../base/errors.ts";

const TIME =
  /^(\d{4})-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):([0-5]\d):([0-5]\d)(?:\.(\d+))?(?:Z|([+-])([01]\d|2[0-3]):([0-5]\d))$/;

const DAY_SECONDS = 86_400;
const SECOND = 1_000_000_000n;

const TWO_DIGITS: readonly string[] = Array.from({ length: 100 }, (_, i) =>
  String(i).padStart(2, "0"),
);

/** Time of the zero value of Go's time.Time: written where no time is known. */
export const GO_ZERO_TIME = "0001-01-01T00:00:00Z";

/**
 * `nanoseconds` since 1970 as text, in the zone `offsetMinutes` east of UTC. Years before 0 and after 9999 become 0
 * and 9999, as restic does.
 */
export function formatTime(nanoseconds: bigint, offsetMinutes = 0): string {
  let seconds = nanoseconds / SECOND;
  let rest = nanoseconds % SECOND;
  if (rest < 0n) {
    rest += SECOND;
    seconds -= 1n;
  }
  const local = formatTimeParts(Number(seconds) + offsetMinutes * 60, Number(rest));
  if (offsetMinutes === 0) return local;
  const minutes = Math.abs(offsetMinutes);
  const zone = `${TWO_DIGITS[Math.trunc(minutes / 60)]}:${TWO_DIGITS[minutes % 60]}`;
  return `${local.slice(0, -1)}${offsetMinutes < 0 ? "-" : "+"}${zone}`;
}

let cachedDay = Number.NaN;
let cachedDate = "";

/** Whole `seconds` since 1970 (negative before) plus `nanoseconds` (0 to 999 999 999) as text in UTC. */
export function formatTimeParts(seconds: number, nanoseconds: number): string {
  const day = Math.floor(seconds / DAY_SECONDS);
  const second = seconds - day * DAY_SECONDS;
  // Files of one directory mostly share a few days.
  if (day !== cachedDay) {
    cachedDate = formatDay(day);
    cachedDay = day;
  }
  const hour = Math.trunc(second / 3600);
  const minute = Math.trunc(second / 60) % 60;
  const time = `${cachedDate}${TWO_DIGITS[hour]}:${TWO_DIGITS[minute]}:${TWO_DIGITS[second % 60]}`;
  return nanoseconds === 0 ? `${time}Z` : `${time}${formatFraction(nanoseconds)}Z`;
}

function formatFraction(nanoseconds: number): string {
  let digits = nanoseconds;
  let width = 9;
  while (digits % 10 === 0) {
    digits /= 10;
    width--;
  }
  return `.${String(digits).padStart(width, "0")}`;
}

/** "YYYY-MM-DDT" of a day counted from 1970-01-01. */
function formatDay(day: number): string {
  // Civil date from days, counted in eras of 400 years that begin on March 1.
  const shifted = day + 719_468;
  const era = Math.floor(shifted / 146_097);
  const dayOfEra = shifted - era * 146_097;
  const yearOfEra = Math.trunc(
    (dayOfEra -
      Math.trunc(dayOfEra / 1460) +
      Math.trunc(dayOfEra / 36_524) -
      Math.trunc(dayOfEra / 146_096)) /
      365,
  );
  const dayOfYear =
    dayOfEra - (365 * yearOfEra + Math.trunc(yearOfEra / 4) - Math.trunc(yearOfEra / 100));
  const shiftedMonth = Math.trunc((5 * dayOfYear + 2) / 153);
  const date = {
    year: yearOfEra + era * 400 + (shiftedMonth >= 10 ? 1 : 0),
    month: shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9,
    day: dayOfYear - Math.trunc((153 * shiftedMonth + 2) / 5) + 1,
  };
  // Only the year is moved; February 29 of a year that has none is March 1. (Year 0 is a leap year.)
  if (date.year > 9999 && date.month === 2 && date.day === 29)
    Object.assign(date, { month: 3, day: 1 });
  const year = String(Math.min(9999, Math.max(0, date.year))).padStart(4, "0");
  return `${year}-${TWO_DIGITS[date.month]}-${TWO_DIGITS[date.day]}T`;
}

/** True when `text` is a time as parseTime reads it. */
export function isTime(text: string): boolean {
  if (!TIME.test(text)) return false;
  const day = Number(text.slice(8, 10));
  return day <= 28 || day <= daysInMonth(Number(text.slice(0, 4)), Number(text.slice(5, 7)));
}

/**
 * Nanoseconds since 1970 of an RFC 3339 time in any zone; further fraction digits are cut off. Decoders of this folder
 * have checked every time they hand out; for other text this throws USAGE.
 */
export function parseTime(text: string): bigint {
  const match = TIME.exec(text);
  if (match === null || !isTime(text)) {
    throw new HoldfastError("USAGE", `not an RFC 3339 time: ${JSON.stringify(text)}`);
  }
  const [, year, month, day, hour, minute, second, fraction = "", sign, zoneHour, zoneMinute] =
    match;
  const days = daysSinceEpoch(Number(year), Number(month), Number(day));
  const zone = (sign === "-" ? -60 : 60) * (Number(zoneHour ?? 0) * 60 + Number(zoneMinute ?? 0));
  const time = Number(hour) * 3600 + Number(minute) * 60 + Number(second);
  const nanoseconds = BigInt(fraction.slice(0, 9).padEnd(9, "0"));
  return BigInt(days * DAY_SECONDS + time - zone) * SECOND + nanoseconds;
}

/** The second since 1970 that a moment in nanoseconds is in. */
export function secondOf(nanoseconds: bigint): number {
  const second = nanoseconds / SECOND;
  return Number(nanoseconds % SECOND < 0n ? second - 1n : second);
}

/**
 * An RFC 3339 time as Go writes it after reading it: at most nine fraction digits without zeros at their end, and "Z" for
 * every offset that is zero.
 */
export function canonicalTime(text: string): string {
  const match = /^([^.]*?)(\.\d+)?(Z|[+-]\d\d:\d\d)$/.exec(text);
  if (match === null) return text;
  const [, seconds = "", fraction = "", zone = ""] = match;
  const kept = fraction.slice(0, ".123456789".length).replace(/\.?0*$/, "");
  return `${seconds}${kept}${zone.endsWith("00:00") ? "Z" : zone}`;
}

/** Days from 1970-01-01 to a date; negative before it. */
export function daysSinceEpoch(year: number, month: number, day: number): number {
  const shiftedYear = month > 2 ? year : year - 1;
  const era = Math.floor(shiftedYear / 400);
  const yearOfEra = shiftedYear - era * 400;
  const dayOfYear = Math.trunc((153 * (month > 2 ? month - 3 : month + 9) + 2) / 5) + day - 1;
  const leapDays = Math.trunc(yearOfEra / 4) - Math.trunc(yearOfEra / 100);
  return era * 146_097 + yearOfEra * 365 + leapDays + dayOfYear - 719_468;
}

function daysInMonth(year: number, month: number): number {
  if (month === 2) return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28;
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31;
}
