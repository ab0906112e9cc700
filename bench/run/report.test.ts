import assert from "node:assert/strict";
import { test } from "node:test";
import { median, summarize, tableOf, type Sample } from "./report.ts";

function sample(run: number, tool: string, wall: number): Sample {
  return { run, operation: "first", tool, wall, cpu: wall * 2, memory: 1e6, repository: 5e6 };
}

test("the median is the middle, or the mean of the two in the middle", () => {
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([4, 1, 2, 3]), 2.5);
  assert.ok(Number.isNaN(median([])));
});

test("ratios are taken within a run, not between medians", () => {
  // Run 2 was slow for both; a ratio of medians would say 10 / 20.
  const samples = [
    sample(1, "restic", 20),
    sample(1, "ours", 10),
    sample(2, "ours", 90),
    sample(2, "restic", 100),
    sample(3, "restic", 10),
    sample(3, "ours", 8),
  ];
  const rows = summarize(samples, "restic", ["ours", "restic"]);
  assert.deepEqual(
    rows.map(({ tool, runs, wall }) => ({ tool, runs, wall })),
    [
      { tool: "ours", runs: 3, wall: 10 },
      { tool: "restic", runs: 3, wall: 20 },
    ],
  );
  assert.equal(rows[0]!.ratios?.wall, 0.8);
  assert.equal(rows[0]!.ratios?.memory, 1);
  assert.equal(rows[1]!.ratios, undefined);
});

test("a run that the baseline missed gives no ratio", () => {
  const samples = [sample(1, "ours", 10), sample(2, "ours", 30), sample(2, "restic", 60)];
  const [ours] = summarize(samples, "restic", ["ours", "restic"]);
  assert.equal(ours!.runs, 2);
  assert.equal(ours!.ratios?.wall, 0.5);
});

test("the table has a line for each row, and ratios in brackets", () => {
  const samples = [sample(1, "ours", 10), sample(1, "restic", 20)];
  const table = tableOf(summarize(samples, "restic", ["ours", "restic"]), "restic");
  assert.match(table, /^\| first +\| ours +\| +10\.00 \(0\.50\) \|/m);
  assert.match(table, /^\| first +\| restic +\| +20\.00 \|/m);
});
