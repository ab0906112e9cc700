// Durations that people type, with the units that restic takes (Go's): "5m", "1h30m", "1.5h", "300ms", "0".

import { HoldfastError } from "./errors.ts";

const MILLISECONDS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

const PARTS = /(\d+(?:\.\d*)?|\.\d+)(ms|s|m|h)/g;
const WHOLE = new RegExp(`^(?:${PARTS.source})+$`);

/** Milliseconds of a duration. Throws USAGE naming `source` ("--retry-lock") for anything else. */
export function parseDuration(text: string, source: string): number {
  if (text === "0") return 0;
  if (!WHOLE.test(text)) {
    throw new HoldfastError("USAGE", `${source}: "${text}" is not a duration`, {
      hint: "Give a number with a unit, ms, s, m or h: 5m, 1h30m.",
    });
  }
  let sum = 0;
  for (const [, count, unit] of text.matchAll(PARTS)) sum += Number(count) * MILLISECONDS[unit!]!;
  return sum;
}
