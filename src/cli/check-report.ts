// What `check` says, in restic's words where it has them: a line for each step, what was found, how much was looked at,
// and the messages of --json.

import type { Clock } from "../base/clock.ts";
import { Progress } from "../base/progress.ts";
import type { CheckPhase, CheckReport } from "../repository/check.ts";
import type { CheckFinding } from "../repository/check-findings.ts";
import type { SnapshotVerdict } from "../repository/snapshot-verdict.ts";
import { formatAge, formatBytes, formatDuration, formatPercent } from "./format.ts";
import type { Output } from "./output.ts";
import { ProgressDisplay } from "./progress.ts";
import { countView } from "./progress-views.ts";
import type { ProgressView } from "./progress-views.ts";
import { describeSnapshot } from "./snapshot-table.ts";

export interface CheckReporterOptions {
  output: Output;
  clock: Clock;
  framesPerSecond: number;
  /** What is said when packs begin to be read; knows how many packs and bytes that will be. */
  announceData: (packs: number, bytes: number) => string;
  /** Say how much was read and proved so far, in this run and earlier ones. */
  tellsVerified?: boolean;
}

/** Tells about a check while it runs. */
export class CheckReporter {
  readonly #options: CheckReporterOptions;
  #progress = new Progress();
  #display: ProgressDisplay | undefined;
  #snapshots = 0;
  #phase: CheckPhase | undefined;
  /** What to do about errors, each advice once. */
  readonly #advice = new Set<string>();
  /** What harms nobody, by its kind. */
  readonly #hints = new Map<string, { first: CheckFinding; more: number }>();

  constructor(options: CheckReporterOptions) {
    this.#options = options;
  }

  readonly onPhase = (phase: CheckPhase, total: number, bytes: number): void => {
    const { output, announceData } = this.#options;
    this.end();
    this.#phase = phase;
    if (phase === "index") output.print("load indexes");
    if (phase === "packs") output.print("check all packs");
    if (phase === "trees") {
      output.print("check snapshots, trees and blobs");
      this.#show(total, {
        ...countView("trees"),
        final: ({ seconds }) => this.#allSnapshots(seconds),
      });
    }
    if (phase === "data") {
      output.print(announceData(total, bytes));
      this.#show(total, countView("packs"));
    }
  };

  readonly onDone = (count: number, bytes: number): void => {
    if (this.#phase === "snapshots") this.#snapshots += count;
    this.#progress.done({ files: count, bytes });
  };

  readonly onFinding = (finding: CheckFinding): void => {
    const { output } = this.#options;
    const { severity, code, what, hint, count } = finding;
    if (severity === "hint") {
      output.verbose(what);
      const known = this.#hints.get(code);
      if (known === undefined) this.#hints.set(code, { first: finding, more: 0 });
      else known.more++;
      return;
    }
    const details = finding.details.filter((detail) => !what.includes(detail));
    if (output.isJson) {
      const message = [what, ...details].join("\n");
      output.jsonError({ message_type: "error", message, code, hint });
      return;
    }
    const left = count - finding.details.length;
    if (details.length > 0 && left > 0) details.push(`and ${left} more`);
    output.warn([`error: ${what}`, ...details].join("\n  "));
    this.#advice.add(hint);
  };

  /** Takes the display of the step away. */
  end(outcome: "done" | "failed" = "done"): void {
    this.#display?.stop(outcome);
    this.#display = undefined;
  }

  /** Says what the check came to. */
  summary(report: CheckReport): void {
    const { output } = this.#options;
    this.end();
    const { tellsVerified = false, clock } = this.#options;
    if (output.isJson) {
      output.json(summaryMessage(report, tellsVerified));
      return;
    }
    output.print(coverageLine(report));
    const now = clock.now();
    if (tellsVerified) output.print(verifiedLine(report, now));
    for (const verdict of report.verdicts) output.print(verdictLine(verdict, now));
    if (report.numErrors === 0) {
      // Beside errors these would mislead: packs are in no index because an index is lost.
      for (const { first, more } of this.#hints.values()) {
        const others = more === 0 ? "" : `, and ${more} more like it`;
        output.print(`${first.what}${others}. ${first.hint}`);
      }
      output.print("no errors were found");
    }
    for (const advice of this.#advice) output.warn(`hint: ${advice}`);
  }

  #show(total: number, view: ProgressView): void {
    const { output, clock, framesPerSecond } = this.#options;
    this.#progress = new Progress();
    this.#progress.addTotal({ files: total });
    const counters = this.#progress;
    this.#display = new ProgressDisplay({ output, counters, view, clock, framesPerSecond });
  }

  /** restic counts snapshots here. We count the trees on the way, which are many more, and snapshots at the end. */
  #allSnapshots(seconds: number): string {
    const count = this.#snapshots;
    if (count === 0) return `[${formatDuration(seconds)}]          0 snapshots`;
    return `[${formatDuration(seconds)}] 100.00%  ${count} / ${count} snapshots`;
  }
}

function summaryMessage(report: CheckReport, tellsVerified: boolean): object {
  const { numErrors, brokenPacks, suggestRepairIndex, suggestPrune } = report;
  return {
    message_type: "summary",
    num_errors: numErrors,
    broken_packs: brokenPacks.length === 0 ? null : brokenPacks,
    suggest_repair_index: suggestRepairIndex,
    suggest_prune: suggestPrune,
    verified: tellsVerified ? verifiedMessage(report) : undefined,
    snapshots: report.verdicts.length === 0 ? undefined : report.verdicts.map(verdictMessage),
  };
}

function verifiedMessage({ verified, covered }: CheckReport): object {
  return {
    packs: verified.packs,
    packs_total: covered.packs,
    bytes: verified.bytes,
    bytes_total: verified.bytesStored,
    oldest: timeText(verified.oldest),
  };
}

function verdictMessage(verdict: SnapshotVerdict): object {
  return {
    id: verdict.id,
    state: verdict.state,
    packs: verdict.packs,
    bytes: verdict.bytes,
    verified_packs: verdict.verifiedPacks,
    verified_bytes: verdict.verifiedBytes,
    oldest: timeText(verdict.oldest),
    damaged_packs: verdict.damagedPacks,
    damaged_trees: verdict.damagedTrees,
  };
}

function timeText(time: number | undefined): string | null {
  return time === undefined ? null : new Date(time).toISOString();
}

/** How far checks have come, over all their runs. */
function verifiedLine({ verified, covered }: CheckReport, now: number): string {
  const { packs, bytes, bytesStored, oldest } = verified;
  const part = `${packs} of ${covered.packs} packs, ${formatPercent(bytes, bytesStored)} of ${formatBytes(bytesStored)}`;
  return `read and proved so far: ${part}${oldestText(oldest, now)}`;
}

function verdictLine(verdict: SnapshotVerdict, now: number): string {
  const { id, snapshot, state, packs, bytes, verifiedPacks, verifiedBytes, oldest } = verdict;
  const what = describeSnapshot(id, snapshot);
  if (state === "damaged") {
    const parts = [
      ...(verdict.damagedPacks.length > 0 ? [`${verdict.damagedPacks.length} packs`] : []),
      ...(verdict.damagedTrees > 0 ? [`${verdict.damagedTrees} directory listings`] : []),
    ];
    return `${what}: damaged (${parts.join(", ")})`;
  }
  const read =
    state === "verified"
      ? `all ${packs} packs (${formatBytes(bytes)}) were read`
      : `${verifiedPacks} of ${packs} packs (${formatPercent(verifiedBytes, bytes)} of ${formatBytes(bytes)}) were read`;
  return `${what}: ${state}, ${read}${oldestText(oldest, now)}`;
}

function oldestText(oldest: number | undefined, now: number): string {
  return oldest === undefined ? "" : `, the oldest ${formatAge((now - oldest) / 1000)}`;
}

/** A green report says how much it means. */
function coverageLine({ covered }: CheckReport): string {
  const { snapshots, trees, blobs, packs, packsRead, packsToRead, bytesRead } = covered;
  const seen = `checked ${snapshots} snapshots, ${trees} trees, ${blobs} blobs in ${packs} packs`;
  if (packsToRead === 0) return `${seen}; file content was not read`;
  const share = packsToRead === packs ? `all ${packs}` : `${packsRead} of ${packs}`;
  return `${seen}; read ${share} packs (${formatBytes(bytesRead)})`;
}
