import assert from "node:assert/strict";
import { test } from "node:test";
import { cancelled, throwIfCancelled } from "./cancellation.ts";

test("a plain abort says stopped, a reason is told", () => {
  const plain = AbortSignal.abort();
  assert.equal(cancelled(plain).message, "stopped");
  assert.equal(cancelled(plain).cause, plain.reason);
  const told = cancelled(AbortSignal.abort(new Error("the lock was lost")));
  assert.equal(told.code, "CANCELLED");
  assert.equal(told.message, "stopped: the lock was lost");
  assert.equal(told.retryable, false);
});

test("throws only for an aborted signal", () => {
  throwIfCancelled(undefined);
  throwIfCancelled(new AbortController().signal);
  assert.throws(() => throwIfCancelled(AbortSignal.abort()), { code: "CANCELLED" });
});
