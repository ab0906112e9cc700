// The part of the storage contract about many deletions at once.

import assert from "node:assert/strict";
import { mapLimit } from "../../base/concurrency.ts";
import { failsWith, keysOf, pattern, storageTest } from "./expectations.ts";
import type { Open } from "./expectations.ts";

/** Registers the tests of deleteMany. */
export function deletions(open: Open): void {
  storageTest("many are deleted at once, absent ones among them", open, async ({ storage }) => {
    const keys = Array.from({ length: 230 }, (_, i) => `data/${i % 5}/${i} &+%<x>`);
    await mapLimit(keys.slice(0, 210), storage.traits.connections, (key) =>
      storage.put(key, pattern(3, 1)),
    );
    await storage.put("data/0/kept", pattern(3, 1));
    await storage.deleteMany([]);
    await storage.deleteMany(keys);
    assert.deepEqual(await keysOf(storage, ""), ["data/0/kept"]);
    await storage.deleteMany(keys);
  });
  storageTest("a wrong key among many is a defect of the caller", open, async ({ storage }) => {
    await failsWith("BUG", "", storage.deleteMany(["data/x", "../y"]));
    const signal = AbortSignal.abort();
    await failsWith("CANCELLED", "", storage.deleteMany(["data/x"], { signal }));
  });
}
