import assert from "node:assert/strict";
import { test } from "node:test";
import type { Clock } from "../base/clock.ts";
import { HoldfastError } from "../base/errors.ts";
import { storageConformance } from "./conformance.ts";
import { faulty } from "./faulty.ts";
import type { FaultRule, FaultyStorage } from "./faulty.ts";
import { forwarding } from "./forwarding.ts";
import { openMemoryStorage } from "./memory.ts";
import { retrying } from "./retrying.ts";
import type { StorageRetry } from "./retrying.ts";
import type { Storage } from "./storage.ts";

/** A clock on which sleeping takes no time but moves the hands. */
function quickClock(): Clock {
  let time = 0;
  const sleep = (milliseconds: number): Promise<void> => {
    time += milliseconds;
    return Promise.resolve();
  };
  const now = (): number => time;
  return { now, monotonic: now, nowNanoseconds: () => BigInt(time) * 1_000_000n, sleep };
}

function withRules(rules: FaultRule[], inner: Storage = openMemoryStorage()) {
  const broken: FaultyStorage = faulty(inner, rules);
  const retries: StorageRetry[] = [];
  const onRetry = (event: StorageRetry): void => void retries.push(event);
  return { inner, broken, retries, storage: retrying(broken, { clock: quickClock(), onRetry }) };
}

// Each kind of fault at its own pace, so that they fall on different calls, and some on retries too.
const WEATHER: FaultRule[] = [
  { every: 3, times: Infinity, fault: { kind: "after" } },
  { every: 4, times: Infinity, fault: { kind: "before" } },
  { every: 5, times: Infinity, fault: { kind: "torn" } },
];

storageConformance("retrying over a faulty storage", () => {
  const { storage } = withRules(WEATHER);
  return Promise.resolve({ storage, cleanup: () => Promise.resolve() });
});

test("a put whose reply was lost is repeated and succeeds", async () => {
  const { storage, inner, broken, retries } = withRules([{ on: "put", fault: { kind: "after" } }]);
  await storage.put("data/x", Uint8Array.of(1, 2, 3));
  assert.deepEqual(broken.calls, ["put data/x", "put data/x"]);
  assert.equal(broken.hits, 1);
  assert.deepEqual([...(await inner.get("data/x"))], [1, 2, 3]);
  assert.deepEqual(
    retries.map(({ operation, key, attempt, delay }) => [operation, key, attempt, delay]),
    [["put", "data/x", 1, 1000]],
  );
});

test("a delete whose reply was lost is repeated and succeeds", async () => {
  const { storage, inner, broken } = withRules([{ on: "delete", fault: { kind: "after" } }]);
  await inner.put("locks/x", Uint8Array.of(1));
  await storage.delete("locks/x");
  assert.equal(broken.calls.length, 2);
});

test("a torn read into given memory is repaired by the next attempt", async () => {
  const { storage, inner, broken } = withRules([{ on: "get", times: 3, fault: { kind: "torn" } }]);
  await inner.put(
    "data/x",
    Uint8Array.from({ length: 100 }, (_, i) => i),
  );
  const into = new Uint8Array(50);
  const result = await storage.get("data/x", { offset: 10, length: 50, into });
  assert.equal(broken.hits, 3);
  assert.deepEqual(
    [...result],
    Array.from({ length: 50 }, (_, i) => i + 10),
  );
});

test("a list that breaks off again and again has every object once", async () => {
  // More breaks than the limit of attempts: each one came further than the one before.
  const rules: FaultRule[] = [{ on: "list", times: 4, fault: { kind: "torn" } }];
  const inner = openMemoryStorage();
  const keys = Array.from({ length: 40 }, (_, i) => `data/${i}`);
  for (const key of keys) await inner.put(key, Uint8Array.of(1));
  const broken = faulty(shuffling(inner), rules);
  const storage = retrying(broken, { clock: quickClock(), attemptsMax: 3 });
  const listed: string[] = [];
  for await (const { key } of storage.list("data/")) listed.push(key);
  assert.deepEqual(listed.toSorted(), keys.toSorted());
  assert.equal(broken.hits, 4);
});

test("progress of a list renews its attempts, standstill does not", async () => {
  const inner = openMemoryStorage();
  await inner.put("data/a", Uint8Array.of(1));
  const broken = faulty(inner, [{ on: "list", times: Infinity, fault: { kind: "torn" } }]);
  const storage = retrying(broken, { clock: quickClock(), attemptsMax: 3 });
  const listing = async (): Promise<void> => {
    for await (const { key } of storage.list("")) assert.equal(key, "data/a");
  };
  await assert.rejects(listing(), { code: "STORAGE_UNAVAILABLE" });
  assert.equal(broken.calls.length, 3);
});

test("an error of whoever reads the list is not retried", async () => {
  const { storage, inner, broken } = withRules([]);
  await inner.put("data/a", Uint8Array.of(1));
  const passing = new HoldfastError("STORAGE_UNAVAILABLE", "from the reader", { retryable: true });
  const reading = async (): Promise<void> => {
    for await (const { key } of storage.list("")) {
      assert.equal(key, "data/a");
      throw passing;
    }
  };
  await assert.rejects(reading(), passing);
  assert.deepEqual(broken.calls, ["list "]);
});

test("permanent errors pass at once, passing ones after 15 minutes", async () => {
  const denied = new HoldfastError("STORAGE_DENIED", "no");
  const refusing = withRules([{ on: "get", fault: { kind: "before", error: denied } }]);
  await assert.rejects(refusing.storage.get("config"), denied);
  assert.equal(refusing.broken.calls.length, 1);
  const away = withRules([{ times: Infinity, fault: { kind: "before" } }]);
  await assert.rejects(away.storage.stat("config"), { code: "STORAGE_UNAVAILABLE" });
  const waited = away.retries.reduce((sum, { delay }) => sum + delay, 0);
  assert.ok(waited > 13 * 60_000 && waited <= 15 * 60_000, `${waited} ms`);
});

test("a killed storage answers nothing more, and keeps what it had stored", async () => {
  const { storage, inner, broken } = withRules([
    { on: "put", key: /b$/, fault: { kind: "kill", when: "after" } },
  ]);
  await storage.put("data/a", Uint8Array.of(1));
  await assert.rejects(storage.put("data/b", Uint8Array.of(2)), { code: "STORAGE_FAILED" });
  await assert.rejects(storage.get("data/a"), { code: "STORAGE_FAILED" });
  assert.equal(broken.killed, true);
  assert.equal((await inner.get("data/b"))[0], 2);
});

test("a held call goes on when it is let go; a damaged read differs in one bit", async () => {
  const gate = Promise.withResolvers<void>();
  const { storage, inner } = withRules([
    { on: "put", fault: { kind: "hold", until: gate.promise } },
    { on: "get", fault: { kind: "damaged" } },
  ]);
  const putting = storage.put("data/a", new Uint8Array(9));
  await assert.rejects(inner.get("data/a"), { code: "STORAGE_NOT_FOUND" });
  gate.resolve();
  await putting;
  assert.deepEqual([...(await storage.get("data/a"))], [0, 0, 0, 0, 0x10, 0, 0, 0, 0]);
  assert.deepEqual([...(await storage.get("data/a"))], [0, 0, 0, 0, 0, 0, 0, 0, 0]);
});

/** Lists in another order each time, as a storage may. */
function shuffling(storage: Storage): Storage {
  let turn = 0;
  return forwarding(storage, {
    async *list(prefix, options) {
      const objects = [];
      for await (const object of storage.list(prefix, options)) objects.push(object);
      turn += 7;
      const start = turn % Math.max(1, objects.length);
      yield* [...objects.slice(start), ...objects.slice(0, start)];
    },
  });
}
