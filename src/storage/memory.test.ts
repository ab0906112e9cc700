import { test } from "node:test";
import assert from "node:assert/strict";
import { storageConformance } from "./conformance.ts";
import { openMemoryStorage } from "./memory.ts";

storageConformance("memory", () => {
  const objects = new Map<string, Uint8Array>();
  return Promise.resolve({
    storage: openMemoryStorage({ objects }),
    cleanup: () => Promise.resolve(),
    reopen: () => Promise.resolve(openMemoryStorage({ objects })),
  });
});

test("a body is read late, so memory reused too early shows", async () => {
  const storage = openMemoryStorage();
  const body = Uint8Array.of(1, 2, 3);
  const putting = storage.put("config", body);
  body.fill(9);
  await putting;
  assert.deepEqual([...(await storage.get("config"))], [9, 9, 9]);
});
