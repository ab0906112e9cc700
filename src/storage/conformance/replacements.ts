// What replace has to do, where a backend has it; and what lists tell of times.

import assert from "node:assert/strict";
import { systemClock } from "../../base/clock.ts";
import { collect, keysOf, pattern, sameBytes, storageTest, type Open } from "./expectations.ts";

/** Clocks of services differ from ours, but not by as much. */
const DAY = 86_400_000;

export function replacements(open: Open): void {
  storageTest("replace puts content in the place of other content", open, async ({ storage }) => {
    if (!storage.replace) return;
    await storage.replace("data/grows", pattern(100, 1));
    sameBytes(await storage.get("data/grows"), pattern(100, 1));
    await storage.replace("data/grows", pattern(5000, 2));
    await storage.put("data/made", pattern(9, 3));
    await storage.replace("data/made", pattern(8, 4));
    sameBytes(await storage.get("data/grows"), pattern(5000, 2));
    sameBytes(await storage.get("data/made"), pattern(8, 4));
    const listed = await collect(storage.list("data/"));
    const sizes = listed.map(({ key, size }) => `${key} ${size}`).toSorted();
    assert.deepEqual(sizes, ["data/grows 5000", "data/made 8"]);
    for (const { modified } of listed) {
      assert.ok(
        modified !== undefined && Math.abs(modified - systemClock.now()) < DAY,
        String(modified),
      );
    }
    await storage.delete("data/grows");
    assert.deepEqual(await keysOf(storage, "data/"), ["data/made"]);
  });
}
