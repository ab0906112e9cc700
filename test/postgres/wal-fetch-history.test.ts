// What `pg wal-fetch` says of a timeline whose history is not in the archive: PostgreSQL asks for many that never were.

import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { runProgram } from "./program.ts";

test("1, and a warning: the history of a timeline whose WAL is there", async () => {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-history-"));
  try {
    const wals = join(folder, "one/wals/0000000600000000");
    mkdirSync(wals, { recursive: true });
    writeFileSync(join(wals, "000000060000000000000002"), "");
    const words = (timeline: string): string[] => {
      const verb = ["pg", "wal-fetch", `${timeline}.history`, join(folder, "history")];
      return verb.concat("--archive", folder, "--server", "one");
    };
    const lost = await runProgram(words("00000006"));
    assert.equal(lost.status, 1);
    assert.match(lost.stderr, /WAL of timeline 6, and no history of it/);
    const absent = await runProgram(words("00000005"));
    assert.deepEqual([absent.status, absent.stderr], [1, ""]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
