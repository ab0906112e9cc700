import { test } from "node:test";
import assert from "node:assert/strict";
import {
  fixed,
  formatAge,
  formatBytes,
  formatDuration,
  formatLocalTime,
  formatPercent,
  formatRate,
  formatShortAge,
  shortId,
  zoneName,
} from "./format.ts";

test("bytes with three decimals, ties to the even digit", () => {
  const sizes: [number | bigint, string][] = [
    [0, "0 B"],
    [1023, "1023 B"],
    [1024, "1.000 KiB"],
    [1088, "1.062 KiB"], // 1.0625: printed by restic with the even digit
    [1216, "1.188 KiB"], // 1.1875
    [1025, "1.001 KiB"],
    [3_000_017, "2.861 MiB"],
    [5 * 2 ** 20 + 2 ** 19, "5.500 MiB"],
    [2 ** 30 - 1, "1024.000 MiB"],
    [2 ** 40, "1.000 TiB"],
    [2n ** 50n, "1024.000 TiB"],
  ];
  for (const [bytes, text] of sizes) assert.equal(formatBytes(bytes), text);
  assert.equal(formatRate(1536.2), "1.500 KiB/s");
});

test("rounding agrees with toFixed except for ties", () => {
  assert.equal(fixed(0.125, 2), "0.12");
  assert.equal(fixed(0.375, 2), "0.38");
  assert.equal(fixed(2.5, 0), "2");
  assert.equal(fixed(1.005, 2), (1.005).toFixed(2));
  for (let i = 0; i < 1000; i++) assert.equal(fixed(i / 7, 3), (i / 7).toFixed(3));
});

test("percent", () => {
  assert.equal(formatPercent(3, 7), "42.86%");
  assert.equal(formatPercent(0, 5), "0.00%");
  assert.equal(formatPercent(9, 5), "100.00%");
  assert.equal(formatPercent(1, 0), "");
});

test("durations", () => {
  const durations = {
    0: "0:00",
    3.9: "0:03",
    61: "1:01",
    3599: "59:59",
    3600: "1:00:00",
    90061: "25:01:01",
  };
  for (const [seconds, text] of Object.entries(durations)) {
    assert.equal(formatDuration(Number(seconds)), text);
  }
  assert.equal(formatDuration(-1), "0:00");
});

test("ages, long and short", () => {
  const ages: [number, string, string][] = [
    [5, "just now", "5 s"],
    [60, "1 minute ago", "1 min"],
    [3 * 3600 + 59, "3 hours ago", "3 h"],
    [86_400, "1 day ago", "1 d"],
    [15 * 86_400, "2 weeks ago", "2 w"],
    [70 * 86_400, "2 months ago", "2 mo"],
    [800 * 86_400, "2 years ago", "2 y"],
  ];
  for (const [seconds, long, short] of ages) {
    assert.equal(formatAge(seconds), long);
    assert.equal(formatShortAge(seconds), short);
  }
  assert.equal(formatAge(-130), "in 2 minutes");
});

test("local times follow the zone of the process", () => {
  const before = process.env["TZ"];
  try {
    process.env["TZ"] = "UTC";
    assert.equal(formatLocalTime(Date.UTC(2026, 0, 2, 3, 4, 5)), "2026-01-02 03:04:05");
    process.env["TZ"] = "Europe/Brussels";
    assert.equal(formatLocalTime(Date.UTC(2026, 6, 2, 23, 4, 5)), "2026-07-03 01:04:05");
  } finally {
    if (before === undefined) delete process.env["TZ"];
    else process.env["TZ"] = before;
  }
});

test("zones have the names that restic prints", () => {
  assert.equal(zoneName(undefined), "local time");
  assert.equal(zoneName(""), "UTC");
  assert.equal(zoneName("UTC"), "UTC");
  assert.equal(zoneName(":Europe/Brussels"), "Europe/Brussels");
  assert.equal(zoneName("/usr/share/zoneinfo/Asia/Tokyo"), "/usr/share/zoneinfo/Asia/Tokyo");
  assert.equal(zoneName("No/Where"), "UTC");
});

test("short ids", () => {
  assert.equal(shortId("2c1121dd0011"), "2c1121dd");
});
