import { test } from "node:test";
import assert from "node:assert/strict";
import { Progress } from "./progress.ts";

test("counters add up what they are told", () => {
  const progress = new Progress();
  progress.addTotal({ files: 2, directories: 1, bytes: 30 });
  progress.addTotal({ bytes: 5 });
  progress.done({ bytes: 10 });
  progress.done({ files: 1, bytes: 5 });
  progress.done({ directories: 1 });
  progress.skipped({ files: 1, bytes: 20 });
  progress.deleted(3);
  progress.totalComplete();
  const { filesTotal, directoriesTotal, bytesTotal, totalKnown } = progress;
  assert.deepEqual([filesTotal, directoriesTotal, bytesTotal, totalKnown], [2, 1, 35, true]);
  const { filesDone, directoriesDone, bytesDone, filesSkipped, bytesSkipped } = progress;
  assert.deepEqual([filesDone, directoriesDone, bytesDone], [1, 1, 15]);
  assert.deepEqual([filesSkipped, bytesSkipped, progress.filesDeleted], [1, 20, 3]);
});

test("each lane says what it is busy with", () => {
  const progress = new Progress();
  progress.now("/a");
  progress.now("/b", 1);
  progress.now("");
  assert.deepEqual(progress.current, ["", "/b"]);
});

test("failures are counted and told, items only to those who listen", () => {
  const progress = new Progress();
  const heard: unknown[] = [];
  progress.failed("/a", new Error("x"), "scan");
  progress.onError = (path, error, stage) => heard.push([path, (error as Error).message, stage]);
  progress.failed("/b", new Error("y"), "archival");
  assert.equal(progress.errors, 2);
  assert.deepEqual(heard, [["/b", "y", "archival"]]);
  assert.equal(progress.onItem, undefined);
});
