import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { segmentStart } from "../../barman/lsn.ts";
import { DurableLog } from "./durable-log.ts";

const SIZE = 1 << 20;
const at = (segment: number, offset = 0): bigint => segmentStart(segment, SIZE) + BigInt(offset);
const on = (timeline: number, segment: number): { timeline: number; segment: number } => ({
  timeline,
  segment,
});

void test("the position is the beginning of the first segment that is not durable, whatever the order", () => {
  const order = fc.shuffledSubarray([...Array.from({ length: 12 }).keys()], { minLength: 12 });
  fc.assert(
    fc.property(order, (stored) => {
      const log = new DurableLog(SIZE);
      assert.equal(log.position, undefined);
      log.begin(on(1, 0));
      for (let segment = 0; segment < 12; segment++) log.advance(on(1, segment));
      const durable = new Set<number>();
      for (const segment of stored) {
        log.stored(on(1, segment));
        durable.add(segment);
        let first = 0;
        while (durable.has(first)) first++;
        assert.equal(log.position, at(first));
      }
      assert.equal(log.position, at(12));
    }),
  );
});

void test("a partial segment counts up to what it covers, never for the whole, and never past a hole", () => {
  const log = new DurableLog(SIZE);
  log.begin(on(1, 5));
  log.covered(on(1, 5), 1000);
  assert.equal(log.position, at(5, 1000));
  log.covered(on(1, 5), 900);
  assert.equal(log.position, at(5, 1000));
  log.covered(on(1, 5), SIZE);
  assert.equal(log.position, at(5, SIZE - 1));
  log.advance(on(1, 5));
  log.covered(on(1, 6), 70);
  assert.equal(log.position, at(5, SIZE - 1));
  log.stored(on(1, 5));
  assert.equal(log.position, at(6, 70));
});

void test("what an earlier run left holds the position back", () => {
  const log = new DurableLog(SIZE);
  log.await(on(1, 3));
  log.await(on(1, 4));
  log.begin(on(1, 5));
  assert.equal(log.position, at(3));
  log.stored(on(1, 4));
  log.stored(on(1, 3));
  assert.equal(log.position, at(5));
});

void test("a fork takes nothing of the old timeline behind it for durable", () => {
  const log = new DurableLog(SIZE);
  log.begin(on(1, 5));
  for (const segment of [5, 6, 7]) {
    log.advance(on(1, segment));
    log.stored(on(1, segment));
  }
  assert.equal(log.position, at(8));
  // The new timeline begins within segment 6.
  log.begin(on(2, 6));
  assert.equal(log.position, at(6));
  log.covered(on(1, 6), 500);
  log.stored(on(1, 6));
  assert.equal(log.position, at(6));
  log.stored(on(2, 6));
  assert.equal(log.position, at(7));
});

void test("a stream that begins again keeps what is covered of the same segment", () => {
  const log = new DurableLog(SIZE);
  log.begin(on(1, 5));
  log.covered(on(1, 5), 77);
  log.begin(on(1, 5));
  assert.equal(log.position, at(5, 77));
  log.begin(on(2, 5));
  assert.equal(log.position, at(5));
});
