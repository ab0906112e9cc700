// Durations against what Go's time.Duration prints.

import assert from "node:assert/strict";
import { test } from "node:test";
import { formatGoDuration } from "./go-duration.ts";

/** Nanoseconds, and how Go prints them. */
const KNOWN: readonly [number, string][] = [
  [0, "0s"],
  [1, "1ns"],
  [999, "999ns"],
  [1000, "1µs"],
  [1500, "1.5µs"],
  [999_999, "999.999µs"],
  [1_000_000, "1ms"],
  [350_000_000, "350ms"],
  [999_999_999, "999.999999ms"],
  [1_000_000_000, "1s"],
  [1_500_000_000, "1.5s"],
  [60_000_000_000, "1m0s"],
  [93_549_925_697, "1m33.549925697s"],
  [3_600_000_000_000, "1h0m0s"],
  [3_661_000_000_000, "1h1m1s"],
  [90_000_000_000_000, "25h0m0s"],
  [-1_500_000_000, "-1.5s"],
];

test("durations are written as Go writes them", () => {
  for (const [nanoseconds, text] of KNOWN) assert.equal(formatGoDuration(nanoseconds / 1e6), text);
});
