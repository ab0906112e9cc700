import { suite, test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { isHoldfastError } from "../base/errors.ts";
import { parseSchedule } from "./schedule.ts";

const source = "a test";

/** The next `count` times in the zone, as ISO texts in UTC. */
function times(text: string, after: string, { count = 3, timeZone = "UTC" } = {}): string[] {
  const schedule = parseSchedule(text, { timeZone, source });
  const found: string[] = [];
  let at = Date.parse(after);
  for (let i = 0; i < count; i++) {
    at = schedule.next(at)!;
    found.push(new Date(at).toISOString().slice(0, 16));
  }
  return found;
}

suite("lines that are read", () => {
  test("a time of the day, strictly behind the moment asked from", () => {
    assert.deepEqual(times("30 2 * * *", "2026-01-31T02:30:00Z"), [
      "2026-02-01T02:30",
      "2026-02-02T02:30",
      "2026-02-03T02:30",
    ]);
    assert.deepEqual(times("30 2 * * *", "2026-01-31T02:29:59.999Z", { count: 1 }), [
      "2026-01-31T02:30",
    ]);
  });

  test("lists, ranges, steps, names, and a number with a step, which goes on to the end", () => {
    assert.deepEqual(times("5,1-2/1 0 * * *", "2026-01-01T00:00:00Z", { count: 4 }), [
      "2026-01-01T00:01",
      "2026-01-01T00:02",
      "2026-01-01T00:05",
      "2026-01-02T00:01",
    ]);
    assert.deepEqual(times("50/5 1 * * *", "2026-01-01T00:00:00Z"), [
      "2026-01-01T01:50",
      "2026-01-01T01:55",
      "2026-01-02T01:50",
    ]);
    assert.deepEqual(times("0 0 * FEB Mon", "2026-01-01T00:00:00Z", { count: 2 }), [
      "2026-02-02T00:00",
      "2026-02-09T00:00",
    ]);
  });

  test("descriptors, and a zone in the line", () => {
    assert.deepEqual(times("@weekly", "2026-01-01T00:00:00Z", { count: 1 }), ["2026-01-04T00:00"]);
    assert.deepEqual(times("CRON_TZ=Asia/Tokyo 0 4 * * *", "2026-01-01T00:00:00Z", { count: 1 }), [
      "2026-01-01T19:00",
    ]);
    assert.deepEqual(
      times("TZ=UTC @daily", "2026-01-01T00:00:00Z", { count: 1, timeZone: "Asia/Tokyo" }),
      ["2026-01-02T00:00"],
    );
  });

  test("days of the month and of the week: either, unless one of them is any", () => {
    assert.deepEqual(times("0 0 13 * 5", "2026-01-01T00:00:00Z", { count: 4 }), [
      "2026-01-02T00:00",
      "2026-01-09T00:00",
      "2026-01-13T00:00",
      "2026-01-16T00:00",
    ]);
    assert.deepEqual(times("0 0 ? * 5", "2026-01-01T00:00:00Z", { count: 2 }), [
      "2026-01-02T00:00",
      "2026-01-09T00:00",
    ]);
    // A step of its own is no "any".
    assert.deepEqual(times("0 0 */10 * 5", "2026-01-01T00:00:00Z", { count: 3 }), [
      "2026-01-02T00:00",
      "2026-01-09T00:00",
      "2026-01-11T00:00",
    ]);
  });

  test("a time that the change to summer leaves out comes once, and one that occurs twice comes once", () => {
    const timeZone = "Europe/Berlin";
    assert.deepEqual(times("30 2 * * *", "2026-03-28T12:00:00Z", { count: 2, timeZone }), [
      "2026-03-29T01:00",
      "2026-03-30T00:30",
    ]);
    assert.deepEqual(times("30 2 * * *", "2026-10-24T12:00:00Z", { count: 2, timeZone }), [
      "2026-10-25T00:30",
      "2026-10-26T01:30",
    ]);
  });
});

suite("lines that are refused", () => {
  const refused = (text: string, why: RegExp, timeZone = "UTC"): void => {
    assert.throws(
      () => parseSchedule(text, { timeZone, source }),
      (error) => isHoldfastError(error, "USAGE") && why.test(`${error.message} ${error.hint}`),
      text,
    );
  };

  test("with the reason", () => {
    refused("", /0 fields/);
    refused("0 4 * *", /4 fields/);
    refused("0 0 4 * * *", /6 fields/);
    refused("garbage 0 4 * * *", /6 fields/);
    refused("60 4 * * *", /minute "60" is outside of 0 to 59/);
    refused("0 4 * * 7", /Sunday is 0/);
    refused("0 4 0 * *", /outside/);
    refused("0 4 * * mon-foo", /cannot be understood/);
    refused("0 4 * * 5-1", /ends before/);
    refused("0 */0 * * *", /step/);
    refused("0 1/2/3 * * *", /step/);
    refused("0 4 L * *", /cannot be understood/);
    refused("0 4 30 2 *", /never comes/);
    refused("@every 1h", /@daily/);
    refused("CRON_TZ=Mars/Base 0 4 * * *", /no time zone/);
    refused("0 4 * * *", /no time zone/, "");
  });

  test("anything at all is read or refused, and what is read has a next time", () => {
    const line = fc.string({
      unit: fc.constantFrom(..."0123456789*/,-? @dailymonTZ=UC_R#LW".split("")),
      maxLength: 24,
    });
    fc.assert(
      fc.property(line, (text) => {
        try {
          const next = parseSchedule(text, { timeZone: "UTC", source }).next(0);
          assert.ok(next === undefined || next > 0);
        } catch (error) {
          assert.ok(isHoldfastError(error, "USAGE"), String(error));
        }
      }),
      { numRuns: 500 },
    );
  });
});
