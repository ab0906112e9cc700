import { test } from "node:test";
import assert from "node:assert/strict";
import { secondsLeft, Throughput } from "./throughput.ts";

test("the rate is that of the last two minutes", () => {
  const throughput = new Throughput();
  assert.equal(throughput.sample(0, 0), 0);
  assert.equal(throughput.sample(0.5, 500), 1000);
  assert.equal(throughput.sample(10, 10_000), 1000);
  for (let second = 11; second <= 200; second++) throughput.sample(second, 10_000);
  assert.equal(throughput.sample(201, 10_000), 0);
});

test("rare looks are kept longer", () => {
  const throughput = new Throughput();
  let rate = 0;
  for (let look = 1; look <= 15; look++) rate = throughput.sample(look * 60, look * 6000);
  assert.equal(rate, 100);
});

test("the time left is told only when the rate means something", () => {
  assert.equal(secondsLeft(10_000, 2000), 5);
  assert.equal(secondsLeft(10_000, 1024), 0);
  assert.equal(secondsLeft(-5, 2000), 0);
});
