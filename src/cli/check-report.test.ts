import { test } from "node:test";
import assert from "node:assert/strict";
import { systemClock } from "../base/clock.ts";
import type { CheckReport } from "../repository/check.ts";
import { CheckFindings } from "../repository/check-findings.ts";
import { recordOutput } from "../../test/cli/recorded-output.ts";
import { CheckReporter } from "./check-report.ts";
import type { OutputOptions } from "./output.ts";

const ID = "ab".repeat(32);
const COVERED: CheckReport["covered"] = {
  indexFiles: 1,
  indexFilesLoaded: 1,
  packs: 4,
  packsStored: 4,
  snapshots: 2,
  trees: 7,
  blobs: 9,
  unusedBlobs: 0,
  packsRead: 0,
  packsToRead: 0,
  bytesRead: 0,
  bytesToRead: 0,
};

/** Tells about a check of two snapshots that found `found`. */
function tell(
  found: (findings: CheckFindings) => void,
  options: Partial<OutputOptions> = {},
  report: Partial<CheckReport> = {},
) {
  const { output, stdout, stderr } = recordOutput(options);
  const reporter = new CheckReporter({
    output,
    clock: { ...systemClock, monotonic: () => 0 },
    framesPerSecond: 0,
    announceData: (packs) => `read ${packs} packs`,
  });
  const findings = new CheckFindings(reporter.onFinding);
  reporter.onPhase("snapshots", 0, 0);
  reporter.onDone(2, 0);
  reporter.onPhase("index", 1, 0);
  reporter.onPhase("packs", 4, 0);
  reporter.onPhase("trees", 8, 0);
  found(findings);
  reporter.onDone(7, 0);
  reporter.summary({
    numErrors: findings.errors,
    brokenPacks: [...findings.brokenPacks],
    brokenSnapshots: [...findings.brokenSnapshots],
    suggestRepairIndex: findings.suggestRepairIndex,
    suggestPrune: findings.suggestPrune,
    findings: findings.kept,
    findingsOmitted: 0,
    covered: COVERED,
    verdicts: [],
    verified: { packs: 0, bytes: 0, bytesStored: 0, oldest: undefined },
    ...report,
  });
  return { stdout: stdout(), stderr: stderr() };
}

const STEPS = `load indexes
check all packs
check snapshots, trees and blobs
[0:00] 100.00%  2 / 2 snapshots
checked 2 snapshots, 7 trees, 9 blobs in 4 packs; file content was not read
`;

test("restic's steps, and how much a green report means", () => {
  const { stdout, stderr } = tell(() => {});
  assert.equal(stdout, `${STEPS}no errors were found\n`);
  assert.equal(stderr, "");
  assert.equal(tell(() => {}, { verbosity: 0 }).stdout, "");
});

test("an error is told at once with its details, its advice once at the end", () => {
  const { stdout, stderr } = tell((findings) => {
    findings.add("PACK_MISSING", "pack x does not exist", { packs: [ID] });
    const details = ["first", "second"];
    findings.add("BLOB_DAMAGED", "blobs of y", { packs: [ID], details, count: 5 });
    findings.add("PACK_MISSING", "pack z does not exist: gone", { packs: [ID], details: ["gone"] });
  });
  assert.equal(stdout, STEPS);
  const advice = "Bring it back from a copy of the repository, or run `repair packs` with its id.";
  assert.deepEqual(stderr.split("\n").slice(0, 6), [
    "error: pack x does not exist",
    "error: blobs of y",
    "  first",
    "  second",
    "  and 3 more",
    "error: pack z does not exist: gone",
  ]);
  assert.equal(stderr.split(`hint: ${advice}\n`).length, 2);
});

test("what harms nobody is told once a kind, and not beside errors, where it would mislead", () => {
  const hints = (findings: CheckFindings): void => {
    for (const pack of ["p", "q", "r"]) findings.add("PACK_MIXED", `pack ${pack} is mixed`);
  };
  const told = "pack p is mixed, and 2 more like it. Harmless. `prune` tidies it.\n";
  assert.equal(tell(hints).stdout, `${STEPS}${told}no errors were found\n`);
  const both = tell((findings) => {
    hints(findings);
    findings.add("INDEX_DAMAGED", "index i is damaged");
  });
  assert.equal(both.stdout, STEPS);
});

test("messages have the types and members of restic's", () => {
  const { stdout, stderr } = tell(
    (findings) => findings.add("PACK_DAMAGED", "pack x", { packs: [ID] }),
    { json: true },
  );
  assert.deepEqual(JSON.parse(stdout), {
    message_type: "summary",
    num_errors: 1,
    broken_packs: [ID],
    suggest_repair_index: false,
    suggest_prune: false,
  });
  const { message_type: type, message } = JSON.parse(stderr) as Record<string, string>;
  assert.deepEqual({ type, message }, { type: "error", message: "pack x" });
  assert.match(tell(() => {}, { json: true }).stdout, /"broken_packs":null/);
});
