import { test } from "node:test";
import type { TestContext } from "node:test";
import assert from "node:assert/strict";
import { setImmediate } from "node:timers/promises";
import { Progress } from "../base/progress.ts";
import { Output } from "./output.ts";
import type { OutputOptions } from "./output.ts";
import { ProgressDisplay } from "./progress.ts";
import { backupView, countView } from "./progress-views.ts";
import type { ProgressView } from "./progress-views.ts";

interface Setup extends Partial<OutputOptions> {
  terminal?: boolean;
  framesPerSecond?: number;
  view?: ProgressView;
}

/** A display whose time passes by `pass(seconds)` alone. */
function create(
  t: TestContext,
  { terminal = false, framesPerSecond, view = backupView, ...options }: Setup = {},
) {
  t.mock.timers.enable({ apis: ["setInterval"] });
  const written: string[] = [];
  let now = 0;
  const stdout = {
    write: (data: string | Uint8Array) => written.push(data.toString()),
    isTTY: terminal,
    columns: 80,
  };
  const output = new Output({ stdout, stderr: stdout, ...options });
  const counters = new Progress();
  const display = new ProgressDisplay({
    output,
    counters,
    view,
    clock: { monotonic: () => now },
    framesPerSecond,
  });
  t.after(() => display.stop());
  return {
    display,
    counters,
    said: (): string => {
      output.flush();
      return written.join("");
    },
    pass: (seconds: number): void => {
      for (let step = 0; step < seconds * 10; step++) {
        now += 100;
        t.mock.timers.tick(100);
      }
    },
  };
}

test("a log gets a line twice a minute, once there is something to say", (t) => {
  const { counters, pass, said } = create(t);
  pass(60);
  assert.equal(said(), "");
  counters.done({ files: 1, bytes: 1024 });
  pass(75);
  assert.equal(
    said(),
    "[1:30] 1 files, 1.000 KiB, 0 errors\n[2:00] 1 files, 1.000 KiB, 0 errors\n",
  );
});

test("the user can ask for more lines", (t) => {
  const { counters, pass, said } = create(t, { framesPerSecond: 0.5 });
  counters.done({ files: 1 });
  pass(5);
  assert.equal(said(), "[0:02] 1 files, 0 B, 0 errors\n[0:04] 1 files, 0 B, 0 errors\n");
});

test("a terminal is redrawn, and clean at the end", (t) => {
  const { counters, display, pass, said } = create(t, { terminal: true });
  counters.addTotal({ files: 2, bytes: 2 * 2 ** 20 });
  counters.totalComplete();
  counters.done({ files: 1, bytes: 2 ** 20 });
  pass(1);
  assert.match(said(), /1 \/ 2 files {2}1\.000 MiB \/ 2\.000 MiB {2}\d+\.\d+ MiB\/s/);
  display.stop();
  assert.ok(said().endsWith("\r\x1b[J"));
  const before = said();
  pass(5);
  assert.equal(said(), before);
});

test("the time left follows from what is expected, until the totals are known", (t) => {
  const { counters, pass, said } = create(t, { json: true, framesPerSecond: 1 });
  const left = (): unknown =>
    (JSON.parse(said().trimEnd().split("\n").at(-1)!) as Record<string, unknown>)[
      "seconds_remaining"
    ];
  counters.addTotal({ bytes: 2 ** 20 });
  counters.done({ bytes: 2 ** 20 });
  pass(1);
  assert.equal(left(), undefined);
  counters.expect({ bytes: 11 * 2 ** 20 });
  pass(1);
  assert.equal(left(), 20);
  counters.totalComplete();
  pass(1);
  assert.equal(left(), undefined);
});

test("--json sends messages, ten a second", (t) => {
  const { counters, pass, said } = create(t, { json: true });
  counters.done({ files: 1 });
  pass(1);
  const messages = said().trimEnd().split("\n");
  assert.equal(messages.length, 10);
  assert.equal(
    messages[9],
    '{"message_type":"status","seconds_elapsed":1,"percent_done":0,"files_done":1}',
  );
});

test("--quiet shows nothing, but for JSON messages that were asked for", (t) => {
  const quiet = create(t, { verbosity: 0, json: true });
  quiet.counters.done({ files: 1 });
  quiet.pass(60);
  assert.equal(quiet.said(), "");
});

test("--quiet with an explicit frame rate", (t) => {
  const { counters, pass, said } = create(t, { verbosity: 0, json: true, framesPerSecond: 1 });
  counters.done({ files: 1 });
  pass(2);
  assert.equal(said().trimEnd().split("\n").length, 2);
});

test("a view's final line stays, unless the operation failed", (t) => {
  const { counters, display, said } = create(t, { view: countView("snapshots") });
  counters.addTotal({ files: 2 });
  counters.done({ files: 2 });
  display.stop();
  display.stop();
  assert.equal(said(), "[0:00] 100.00%  2 / 2 snapshots\n");
});

test("a failed operation leaves no final line", (t) => {
  const { counters, display, said } = create(t, { view: countView("snapshots") });
  counters.addTotal({ files: 2 });
  display.stop("failed");
  assert.equal(said(), "");
});

test("SIGUSR1 shows the progress at once", async (t) => {
  const { counters, display, said } = create(t);
  counters.done({ files: 7 });
  process.kill(process.pid, "SIGUSR1");
  while (said() === "") await setImmediate();
  assert.equal(said(), "[0:00] 7 files, 0 B, 0 errors\n");
  const listeners = process.listenerCount("SIGUSR1");
  display.stop();
  assert.equal(process.listenerCount("SIGUSR1"), listeners - 1);
});
