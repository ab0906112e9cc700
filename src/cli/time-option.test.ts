import { test } from "node:test";
import assert from "node:assert/strict";
import { parseSearchTime } from "./time-option.ts";

test("a searched time is a day, with or without a time and a zone", () => {
  const local = (...fields: [number, number, number, number?, number?, number?]): bigint => {
    const [year, month, day, hour = 0, minute = 0, second = 0] = fields;
    return BigInt(new Date(year, month - 1, day, hour, minute, second).getTime()) * 1_000_000n;
  };
  const utc = (text: string): bigint => BigInt(Date.parse(text)) * 1_000_000n;
  assert.equal(parseSearchTime("2026-01-31"), local(2026, 1, 31));
  assert.equal(parseSearchTime("31.01.2026"), local(2026, 1, 31));
  assert.equal(parseSearchTime("2026-01-31 15:04"), local(2026, 1, 31, 15, 4));
  assert.equal(parseSearchTime("31.01.2026 15:04:05"), local(2026, 1, 31, 15, 4, 5));
  assert.equal(parseSearchTime("2026-01-31 15:04:05 +0130"), utc("2026-01-31T13:34:05Z"));
  assert.equal(parseSearchTime("2026-01-31 23:04:05 -0400"), utc("2026-02-01T03:04:05Z"));
  assert.equal(parseSearchTime("31.01.2026 15:04:05 UTC"), utc("2026-01-31T15:04:05Z"));
});

test("what is no time is refused", () => {
  for (const text of [
    "",
    "yesterday",
    "2026-02-30",
    "2026-1-1",
    "2026-01-31 25:00",
    "2026-01-31T00:00:00Z",
  ]) {
    assert.throws(() => parseSearchTime(text), { code: "USAGE" }, text);
  }
});
