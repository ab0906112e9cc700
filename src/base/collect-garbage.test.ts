// The collector on demand, and that it is not left open to others.

import assert from "node:assert/strict";
import { once } from "node:events";
import test from "node:test";
import { Worker } from "node:worker_threads";
import { collectGarbage } from "./collect-garbage.ts";

test("memory that an ended thread shared is given back", async () => {
  const freed = Promise.withResolvers<void>();
  const registry = new FinalizationRegistry<string>(() => freed.resolve());
  await (async (): Promise<void> => {
    const memory = new SharedArrayBuffer(1 << 20);
    registry.register(memory, "");
    const worker = new Worker("", { eval: true, workerData: memory });
    await once(worker, "exit");
  })();
  collectGarbage();
  await freed.promise;
  assert.equal((globalThis as { gc?: unknown }).gc, undefined);
});
