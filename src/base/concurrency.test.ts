import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { eachLimit, mapLimit, Semaphore } from "./concurrency.ts";

async function* counting(count: number, pulled: number[] = []): AsyncGenerator<number> {
  for (let i = 0; i < count; i += 1) {
    pulled.push(i);
    yield await Promise.resolve(i);
  }
}

test("results keep the order of the items, whatever finishes first", async () => {
  const squares = await mapLimit([5, 1, 4, 2, 3], 3, async (item) => {
    for (let i = 0; i < item; i += 1) await turn();
    return item * item;
  });
  assert.deepEqual(squares, [25, 1, 16, 4, 9]);
  assert.deepEqual(
    await mapLimit(counting(3), 2, (item, index) => Promise.resolve([item, index])),
    [
      [0, 0],
      [1, 1],
      [2, 2],
    ],
  );
  assert.deepEqual(await mapLimit([], 1, () => Promise.resolve(1)), []);
});

test("at most `limit` run at once, and items are pulled no further ahead than one", async () => {
  let running = 0;
  let most = 0;
  let done = 0;
  const pulled: number[] = [];
  await eachLimit(counting(20, pulled), 3, async () => {
    running += 1;
    most = Math.max(most, running);
    assert.ok(pulled.length <= done + 4, `${pulled.length} pulled, ${done} done`);
    await turn();
    running -= 1;
    done += 1;
  });
  assert.equal(most, 3);
  assert.equal(done, 20);
});

test("the first error cancels the others, is thrown, and nothing is left running", async () => {
  let settled = 0;
  const pulled: number[] = [];
  const failed = eachLimit(counting(100, pulled), 3, async (item, _index, signal) => {
    if (item === 1) {
      await turn();
      throw new Error("second item");
    }
    await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
    await turn();
    settled += 1;
    throw new Error("a later error");
  });
  await assert.rejects(failed, { message: "second item" });
  assert.equal(settled, 2);
  assert.ok(pulled.length <= 4, `${pulled.length} pulled`);
});

test("work that throws at once, and a source that fails, are errors of the loop", async () => {
  const thrower = (): Promise<void> => {
    throw new Error("at once");
  };
  await assert.rejects(eachLimit([1], 1, thrower), { message: "at once" });
  let finished = false;
  async function* broken(): AsyncGenerator<number> {
    yield await Promise.resolve(1);
    throw new Error("source");
  }
  const slow = async (): Promise<void> => {
    await turn();
    finished = true;
  };
  await assert.rejects(eachLimit(broken(), 2, slow), { message: "source" });
  assert.equal(finished, true);
});

test("an abort of the caller is CANCELLED, before and during the work", async () => {
  const never = (): Promise<void> => assert.fail("work was started");
  const signal = AbortSignal.abort();
  await assert.rejects(eachLimit([1, 2], 2, never, { signal }), { code: "CANCELLED" });
  const controller = new AbortController();
  const cancelledWork = mapLimit(
    counting(10),
    2,
    async (item, _index, inner) => {
      if (item === 3) controller.abort();
      await turn();
      return inner.aborted;
    },
    { signal: controller.signal },
  );
  await assert.rejects(cancelledWork, { code: "CANCELLED" });
});

test("a limit below one is a defect", async () => {
  for (const limit of [0, -1, 1.5, Number.NaN]) {
    await assert.rejects(
      eachLimit([1], limit, () => Promise.resolve()),
      { code: "BUG" },
    );
  }
});

test("a semaphore serves in order of arrival and survives double release", async () => {
  const semaphore = new Semaphore(1);
  const order: number[] = [];
  const first = await semaphore.acquire();
  const waiting = [1, 2, 3].map((i) => semaphore.run(() => Promise.resolve(void order.push(i))));
  await turn();
  assert.deepEqual(order, []);
  first();
  first();
  await Promise.all(waiting);
  assert.deepEqual(order, [1, 2, 3]);
  const again = await semaphore.acquire();
  let entered = false;
  const next = semaphore.run(() => Promise.resolve(void (entered = true)));
  await turn();
  assert.equal(entered, false, "the double release made a second place");
  again();
  await next;
});

test("a cancelled waiter leaves the line; a failing holder gives its place back", async () => {
  const semaphore = new Semaphore(1);
  const release = await semaphore.acquire();
  const controller = new AbortController();
  const left = semaphore.acquire(controller.signal);
  const stays = semaphore.run(() => Promise.reject(new Error("failed inside")));
  controller.abort();
  await assert.rejects(left, { code: "CANCELLED" });
  release();
  await assert.rejects(stays, { message: "failed inside" });
  assert.equal(await semaphore.run(() => Promise.resolve("free again")), "free again");
});
