import assert from "node:assert/strict";
import { test } from "node:test";
import { truthAt, type JournalLine } from "./journal.ts";

const A = "a".repeat(40);
const B = "b".repeat(40);

const journal: JournalLine[] = [
  { kind: "begun", after: 0 },
  { kind: "created", before: 1, after: 1.1, changes: { 1: A, 2: B } },
  { kind: "rewritten", before: 2, after: 2.1, changes: { 1: B } },
  { kind: "deleted", before: 3, after: 3.1, changes: { 2: null } },
];

test("what was committed before a moment is there, and what came later is not", () => {
  const truth = truthAt(journal, { from: 2.5, to: 2.5 });
  assert.deepEqual(Object.fromEntries(truth.present), { 1: B, 2: B });
  assert.deepEqual([truth.open.size, truth.absent.size], [0, 0]);
  const early = truthAt(journal, { from: 0.5, to: 0.5 });
  assert.deepEqual([[...early.present], [...early.absent]], [[], [1, 2]]);
});

test("nothing is said of what was being committed at that moment", () => {
  const truth = truthAt(journal, { from: 3.05, to: 3.05 });
  assert.deepEqual([[...truth.present], [...truth.open]], [[[1, B]], [2]]);
  const between = truthAt(journal, { from: 1.5, to: 2.5 });
  assert.deepEqual([[...between.present], [...between.open]], [[[2, B]], [1]]);
});

test("what was deleted is absent", () => {
  const truth = truthAt(journal, { from: Infinity, to: Infinity });
  assert.deepEqual([[...truth.present], [...truth.absent]], [[[1, B]], [2]]);
});
