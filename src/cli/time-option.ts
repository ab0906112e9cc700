// Times that people write by hand: the --time of a snapshot, and those that `find` searches between.

import { HoldfastError } from "../base/errors.ts";

/** Nanoseconds since 1970 of "2026-01-31 15:04:05" in the local zone, or of an RFC 3339 time. */
export function parseTimeOption(text: string): bigint {
  const local = /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/.test(text);
  const time = Date.parse(local ? text.replace(" ", "T") : text);
  if (!Number.isNaN(time)) return BigInt(time) * 1_000_000n;
  throw new HoldfastError("USAGE", `not a time: ${JSON.stringify(text)}`, {
    hint: "Write it as 2026-01-31 15:04:05.",
  });
}

/** A day, as 2026-01-31 or 31.01.2026; then a time and a zone, if any. */
const SEARCHED =
  /^(?:(\d{4})-(\d\d)-(\d\d)|(\d\d)\.(\d\d)\.(\d{4}))(?: (\d\d):(\d\d)(?::(\d\d)(?: (?:([+-])(\d\d)(\d\d)|UTC))?)?)?$/;

/** Nanoseconds since 1970 of "2026-01-31", "2026-01-31 15:04", "31.01.2026 15:04:05 +0100" and the like. */
export function parseSearchTime(text: string): bigint {
  const match = SEARCHED.exec(text);
  if (match !== null) {
    const [year, month, day] = match[1] === undefined ? [6, 5, 4] : [1, 2, 3];
    const part = (index: number): number => Number(match[index] ?? 0);
    const fields = [part(year!), part(month!) - 1, part(day!), part(7), part(8), part(9)] as const;
    const utc = Date.UTC(...fields);
    const sound = new Date(utc).toISOString().slice(0, 19);
    const wanted = `${match[year!]}-${match[month!]}-${match[day!]}T${[7, 8, 9].map((i) => match[i] ?? "00").join(":")}`;
    if (sound === wanted) {
      const zone = (match[10] === "-" ? -1 : 1) * (part(11) * 60 + part(12)) * 60_000;
      const isLocal = match[10] === undefined && !text.endsWith("UTC");
      return BigInt(isLocal ? new Date(...fields).getTime() : utc - zone) * 1_000_000n;
    }
  }
  throw new HoldfastError("USAGE", `unable to parse time: ${JSON.stringify(text)}`, {
    hint: "Write it as 2026-01-31 or 2026-01-31 15:04:05.",
  });
}
