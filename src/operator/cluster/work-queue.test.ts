import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { FakeClock, settle } from "../../../test/fake-clock.ts";
import { HoldfastError } from "../../base/errors.ts";
import { WorkQueue, type WorkQueueOptions } from "./work-queue.ts";

const middle = (length: number): Uint8Array => new Uint8Array(length).fill(128, 0, 1);

function queueOf(options: Partial<WorkQueueOptions>): {
  queue: WorkQueue;
  clock: FakeClock;
  stop: AbortController;
} {
  const clock = new FakeClock();
  const stop = new AbortController();
  const work = (): Promise<void> => Promise.resolve();
  const queue = new WorkQueue({
    work,
    parallel: 2,
    clock,
    random: middle,
    signal: stop.signal,
    ...options,
  });
  return { queue, clock, stop };
}

test("a key is worked on by one at a time, several keys at once, and once more when it was added meanwhile", async () => {
  const begun: string[] = [];
  const open: (() => void)[] = [];
  const { queue } = queueOf({
    work: async (key) => {
      begun.push(key);
      await new Promise<void>((resolve) => open.push(resolve));
    },
  });
  for (const key of ["a", "a", "b", "c", "a"]) queue.add(key);
  await settle();
  assert.deepEqual(begun, ["a", "b"]);
  for (let i = 0; i < 3; i++) queue.add("a");
  open.shift()!();
  await settle();
  assert.deepEqual(begun, ["a", "b", "c"]);
  open.shift()!();
  await settle();
  assert.deepEqual(begun, ["a", "b", "c", "a"]);
  while (open.length > 0) {
    open.shift()!();
    await settle();
  }
  assert.deepEqual(begun, ["a", "b", "c", "a"]);
  await queue.idle();
});

test("whatever is added whenever: never twice at once, never more than the limit, and never forgotten", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.nat(4), fc.nat(3)), { maxLength: 40 }),
      fc.integer({ min: 1, max: 3 }),
      async (adds, parallel) => {
        const running = new Set<string>();
        const lastSeen = new Map<string, number>();
        const lastAdded = new Map<string, number>();
        let now = 0;
        const { queue } = queueOf({
          parallel,
          work: async (key) => {
            assert.ok(!running.has(key) && running.size < parallel);
            running.add(key);
            lastSeen.set(key, now);
            await new Promise((resolve) => setImmediate(resolve));
            running.delete(key);
          },
        });
        for (const [key, turns] of adds) {
          now += 1;
          lastAdded.set(String(key), now);
          queue.add(String(key));
          await settle(turns);
        }
        await queue.idle();
        for (const [key, at] of lastAdded) assert.ok(lastSeen.get(key)! >= at);
      },
    ),
    { numRuns: 40 },
  );
});

test("failures are tried again after pauses that double; success forgets them", async () => {
  const at: number[] = [];
  const failures: number[] = [];
  let fails = 5;
  const { queue, clock } = queueOf({
    work: () => {
      at.push(clock.monotonic());
      return fails-- > 0 ? Promise.reject(new Error("no")) : Promise.resolve();
    },
    onError: ({ failures: count }) => void failures.push(count),
    delayMax: 8_000,
  });
  queue.add("a");
  await clock.advance(100_000);
  const pauses = at.slice(1).map((time, i) => time - at[i]!);
  assert.deepEqual(pauses, [1_000, 2_000, 4_000, 8_000, 8_000]);
  assert.deepEqual(failures, [1, 2, 3, 4, 5]);
  fails = 1;
  queue.add("a");
  await clock.advance(100_000);
  assert.equal(at.at(-1)! - at.at(-2)!, 1_000);
});

test("a conflict is tried again at once; what the other side asked for is kept", async () => {
  const at: number[] = [];
  const errors = [
    new HoldfastError("CLUSTER_CONFLICT", "other"),
    new HoldfastError("CLUSTER_FAILED", "busy", { retryable: true, retryAfter: 60_000 }),
  ];
  const { queue, clock } = queueOf({
    work: () => {
      at.push(clock.monotonic());
      const error = errors.shift();
      return error ? Promise.reject(error) : Promise.resolve();
    },
  });
  queue.add("a");
  await clock.advance(100_000);
  assert.deepEqual(at, [0, 50, 60_050]);
});

test("a change begins work at once though a pause is on; a key that keeps failing gets one a second", async () => {
  let times = 0;
  const { queue, clock } = queueOf({
    work: () => {
      times += 1;
      return Promise.reject(new Error("no"));
    },
  });
  queue.add("a");
  await settle();
  queue.add("a");
  await settle();
  queue.add("a");
  await settle();
  assert.equal(times, 3);
  for (let i = 0; i < 100; i++) {
    queue.add("a");
    await clock.advance(100);
  }
  assert.ok(times >= 12 && times <= 14, `${times}`);
});

test("the result of work sets the next time, and replaces one that was set before", async () => {
  const at: number[] = [];
  const { queue, clock } = queueOf({
    work: () => {
      at.push(clock.monotonic());
      return Promise.resolve(at.length === 1 ? { recheck: 10_000 } : {});
    },
  });
  queue.addAfter("a", 5_000);
  queue.addAfter("a", 1_000);
  queue.addAfter("a", 3_000);
  await clock.advance(100_000);
  assert.deepEqual(at, [1_000, 11_000]);
});

test("a month is waited for, though no timer takes it", async () => {
  const at: number[] = [];
  const slept: number[] = [];
  const clock = new FakeClock();
  const counting = Object.assign(Object.create(clock) as FakeClock, {
    now: () => clock.now(),
    monotonic: () => clock.monotonic(),
    sleep: (milliseconds: number, signal?: AbortSignal) => {
      slept.push(milliseconds);
      return clock.sleep(milliseconds, signal);
    },
  });
  const { queue } = queueOf({
    clock: counting,
    work: () => Promise.resolve(void at.push(clock.monotonic())),
  });
  const month = 31 * 86_400_000;
  queue.addAfter("a", month);
  await clock.advance(month + 1);
  assert.deepEqual(at, [month]);
  assert.ok(slept.every((milliseconds) => milliseconds < 2 ** 31));
});

test("nothing begins after the end, and what was forgotten does not come back", async () => {
  let times = 0;
  const { queue, clock, stop } = queueOf({ work: () => Promise.resolve(void (times += 1)) });
  queue.addAfter("gone", 1_000);
  queue.forget("gone");
  queue.addAfter("late", 2_000);
  await clock.advance(1_500);
  stop.abort();
  queue.add("later");
  await clock.advance(10_000);
  await queue.idle();
  assert.equal(times, 0);
});
