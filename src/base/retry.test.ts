import assert from "node:assert/strict";
import { test } from "node:test";
import type { Clock } from "./clock.ts";
import { HoldfastError } from "./errors.ts";
import { Backoff, retry } from "./retry.ts";
import type { RetryEvent } from "./retry.ts";

/** A clock whose time passes only in sleep; `pauses` are the milliseconds slept. */
function steppedClock(): {
  clock: Clock;
  pauses: number[];
  advance: (milliseconds: number) => void;
} {
  let time = 0;
  const pauses: number[] = [];
  const clock: Clock = {
    now: () => time,
    nowNanoseconds: () => BigInt(time) * 1_000_000n,
    monotonic: () => time,
    sleep: (milliseconds, signal) => {
      if (signal?.aborted) return Promise.reject(new Error("aborted"));
      pauses.push(milliseconds);
      time += milliseconds;
      return Promise.resolve();
    },
  };
  return { clock, pauses, advance: (milliseconds) => (time += milliseconds) };
}

const passing = (): HoldfastError =>
  new HoldfastError("STORAGE_UNAVAILABLE", "busy", { retryable: true });

test("returns the first success and counts attempts from 1", async () => {
  const { clock, pauses } = steppedClock();
  const events: RetryEvent[] = [];
  const attempts: number[] = [];
  const result = await retry(
    (attempt) => {
      attempts.push(attempt);
      return attempt < 4 ? Promise.reject(passing()) : Promise.resolve("done");
    },
    { clock, onRetry: (event) => events.push(event) },
  );
  assert.equal(result, "done");
  assert.deepEqual(attempts, [1, 2, 3, 4]);
  assert.deepEqual(pauses, [1000, 2000, 4000]);
  assert.deepEqual(
    events.map(({ attempt, delay }) => [attempt, delay]),
    [
      [1, 1000],
      [2, 2000],
      [3, 4000],
    ],
  );
});

test("a permanent error is thrown at once, as it is", async () => {
  const { clock, pauses } = steppedClock();
  for (const error of [new HoldfastError("STORAGE_DENIED", "no"), new Error("no")]) {
    await assert.rejects(
      retry(() => Promise.reject(error), { clock }),
      (thrown) => thrown === error,
    );
  }
  assert.deepEqual(pauses, []);
});

test("pauses double up to 60 s and end within 15 minutes", async () => {
  const { clock, pauses } = steppedClock();
  await assert.rejects(
    retry(() => Promise.reject(passing()), { clock }),
    { message: "busy" },
  );
  assert.deepEqual(pauses.slice(0, 8), [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);
  const total = pauses.reduce((sum, pause) => sum + pause, 0);
  assert.ok(total <= 15 * 60_000 && total + 60_000 > 15 * 60_000, `${total} ms`);
});

test("attemptsMax counts attempts, not pauses", async () => {
  const { clock, pauses } = steppedClock();
  await assert.rejects(retry(() => Promise.reject(passing()), { clock, attemptsMax: 3 }));
  assert.equal(pauses.length, 2);
});

test("one slow failure still gets a second attempt, and only one", async () => {
  const { clock, advance } = steppedClock();
  let attempts = 0;
  const slow = (): Promise<void> => {
    attempts += 1;
    advance(60 * 60_000);
    return Promise.reject(passing());
  };
  await assert.rejects(retry(slow, { clock }));
  assert.equal(attempts, 2);
});

test("jitter stays within half of the pause on both sides", async () => {
  const extremes: [number, number][] = [
    [0x00, 500],
    [0xff, 1500],
  ];
  for (const [byte, expected] of extremes) {
    const { clock, pauses } = steppedClock();
    const random = (length: number): Uint8Array => new Uint8Array(length).fill(byte);
    await assert.rejects(retry(() => Promise.reject(passing()), { clock, random, attemptsMax: 2 }));
    assert.deepEqual(pauses, [expected]);
  }
});

test("an abort stops before the first attempt and during a pause", async () => {
  const { clock } = steppedClock();
  let attempts = 0;
  const work = (): Promise<void> => {
    attempts += 1;
    return Promise.reject(passing());
  };
  await assert.rejects(retry(work, { clock, signal: AbortSignal.abort() }), { code: "CANCELLED" });
  assert.equal(attempts, 0);
  const controller = new AbortController();
  const onRetry = (): void => controller.abort();
  await assert.rejects(retry(work, { clock, onRetry, signal: controller.signal }), {
    code: "CANCELLED",
  });
  assert.equal(attempts, 1);
});

test("reset starts the pauses and the time anew", async () => {
  const { clock, pauses, advance } = steppedClock();
  const backoff = new Backoff({ clock, attemptsMax: 3 });
  await backoff.pause(passing());
  await backoff.pause(passing());
  advance(14 * 60_000);
  backoff.reset();
  await backoff.pause(passing());
  assert.deepEqual(pauses, [1000, 2000, 1000]);
});

test("a pause that was asked for is kept, unless the usual one is longer", async () => {
  const { clock, pauses } = steppedClock();
  const retryAfter = 1500;
  const busy = new HoldfastError("STORAGE_UNAVAILABLE", "busy", { retryable: true, retryAfter });
  await assert.rejects(retry(() => Promise.reject(busy), { clock, attemptsMax: 4 }));
  assert.deepEqual(pauses, [1500, 2000, 4000]);
});
