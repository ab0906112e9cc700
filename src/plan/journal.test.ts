import { test } from "node:test";
import assert from "node:assert/strict";
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { isHoldfastError } from "../base/errors.ts";
import { JOURNAL_FILE, openJournal, parseJournal, type JournalEntry } from "./journal.ts";

const entry = (started: number, more: Partial<JournalEntry> = {}): JournalEntry => ({
  instance: "one",
  task: "snapshot",
  outcome: "done",
  started,
  ended: started + 1500,
  ...more,
});

async function inFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-journal-"));
  try {
    await work(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

test("what is added is there after a restart, also behind a line that a crash cut off", async () => {
  await inFolder(async (folder) => {
    const state = join(folder, "deep", "state");
    const first = await openJournal(state);
    await Promise.all([
      first.add(entry(1000)),
      first.add(entry(2000, { outcome: "failed", code: "STORAGE_FULL", message: "full" })),
    ]);
    const path = join(state, JOURNAL_FILE);
    appendFileSync(path, '{"instance":"one","task":"snaps');
    const second = await openJournal(state);
    assert.deepEqual(second.entries, [
      entry(1000),
      entry(2000, { outcome: "failed", code: "STORAGE_FULL", message: "full" }),
    ]);
    await second.add(entry(3000));
    const third = await openJournal(state);
    assert.equal(third.last("one", "snapshot", ["done"])!.started, 3000);
    assert.equal(third.last("one", "snapshot", ["failed"])!.started, 2000);
    assert.equal(third.last("two", "snapshot", ["done"]), undefined);
  });
});

test("it does not grow for ever", async () => {
  await inFolder(async (folder) => {
    const path = join(folder, JOURNAL_FILE);
    const line = (number: number): string =>
      `${JSON.stringify({ instance: "one", task: "drill", outcome: "done", started: new Date(number).toISOString(), ended: new Date(number).toISOString() })}\n`;
    writeFileSync(path, Array.from({ length: 6000 }, (_, number) => line(number)).join(""));
    const journal = await openJournal(folder);
    await journal.add(entry(7000));
    const lines = readFileSync(path, "utf8").trim().split("\n");
    assert.equal(lines.length, 3000);
    assert.equal((await openJournal(folder)).entries.at(-1)!.started, 7000);
    await journal.add(entry(8000));
    assert.equal((await openJournal(folder)).entries.at(-1)!.started, 8000);
  });
});

test("a place that cannot be written is named", async () => {
  await inFolder(async (folder) => {
    writeFileSync(join(folder, "file"), "");
    await assert.rejects(openJournal(join(folder, "file")), (error) =>
      isHoldfastError(error, "TARGET_UNWRITABLE"),
    );
  });
});

test("a journal is never the reason that nothing starts, whatever is in it", () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), fc.string(), (one, other) => {
      assert.ok(Array.isArray(parseJournal(`${one}\n${other}`)));
    }),
  );
});
