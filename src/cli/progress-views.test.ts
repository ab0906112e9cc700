import { test } from "node:test";
import assert from "node:assert/strict";
import { Progress } from "../base/progress.ts";
import { goJson } from "../restic/json-fields.ts";
import { backupView, countView, restoreView } from "./progress-views.ts";
import type { ProgressState } from "./progress-views.ts";

function halfway(): Progress {
  const progress = new Progress();
  progress.addTotal({ files: 456, directories: 7, bytes: 3 * 2 ** 30 });
  progress.done({ files: 123, directories: 2, bytes: 1.5 * 2 ** 30 });
  return progress;
}

function at(counters: Progress, fields: Partial<ProgressState> = {}): ProgressState {
  return { counters, seconds: 75.9, bytesPerSecond: 0, secondsLeft: 0, ...fields };
}

function known(): ProgressState {
  const progress = halfway();
  progress.totalComplete();
  return at(progress, { bytesPerSecond: 20 * 2 ** 20, secondsLeft: 76 });
}

test("a backup in one line, as restic writes it", () => {
  const start = new Progress();
  start.done({ files: 3, bytes: 2048 });
  assert.equal(backupView.plain(at(start)), "[1:15] 3 files, 2.000 KiB, 0 errors");
  assert.equal(
    backupView.plain(at(halfway())),
    "[1:15] 123 files 1.500 GiB, total 456 files 3.000 GiB, 0 errors",
  );
  assert.equal(
    backupView.plain(known()),
    "[1:15] 50.00%  123 files 1.500 GiB, total 456 files 3.000 GiB, 0 errors ETA 1:16",
  );
});

test("a backup on a terminal uses the room there is", () => {
  const line = (columns: number) => backupView.lines(known(), columns)[0];
  const end = "  123 / 456 files  1.500 GiB / 3.000 GiB  20.000 MiB/s  ETA 1:16";
  assert.equal(line(120), `[1:15]  50.00% [${"=".repeat(14)}${" ".repeat(14)}]${end}`);
  assert.equal(line(89), `[1:15]  50.00% [===   ]${end}`);
  assert.equal(line(80), `[1:15]  50.00%${end}`);
  assert.equal(backupView.lines(at(halfway()), 80)[0], "[1:15] 123 files  1.500 GiB");
});

test("a backup on a terminal goes by what its parent had, until more than that is found", () => {
  const progress = halfway();
  progress.expect({ files: 500, bytes: 6 * 2 ** 30 });
  const line = () => backupView.lines(at(progress), 60)[0];
  assert.equal(line(), "[1:15]  25.00%  123 / ~500 files  1.500 GiB / ~6.000 GiB");
  const message = backupView.message?.(at(progress)) as Record<string, unknown>;
  assert.deepEqual([message["total_files"], message["percent_done"]], [456, 0.5]);
  progress.addTotal({ files: 50, bytes: 4 * 2 ** 30 });
  assert.equal(line(), "[1:15] 123 files  1.500 GiB");
});

test("a backup on a terminal names what it is busy with, harmlessly, and counts errors", () => {
  const progress = halfway();
  progress.failed();
  ["/a", "", "/b\x1b[2J", "/c", "/d", "/e"].forEach((path, lane) => progress.now(path, lane));
  const [line, ...files] = backupView.lines(at(progress), 80);
  assert.match(line ?? "", / 1 errors$/);
  assert.deepEqual(files, ["  /a", '  "/b\\x1b[2J"', "  /c", "  /d"]);
});

test("a backup's JSON message has restic's members in restic's order", () => {
  const counters = halfway();
  counters.failed();
  counters.now("/z");
  counters.now("/a", 1);
  const message = backupView.message?.(at(counters, { secondsLeft: 76 }));
  assert.equal(
    goJson(message),
    '{"message_type":"status","seconds_elapsed":75,"seconds_remaining":76,"percent_done":0.5,' +
      '"total_files":456,"files_done":123,"total_bytes":3221225472,"bytes_done":1610612736,' +
      '"error_count":1,"current_files":["/a","/z"]}',
  );
  assert.deepEqual(
    JSON.parse(JSON.stringify(backupView.message?.(at(new Progress(), { seconds: 0 })))),
    {
      message_type: "status",
      percent_done: 0,
    },
  );
});

test("a restore in one line and in JSON", () => {
  const progress = halfway();
  assert.equal(
    restoreView.plain(at(progress)),
    "[1:15] 50.00%  125 files/dirs 1.500 GiB, total 463 files/dirs 3.000 GiB",
  );
  progress.skipped({ files: 4, bytes: 2048 });
  progress.deleted(2);
  assert.match(
    restoreView.plain(at(progress)),
    /GiB, skipped 4 files\/dirs 2\.000 KiB, deleted 2 files\/dirs$/,
  );
  assert.equal(
    JSON.stringify(restoreView.message?.(at(progress))),
    '{"message_type":"status","seconds_elapsed":75,"percent_done":0.5,"total_files":463,"files_restored":125,' +
      '"files_skipped":4,"files_deleted":2,"total_bytes":3221225472,"bytes_restored":1610612736,"bytes_skipped":2048}',
  );
  assert.match(restoreView.lines(known(), 80)[0] ?? "", / 125 \/ 463 files\/dirs /);
});

test("counted units", () => {
  const view = countView("snapshots");
  const progress = new Progress();
  progress.done({ files: 3 });
  assert.equal(view.plain(at(progress, { seconds: 0 })), "[0:00]          3 snapshots");
  progress.addTotal({ files: 5 });
  progress.done({ files: 2 });
  assert.equal(view.final?.(at(progress, { seconds: 0 })), "[0:00] 100.00%  5 / 5 snapshots");
  assert.deepEqual(view.lines(at(progress), 46), ["[1:15] 100.00%  5 / 5 snapshots  [==========]"]);
  assert.equal("message" in view, false);
});
