import assert from "node:assert/strict";
import { test } from "node:test";
import { Lag } from "./lag.ts";

void test("the lag is the age of the oldest byte that is not durable", () => {
  const lag = new Lag();
  assert.equal(lag.milliseconds(5), 0);
  lag.received(100n, 1000);
  lag.received(200n, 2000);
  lag.received(150n, 2500);
  lag.received(300n, 3000);
  assert.equal(lag.milliseconds(3500), 2500);
  lag.durable(99n);
  assert.equal(lag.milliseconds(3500), 2500);
  lag.durable(100n);
  assert.equal(lag.milliseconds(3500), 1500);
  lag.durable(299n);
  assert.equal(lag.milliseconds(3500), 500);
  lag.durable(300n);
  assert.equal(lag.milliseconds(9000), 0);
  lag.received(400n, 9000);
  assert.equal(lag.milliseconds(9100), 100);
  lag.clear();
  assert.equal(lag.milliseconds(9999), 0);
});

void test("what arrives closely together is one arrival, whose age is never told too small", () => {
  const lag = new Lag();
  for (let i = 1; i <= 10_000; i++) lag.received(BigInt(i), i);
  for (let durable = 0; durable <= 10_000; durable += 777) {
    lag.durable(BigInt(durable));
    const exact = 20_000 - (durable + 1);
    const told = lag.milliseconds(20_000);
    assert.ok(told >= exact && told <= exact + 25, `${told} of ${exact}`);
  }
  lag.durable(10_000n);
  assert.equal(lag.milliseconds(20_000), 0);
});
