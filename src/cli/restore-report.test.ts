import { test } from "node:test";
import assert from "node:assert/strict";
import { Progress } from "../base/progress.ts";
import { recordOutput } from "../../test/cli/recorded-output.ts";
import type { RecordedOutput } from "../../test/cli/recorded-output.ts";
import { createRestoreEvents, reportRestore } from "./restore-report.ts";

/** The events of a restore of /src with four files there already, a link, a pipe and two directories to make. */
function restoreAgain(recorded: RecordedOutput): void {
  const progress = new Progress();
  const events = createRestoreEvents(recorded.output, progress);
  events.restored("/src", "dir", 0);
  const files = [
    ["/src/a", 11],
    ["/src/b", 3_000_000],
    ["/src/c", 4],
    ["/src/d", 2],
  ] as const;
  for (const [path, bytes] of files) {
    events.found(1, bytes);
    events.skipped(path, bytes);
  }
  events.found(2, 0);
  events.restored("/src/link", "symlink", 0);
  events.restored("/src/p", "fifo", 0);
  events.restored("/src/sub", "dir", 0);
  reportRestore(recorded.output, progress, 0.9);
}

test("a restore over files that are there, as restic 0.19.1 printed it", () => {
  const recorded = recordOutput({ verbosity: 3 });
  restoreAgain(recorded);
  assert.equal(
    recorded.stdout(),
    `restored  /src
unchanged /src/a with size 11 B
unchanged /src/b with size 2.861 MiB
unchanged /src/c with size 4 B
unchanged /src/d with size 2 B
restored  /src/link
restored  /src/p
restored  /src/sub
Summary: Restored 4 files/dirs (0 B) in 0:00, skipped 4 files/dirs 2.861 MiB
`,
  );
});

test("the same in JSON", () => {
  const recorded = recordOutput({ json: true });
  restoreAgain(recorded);
  assert.equal(
    recorded.stdout(),
    '{"message_type":"summary","total_files":4,"files_restored":4,"files_skipped":4,"bytes_skipped":3000017}\n',
  );
  const verbose = recordOutput({ json: true, verbosity: 3 });
  restoreAgain(verbose);
  const [first, second] = verbose.stdout().split("\n");
  assert.equal(
    first,
    '{"message_type":"verbose_status","action":"restored","item":"/src","size":0}',
  );
  assert.equal(
    second,
    '{"message_type":"verbose_status","action":"unchanged","item":"/src/a","size":11}',
  );
});

test("a restore that is not complete says how far it came", () => {
  const { output, stdout, stderr } = recordOutput();
  const progress = new Progress();
  const events = createRestoreEvents(output, progress);
  events.found(3, 3000);
  events.bytes(1500);
  events.restored("/a", "file", 1000);
  events.deleted("/old");
  events.failed("/b", new Error("ENOSPC: no space left on device"));
  reportRestore(output, progress, 65);
  assert.equal(
    stdout(),
    "Summary: Restored 1 / 3 files/dirs (1.465 KiB / 2.930 KiB) in 1:05, deleted 1 files/dirs\n",
  );
  assert.equal(stderr(), "ignoring error for /b: ENOSPC: no space left on device\n");
  assert.equal(progress.errors, 1);
});

test("an error in JSON, and a dry run that counts what it would write", () => {
  const { output, stdout, stderr } = recordOutput({ json: true });
  const progress = new Progress();
  const events = createRestoreEvents(output, progress, { dryRun: true });
  events.found(1, 11);
  events.restored("/a", "file", 11);
  events.failed("/b", new Error("denied"));
  reportRestore(output, progress, 2);
  assert.equal(
    stdout(),
    '{"message_type":"summary","seconds_elapsed":2,"total_files":1,"files_restored":1,"total_bytes":11,"bytes_restored":11}\n',
  );
  assert.equal(
    stderr(),
    '{"message_type":"error","error":{"message":"denied"},"during":"restore","item":"/b"}\n',
  );
});
