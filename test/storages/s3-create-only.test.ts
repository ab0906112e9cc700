// Services that honour no conditions: the storage contract holds there all the same.

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { saidError } from "../s3/double.ts";
import { failureOf, openOn, sayOnce, useDouble } from "../s3/on-double.ts";
import { storageConformance } from "../../src/storage/conformance.ts";
import { pattern } from "../../src/storage/conformance/expectations.ts";
import type { OpenedStorage } from "../../src/storage/conformance/expectations.ts";
import type { Storage } from "../../src/storage/storage.ts";

const double = useDouble();

for (const conditions of ["ignored", "refused"] as const) {
  const openFresh = async (): Promise<OpenedStorage> => {
    double.reset();
    double.conditions = conditions;
    double.deletesMany = conditions === "refused";
    const { storage } = await openOn(double);
    const reopen = async (): Promise<Storage> => (await openOn(double)).storage;
    return { storage, cleanup: () => Promise.resolve(), reopen };
  };
  const isIgnored = conditions === "ignored";
  storageConformance(`s3 where conditions are ${conditions}`, openFresh, {
    listCount: isIgnored ? 1100 : 100,
    uploads: isIgnored,
  });
}

void suite("create-only writes", () => {
  test("a small write finds out whether conditions are honoured, once", async () => {
    const { storage, context } = await openOn(double);
    await storage.put("locks/a", pattern(100, 1));
    assert.deepEqual(double.asked, [
      "HEAD /bucket/locks/a",
      "PUT /bucket/locks/a",
      "PUT /bucket/locks/a",
    ]);
    double.seen.length = 0;
    await storage.put("data/a", pattern(100, 1));
    assert.deepEqual(double.asked, ["PUT /bucket/data/a"]);
    assert.deepEqual(context.notices, []);
  });

  test("a service without conditions is told of once", async () => {
    double.conditions = "ignored";
    const { storage, context } = await openOn(double);
    for (const key of ["locks/a", "locks/b", "locks/c"]) await storage.put(key, pattern(9, 1));
    assert.equal(context.notices.length, 1);
    assert.match(context.notices[0]!, /If-None-Match/);
  });

  test("what exists is compared by its bytes where the service keeps no checksum", async () => {
    const { storage } = await openOn(double);
    double.objects.set("data/x", { body: Buffer.from(pattern(500, 1)), headers: {} });
    await storage.put("data/x", pattern(500, 1));
    const failure = await failureOf(storage.put("data/x", pattern(500, 2)));
    assert.equal(failure.code, "STORAGE_EXISTS");
  });

  test("a conflict with a write under way may be tried again", async () => {
    const { storage } = await openOn(double);
    await storage.put("locks/a", pattern(9, 1));
    sayOnce(double, saidError(409, "ConditionalRequestConflict", "try again"));
    const failure = await failureOf(storage.put("data/x", pattern(9, 1)));
    assert.deepEqual([failure.code, failure.retryable], ["STORAGE_UNAVAILABLE", true]);
  });
});
