// The reader of scripts, which must not pass what it ought to refuse.

import { test } from "node:test";
import assert from "node:assert/strict";
import { linesOf, matchesLines, parseScript } from "./script.ts";

test("a script is directives and commands with what they print", () => {
  const steps = parseScript(`# A story.
@ repository repo secret

$ holdfast nope \\
  --json
out

more

! oops
= 1
# Told.
$ true
`);
  assert.deepEqual(steps, [
    { kind: "repository", line: 2, words: ["repo", "secret"] },
    {
      kind: "command",
      line: 4,
      text: "holdfast nope --json",
      stdout: ["out", "", "more"],
      stderr: ["oops"],
      status: 1,
    },
    { kind: "command", line: 13, text: "true", stdout: [], stderr: [], status: 0 },
  ]);
});

test("a line that belongs nowhere is refused", () => {
  assert.throws(() => parseScript("holdfast version"), /line 1/);
  assert.throws(() => parseScript("@ sleep 1"), /"@ sleep"/);
});

test("wildcards stand for what they say and nothing else", () => {
  const fits = (expected: string, actual: string): boolean =>
    matchesLines(linesOf(expected), linesOf(actual));
  assert.ok(fits("snapshot <short> saved", "snapshot 0123abcd saved\n"));
  assert.ok(!fits("snapshot <short> saved", "snapshot 0123abcde saved\n"));
  assert.ok(!fits("snapshot <short> saved", "snapshot 0123abcd saved!"));
  assert.ok(fits("a.b (c)", "a.b (c)"));
  assert.ok(!fits("a.b", "axb"));
  assert.ok(fits("<size> <number> <time>", "1.500 KiB 17 2026-01-01 00:00:00"));
  assert.ok(fits("17 B <instant> <any>", "17 B 2026-01-01T00:00:00.5+01:00 "));
  assert.ok(!fits("<size>", "1.5 KiB"));
});

test("dots stand for any lines, and without them every line counts", () => {
  const lines = ["a", "b", "c"];
  assert.ok(matchesLines(["...", "c"], lines));
  assert.ok(matchesLines(["a", "...", "c"], lines));
  assert.ok(matchesLines(["a", "b", "c", "..."], lines));
  assert.ok(matchesLines(["..."], []));
  assert.ok(!matchesLines(["a", "..."], ["b"]));
  assert.ok(!matchesLines(["...", "b"], lines));
  assert.ok(!matchesLines(["a", "b"], lines));
  assert.ok(!matchesLines(["a", "b", "c", "d"], lines));
});
