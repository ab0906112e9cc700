// Times that people write by hand: the --time of a snapshot.

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
