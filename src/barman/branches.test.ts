// Which timelines a policy has to hold for, and which backups lead there.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Archive, DAY, doneInfo, read, SEGMENT_SIZE, START } from "../../test/barman/archives.ts";
import { branchesOf, liveBranches } from "./branches.ts";
import { segmentStart } from "./lsn.ts";

const at = (segment: number): number => START + segment * DAY;

/** Timeline 1 until day 20, with a backup before and one behind the place where timeline 2 leaves it, on day 21. */
function undone(time: (segment: number) => number): Archive {
  const archive = new Archive().wal({ first: 1, last: 20, time });
  archive.backup(doneInfo({ first: 5, time: at(5) }));
  archive.backup(doneInfo({ first: 15, time: at(15) }));
  archive.history(2, time(21), [1, segmentStart(10, SEGMENT_SIZE) + 9n]);
  return archive.wal({ timeline: 2, first: 10, last: 30, time: (n) => time(n + 11) });
}

test("the one that is written now, and those that were written since", () => {
  const catalogue = read(undone(at), at(42));
  assert.deepEqual(liveBranches(catalogue, at(19)), [1, 2]);
  assert.deepEqual(liveBranches(catalogue, at(25)), [2]);
  assert.deepEqual(liveBranches(catalogue, at(50)), [2]);
  assert.deepEqual(liveBranches(catalogue, undefined), [2]);
});

test("without times, the newest one, and those of which there are backups since", () => {
  const catalogue = read(
    undone(() => 0),
    at(42),
  );
  assert.deepEqual(liveBranches(catalogue, at(14)), [1, 2]);
  assert.deepEqual(liveBranches(catalogue, at(16)), [2]);
  assert.deepEqual(liveBranches(catalogue, undefined), [2]);
  assert.deepEqual(liveBranches(read(new Archive()), undefined), []);
});

test("a backup leads to its own timeline, and to those that left it behind its end", () => {
  const catalogue = read(undone(at), at(42));
  const [before, behind] = catalogue.backups;
  assert.deepEqual([...branchesOf(before!, [1, 2, 3], catalogue)], [1, 2]);
  assert.deepEqual([...branchesOf(behind!, [1, 2, 3], catalogue)], [1]);
});
