import assert from "node:assert/strict";
import { test } from "node:test";
import type { Clock } from "./clock.ts";
import { RateLimit } from "./rate-limit.ts";

function steppedClock(): { clock: Clock; now: () => number } {
  let time = 0;
  const sleep = (milliseconds: number): Promise<void> => {
    time += milliseconds;
    return Promise.resolve();
  };
  const now = (): number => time;
  return { now, clock: { now, monotonic: now, nowNanoseconds: () => 0n, sleep } };
}

test("the rate holds over many pieces", async () => {
  const { clock, now } = steppedClock();
  const limit = new RateLimit(100_000, clock);
  for (let i = 0; i < 100; i += 1) await limit.take(10_000);
  // A million bytes in ten seconds, less what may pass at once.
  assert.ok(now() >= 9_700 && now() <= 10_000, `${now()} ms`);
});

test("what was not used is not saved up", async () => {
  const { clock, now } = steppedClock();
  const limit = new RateLimit(100_000, clock);
  await clock.sleep(60_000);
  for (let i = 0; i < 10; i += 1) await limit.take(10_000);
  assert.ok(now() >= 60_700, `${now()} ms`);
});

test("pieces suit the rate", () => {
  const { clock } = steppedClock();
  assert.equal(new RateLimit(1000, clock).pieceBytes, 4096);
  assert.equal(new RateLimit(100_000_000, clock).pieceBytes, 65_536);
  assert.throws(() => new RateLimit(0, clock), { code: "BUG" });
});
