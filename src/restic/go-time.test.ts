// Expectations come from package time of Go 1.26, with restic's rule for years.

import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { canonicalTime, formatTime, formatTimeParts, isTime, parseTime } from "./go-time.ts";

const SECOND = 1_000_000_000n;

/** [seconds since 1970, nanoseconds, minutes east of UTC, text]. */
const FORMATTED: readonly (readonly [bigint, bigint, number, string])[] = [
  [0n, 0n, 0, "1970-01-01T00:00:00Z"],
  [0n, 1n, 0, "1970-01-01T00:00:00.000000001Z"],
  [1700000000n, 100000000n, 0, "2023-11-14T22:13:20.1Z"],
  [1700000000n, 123456789n, 60, "2023-11-14T23:13:20.123456789+01:00"],
  [1700000000n, 120n, -330, "2023-11-14T16:43:20.00000012-05:30"],
  [-1n, 999999999n, 0, "1969-12-31T23:59:59.999999999Z"],
  [-62135596800n, 0n, 0, "0001-01-01T00:00:00Z"],
  [-62167219200n, 0n, 0, "0000-01-01T00:00:00Z"],
  [-62167219201n, 0n, 0, "0000-12-31T23:59:59Z"],
  [-99999999999n, 5n, 0, "0000-02-15T14:13:21.000000005Z"],
  [253402300799n, 999999999n, 0, "9999-12-31T23:59:59.999999999Z"],
  [253402300800n, 0n, 0, "9999-01-01T00:00:00Z"],
  [253402300799n, 0n, 60, "9999-01-01T00:59:59+01:00"],
  [951782400n, 0n, 0, "2000-02-29T00:00:00Z"],
  [951868799n, 0n, 0, "2000-02-29T23:59:59Z"],
  [951868800n, 0n, 0, "2000-03-01T00:00:00Z"],
  [4107542399n, 0n, 0, "2100-02-28T23:59:59Z"],
  [4107542400n, 0n, 0, "2100-03-01T00:00:00Z"],
  [1709164800n, 1000000n, 345, "2024-02-29T05:45:00.001+05:45"],
  [32503680000n, 10n, 840, "3000-01-01T14:00:00.00000001+14:00"],
  [253407398400n, 0n, 0, "9999-03-01T00:00:00Z"],
  [253407312000n, 0n, 0, "9999-02-28T00:00:00Z"],
  [9223372036n, 854775807n, 0, "2262-04-11T23:47:16.854775807Z"],
];

/** [text, seconds since 1970, nanoseconds]. */
const PARSED: readonly (readonly [string, bigint, bigint])[] = [
  ["2024-02-29T23:59:59.9999999999+23:59", 1709164859n, 999999999n],
  ["2024-01-01T00:00:00-00:00", 1704067200n, 0n],
  ["0000-01-01T00:00:00Z", -62167219200n, 0n],
  ["9999-12-31T23:59:59.999999999-12:00", 253402343999n, 999999999n],
  ["2024-01-01T00:00:00+05:30", 1704047400n, 0n],
];

const REFUSED = [
  "",
  "2024-02-30T00:00:00Z",
  "2023-02-29T00:00:00Z",
  "2024-01-01T24:00:00Z",
  "2024-01-01T23:59:60Z",
  "2024-01-01T00:00:00",
  "2024-1-01T00:00:00Z",
  "2024-01-01 00:00:00Z",
  "2024-01-01t00:00:00z",
  "2024-01-01T00:00:00.Z",
  "10000-01-01T00:00:00Z",
  "2024-01-01T00:00:00+0530",
  "2024-04-31T00:00:00Z\n",
];

test("times are written as Go does", () => {
  for (const [seconds, nanoseconds, offset, text] of FORMATTED) {
    assert.equal(formatTime(seconds * SECOND + nanoseconds, offset), text);
    if (offset === 0) assert.equal(formatTimeParts(Number(seconds), Number(nanoseconds)), text);
  }
});

test("times are read as Go does", () => {
  for (const [text, seconds, nanoseconds] of PARSED) {
    assert.equal(parseTime(text), seconds * SECOND + nanoseconds, text);
  }
});

test("what is no RFC 3339 time is refused", () => {
  for (const text of REFUSED) {
    assert.equal(isTime(text), false, text);
    assert.throws(() => parseTime(text), { code: "USAGE" });
  }
});

test("every moment of the years 0 to 9999 survives, in any zone", () => {
  const nanoseconds = fc.bigInt({ min: -62167132800n * SECOND, max: 253402214400n * SECOND });
  fc.assert(
    fc.property(nanoseconds, fc.integer({ min: -840, max: 840 }), (moment, offset) => {
      const text = formatTime(moment, offset);
      assert.ok(isTime(text));
      assert.equal(parseTime(text), moment);
    }),
  );
});

test("the date agrees with JavaScript's own calendar", () => {
  fc.assert(
    fc.property(fc.integer({ min: -62167132800, max: 253402214400 }), (seconds) => {
      const expected = new Date(seconds * 1000).toISOString().replace(".000Z", "Z");
      assert.equal(formatTimeParts(seconds, 0), expected);
    }),
  );
});

test("a time that was read is written as Go writes it", () => {
  for (const [text, expected] of [
    ["2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"],
    ["2026-01-02T03:04:05+00:00", "2026-01-02T03:04:05Z"],
    ["2026-01-02T03:04:05.120-00:00", "2026-01-02T03:04:05.12Z"],
    ["2026-01-02T03:04:50.000+02:00", "2026-01-02T03:04:50+02:00"],
    ["2026-01-02T03:04:05.1234567891-11:30", "2026-01-02T03:04:05.123456789-11:30"],
    ["2026-01-02T03:04:05.0000000001Z", "2026-01-02T03:04:05Z"],
  ] as const) {
    assert.equal(canonicalTime(text), expected, text);
  }
});
