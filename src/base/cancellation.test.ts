import assert from "node:assert/strict";
import { test } from "node:test";
import { cancelled, throwIfCancelled, unlessCancelled } from "./cancellation.ts";

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

test("work is waited for until it is done or the signal is aborted, whichever comes first", async () => {
  const controller = new AbortController();
  const { signal } = controller;
  assert.equal(await unlessCancelled(Promise.resolve(7), signal), 7);
  await assert.rejects(unlessCancelled(Promise.reject(new Error("failed")), signal), /failed/);
  const endless = unlessCancelled(new Promise(() => {}), signal);
  controller.abort(new Error("enough"));
  await assert.rejects(endless, { code: "CANCELLED", message: "stopped: enough" });
  // What fails after nobody waits any more is nobody's error.
  const late = Promise.withResolvers<void>();
  await assert.rejects(unlessCancelled(late.promise, signal), { code: "CANCELLED" });
  late.reject(new Error("late"));
});
