import { suite, test } from "node:test";
import assert from "node:assert/strict";
import { parseTime } from "../restic/go-time.ts";
import { before, formatKeepDuration, isZeroDuration, parseKeepDuration } from "./keep-duration.ts";

const parse = (text: string) => parseKeepDuration(text, "--keep-within");

suite("durations of keep rules", () => {
  test("are written as years, months, days and hours", () => {
    assert.deepEqual(parse("1y5m7d2h"), { years: 1, months: 5, days: 7, hours: 2 });
    assert.equal(formatKeepDuration(parse(" 2h7d ")), "7d2h");
    assert.equal(formatKeepDuration(parse("3d4d")), "4d");
    assert.ok(isZeroDuration(parse("")) && isZeroDuration(parse("0h")));
  });

  test("are refused when a part is not understood", () => {
    for (const text of ["1", "d", "1w", "1.5h", "-1d", "1d 2h", "5d-2h", "99999999999d", "1D"]) {
      assert.throws(() => parse(text), { code: "USAGE", message: /--keep-within/ }, text);
    }
  });
});

/** Central Europe in 2026: clocks go forward on March 29 and back on October 25, at 01:00 UTC. */
const summerBegins = Number(parseTime("2026-03-29T01:00:00Z") / 1_000_000_000n);
const summerEnds = Number(parseTime("2026-10-25T01:00:00Z") / 1_000_000_000n);
const europe = (second: number): number =>
  second >= summerBegins && second < summerEnds ? 7200 : 3600;

const CASES: [time: string, offset: number | undefined, duration: string, expected: string][] = [
  ["2026-05-15T12:00:00Z", undefined, "1m14d", "2026-04-01T12:00:00Z"],
  ["2026-03-31T12:00:00.5Z", undefined, "1m", "2026-03-03T12:00:00.5Z"],
  ["2024-02-29T00:00:00Z", undefined, "1y", "2023-03-01T00:00:00Z"],
  ["2016-01-18T12:02:03Z", undefined, "9999y", "-7983"],
  ["2026-01-01T00:00:00Z", undefined, "13m1d1h", "2024-11-29T23:00:00Z"],
  // The day is longer or shorter where the clocks were changed; hours are hours.
  ["2026-03-29T12:00:00+02:00", 7200, "1d", "2026-03-28T12:00:00+01:00"],
  ["2026-03-29T12:00:00+02:00", 7200, "24h", "2026-03-28T11:00:00+01:00"],
  // A time that the clocks skip is told by the offset before; one that they show twice is the second.
  ["2026-04-29T02:30:00+02:00", 7200, "1m", "2026-03-29T03:30:00+02:00"],
  ["2026-11-25T02:30:00+01:00", 3600, "1m", "2026-10-25T02:30:00+01:00"],
  // Made elsewhere: its zone is only known to be this far from UTC.
  ["2026-05-15T12:00:00+05:30", 19_800, "3m", "2026-02-15T12:00:00+05:30"],
];

suite("the moment a duration earlier", () => {
  for (const [time, offset, duration, expected] of CASES) {
    test(`${duration} before ${time}`, () => {
      const moment = before({ nanoseconds: parseTime(time), offset }, parse(duration), europe);
      if (expected === "-7983") {
        const years = Number(parseTime(time) - moment) / 1e9 / 86_400 / 365.2425;
        assert.ok(Math.abs(years - 9999) < 0.01, String(years));
      } else assert.equal(moment, parseTime(expected));
    });
  }
});
