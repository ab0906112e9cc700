import assert from "node:assert/strict";
import { test } from "node:test";
import { statusLogs } from "./status-logs.ts";

test("a log in a status moves no cursor, whoever printed it", () => {
  const log = "\u001b[2J\u001b]0;title\u0007Fatal: \u202Egone\r\nnext\tline\u0000\n";
  assert.equal(statusLogs(log, "Failed"), " [2J ]0;title Fatal:  gone\nnext\tline");
});
