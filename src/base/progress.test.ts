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
  progress.failed();
  progress.expect({ files: 4, bytes: 50 });
  progress.now("/a");
  progress.now("/b", 1);
  progress.now("");
  assert.equal(progress.totalKnown, false);
  progress.totalComplete();
  assert.deepEqual(
    { ...progress },
    {
      filesTotal: 2,
      directoriesTotal: 1,
      bytesTotal: 35,
      totalKnown: true,
      filesExpected: 4,
      bytesExpected: 50,
      filesDone: 1,
      directoriesDone: 1,
      bytesDone: 15,
      filesSkipped: 1,
      bytesSkipped: 20,
      filesDeleted: 3,
      errors: 1,
      current: ["", "/b"],
    },
  );
});
