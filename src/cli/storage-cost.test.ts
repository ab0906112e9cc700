import assert from "node:assert/strict";
import { test } from "node:test";
import { costLine } from "./storage-cost.ts";

test("a run's requests and bytes are one line", () => {
  const requests = { get: 4, put: 8 };
  const line = costLine({ requests, failed: 1, sent: 1_258_291, received: 3072 });
  assert.equal(
    line,
    "Storage: 12 requests (8 write, 4 read; 1 failed), 1.200 MiB sent, 3.000 KiB received",
  );
  assert.equal(costLine({ requests: {}, failed: 0, sent: 0, received: 0 }), undefined);
});
