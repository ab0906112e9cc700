import assert from "node:assert/strict";
import { test } from "node:test";
import type { Clock } from "../base/clock.ts";
import { RateLimit } from "../base/rate-limit.ts";
import { storageConformance } from "./conformance.ts";
import { forwarding } from "./forwarding.ts";
import { withConnections, withRates } from "./limited.ts";
import { openMemoryStorage } from "./memory.ts";
import { putStream } from "./put-stream.ts";

const nothing = (): Promise<void> => Promise.resolve();

storageConformance("limited", () => {
  const storage = withConnections(openMemoryStorage(), 3);
  return Promise.resolve({ storage, cleanup: nothing });
});

test("no more calls than allowed are under way", async () => {
  let running = 0;
  let most = 0;
  const busy = forwarding(openMemoryStorage(), {
    put: async () => {
      most = Math.max(most, (running += 1));
      await new Promise(setImmediate);
      running -= 1;
    },
  });
  const storage = withConnections(busy, 3);
  await Promise.all(Array.from({ length: 20 }, (_, i) => storage.put(`data/${i}`, Buffer.of(i))));
  assert.equal(most, 3);
  assert.equal(storage.traits.connections, 3);
});

test("bodies take the time that the rates give them", async () => {
  let time = 0;
  const now = (): number => time;
  const sleep = (milliseconds: number): Promise<void> => {
    time += milliseconds;
    return Promise.resolve();
  };
  const clock: Clock = { now, monotonic: now, nowNanoseconds: () => 0n, sleep };
  const rates = { upload: new RateLimit(1000, clock), download: new RateLimit(4000, clock) };
  const storage = withRates(openMemoryStorage(), rates);
  await storage.put("data/x", new Uint8Array(10_000));
  assert.ok(time >= 9_700 && time <= 10_000, `${time} ms`);
  const before = time;
  await storage.get("data/x");
  assert.ok(time - before >= 2_200 && time - before <= 2_500, `${time - before} ms`);
  const between = time;
  await putStream(storage, "base/x", [new Uint8Array(10_000)]);
  assert.ok(time - between >= 9_700 && time - between <= 10_250, `${time - between} ms`);
  assert.equal(withRates(storage, {}), storage);
});
