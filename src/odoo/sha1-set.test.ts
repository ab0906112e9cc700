import { createHash } from "node:crypto";
import { test } from "node:test";
import assert from "node:assert/strict";
import { Sha1Set } from "./sha1-set.ts";

const sha1 = (i: number): string => createHash("sha1").update(`${i}`).digest("hex");

test("numbers come in order and stay, however often a SHA-1 is added and the set grows", () => {
  const set = new Sha1Set(1);
  for (let i = 0; i < 5000; i++) assert.equal(set.add(sha1(i)), i);
  for (let i = 0; i < 5000; i++) {
    assert.equal(set.add(sha1(i)), i);
    assert.equal(set.indexOf(sha1(i)), i);
    assert.equal(set.at(i), sha1(i));
  }
  assert.equal(set.size, 5000);
  assert.equal(set.indexOf(sha1(5001)), -1);
  assert.ok(set.has(sha1(0)) && !set.has(sha1(-1)));
  assert.deepEqual([...set].slice(0, 3), [sha1(0), sha1(1), sha1(2)]);
});

test("keys that differ only where the slots do not look are told apart", () => {
  const set = new Sha1Set();
  const one = "00".repeat(20);
  const other = `${"00".repeat(19)}01`;
  assert.equal(set.add(one), 0);
  assert.equal(set.add(other), 1);
  assert.equal(set.indexOf(one), 0);
  assert.equal(set.indexOf(other), 1);
});

test("digits of a longer text are the same as a string of them, and nothing else is taken", () => {
  const set = new Sha1Set(1);
  const text = Buffer.from(`ab/${sha1(7)}\n`);
  assert.equal(set.addDigits(text, 3), 0);
  assert.equal(set.add(sha1(7)), 0);
  assert.equal(set.addDigits(Buffer.from(sha1(8)), 0), 1);
  assert.equal(set.addDigits(Buffer.from(sha1(7).toUpperCase()), 0), -1);
  assert.equal(set.addDigits(text, 4), -1);
  assert.equal(set.size, 2);
});
