import { before, test } from "node:test";
import assert from "node:assert/strict";
import { Progress } from "../base/progress.ts";
import { textToByteString } from "../restic/byte-string.ts";
import { createBackupEvents, reportBackup, reportScan } from "./backup-report.ts";
import type { BackupOutcome } from "./backup-report.ts";
import { recordOutput } from "../../test/cli/recorded-output.ts";

before(() => {
  process.env["TZ"] = "Europe/Brussels";
});

const CLOCK = { monotonic: () => 0 };
const STARTED = 1_795_467_142_246_985_926n;

const OUTCOME: BackupOutcome = {
  snapshot: "7301a72ac51d85406ed8983878c2e0acaecaf2f0a3826e350f5bb0aeeaf2f491",
  counts: {
    files: { new: 0, changed: 1, unmodified: 3 },
    dirs: { new: 0, changed: 1, unmodified: 1 },
    totalBytes: 3_000_017,
  },
  added: { dataBlobs: 1, treeBlobs: 2, added: 2891, addedPacked: 5 },
  startedAt: STARTED,
  endedAt: STARTED + 61_759_091_084n,
};

// The texts below have the shape that restic 0.19.1 printed.

test("the summary of a backup", () => {
  const { output, stdout } = recordOutput({ verbosity: 2 });
  reportBackup(output, OUTCOME);
  assert.equal(
    stdout(),
    `
Files:           0 new,     1 changed,     3 unmodified
Dirs:            0 new,     1 changed,     1 unmodified
Data Blobs:      1 new
Tree Blobs:      2 new
Added to the repository: 2.823 KiB (5 B   stored)

processed 4 files, 2.861 MiB in 1:01
snapshot 7301a72a saved
`,
  );
});

test("a dry run says what it would do, and a skipped snapshot that there is none", () => {
  const dry = recordOutput();
  reportBackup(dry.output, { ...OUTCOME, snapshot: undefined }, { dryRun: true });
  assert.match(dry.stdout(), /^Would add to the repository: 2\.823 KiB \(5 B {3}stored\)$/m);
  assert.ok(dry.stdout().endsWith("in 1:01\n"));
  const skipped = recordOutput();
  reportBackup(skipped.output, { ...OUTCOME, snapshot: undefined });
  assert.ok(skipped.stdout().endsWith("\nskipped creating snapshot\n"));
  const quiet = recordOutput({ verbosity: 0 });
  reportBackup(quiet.output, OUTCOME);
  assert.equal(quiet.stdout(), "");
});

test("the summary as a JSON message", () => {
  const { output, stdout } = recordOutput({ json: true, verbosity: 0 });
  reportBackup(output, OUTCOME);
  assert.equal(
    stdout(),
    '{"message_type":"summary","files_new":0,"files_changed":1,"files_unmodified":3,"dirs_new":0,"dirs_changed":1,' +
      '"dirs_unmodified":1,"data_blobs":1,"tree_blobs":2,"data_added":2891,"data_added_packed":5,' +
      '"total_files_processed":4,"total_bytes_processed":3000017,"total_duration":61.759091084,' +
      '"backup_start":"2026-11-23T21:52:22.246985926+01:00","backup_end":"2026-11-23T21:53:24.00607701+01:00",' +
      '"snapshot_id":"7301a72ac51d85406ed8983878c2e0acaecaf2f0a3826e350f5bb0aeeaf2f491"}\n',
  );
  const dry = recordOutput({ json: true });
  reportBackup(dry.output, { ...OUTCOME, snapshot: undefined }, { dryRun: true });
  assert.ok(dry.stdout().endsWith('+01:00","dry_run":true}\n'));
});

test("events are counted", () => {
  const progress = new Progress();
  const { output, stdout, stderr } = recordOutput();
  const events = createBackupEvents(output, progress, CLOCK);
  events.found(3, 300);
  events.done(1, 100);
  events.current("/srv/a");
  events.failed("/srv/b", new Error("/srv/b: EACCES: permission denied"));
  assert.equal("item" in events, false);
  const { filesTotal, bytesTotal, filesDone, bytesDone, errors, current } = progress;
  assert.deepEqual([filesTotal, bytesTotal, filesDone, bytesDone, errors], [3, 300, 1, 100, 1]);
  assert.deepEqual(current, ["/srv/a"]);
  assert.equal(stdout(), "");
  assert.equal(stderr(), "error: /srv/b: EACCES: permission denied\n");
});

test("what is found is complete once the walk says so, and until then the parent tells what to expect", () => {
  const progress = new Progress();
  const { output, stdout } = recordOutput({ verbosity: 2 });
  let now = 1000;
  const events = createBackupEvents(output, progress, { monotonic: () => now });
  events.expected(40, 4000);
  assert.deepEqual([progress.filesExpected, progress.bytesExpected], [40, 4000]);
  events.found(3, 300);
  assert.equal(progress.totalKnown, false);
  now += 250;
  events.foundAll();
  assert.equal(progress.totalKnown, true);
  assert.equal(stdout(), "scan finished in 0.250s: 3 files, 300 B\n");
});

test("the parent is named", () => {
  const { output, stdout } = recordOutput();
  const events = createBackupEvents(output, new Progress(), CLOCK);
  events.parent("2c1121dd".padEnd(64, "0"));
  events.parent(undefined);
  assert.equal(
    stdout(),
    "using parent snapshot 2c1121dd\nno parent snapshot found, will read all files\n",
  );
});

test("-vv names every entry", () => {
  const { output, stdout } = recordOutput({ verbosity: 3 });
  const events = createBackupEvents(output, new Progress(), CLOCK);
  events.item?.("new", "file", textToByteString("/src/é\n"), 11);
  events.item?.("changed", "dir", "/src", 0);
  events.item?.("unmodified", "file", "/src/b", 5);
  reportScan(output, new Progress(), 0.0034);
  assert.equal(
    stdout(),
    'new       "/src/é\\n" with size 11 B\nmodified  /src/ with size 0 B\nunchanged /src/b\n' +
      "scan finished in 0.003s: 0 files, 0 B\n",
  );
});

test("JSON messages for entries and errors", () => {
  const { output, stdout, stderr } = recordOutput({ json: true, verbosity: 2 });
  const progress = new Progress();
  const events = createBackupEvents(output, progress, CLOCK);
  events.item?.("changed", "dir", textToByteString("/src/é"), 0);
  events.failed("/srv/b", new Error("b: denied"));
  events.parent(undefined);
  events.notice("waiting");
  progress.addTotal({ files: 4, bytes: 17 });
  reportScan(output, progress, 0.25);
  const rest = '"data_size_in_repo":0,"metadata_size":0,"metadata_size_in_repo":0,"total_files"';
  assert.equal(
    stdout(),
    `{"message_type":"verbose_status","action":"modified","item":"/src/é/","duration":0,"data_size":0,${rest}:0}\n` +
      `{"message_type":"verbose_status","action":"scan_finished","item":"","duration":0.25,"data_size":17,${rest}:4}\n`,
  );
  assert.equal(
    stderr(),
    '{"message_type":"error","error":{"message":"b: denied"},"during":"archival","item":"/srv/b"}\n',
  );
  assert.equal(
    "item" in createBackupEvents(recordOutput({ json: true }).output, progress, CLOCK),
    false,
  );
});
