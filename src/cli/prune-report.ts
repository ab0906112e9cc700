// What `prune` says, in restic's words: its steps, the plan in numbers, and with --json the summary that restic's next version
// prints (0.19 prints its text there all the same).

import type { Clock } from "../base/clock.ts";
import type { PlannedPrune, PruneEvents, PruneStatistics, PruneStep } from "../repository/prune.ts";
import { formatBytes, formatPercent, shortId } from "./format.ts";
import type { Output } from "./output.ts";
import { StepProgress } from "./step-progress.ts";

export interface PruneReporterOptions {
  output: Output;
  clock: Clock;
  framesPerSecond: number;
  dryRun: boolean;
}

/** What each step says when it begins, and what it counts. */
const STEPS: Record<PruneStep, (total: number) => { says: readonly string[]; counts?: string }> = {
  snapshots: () => ({ says: ["loading all snapshots..."] }),
  trees: (total) => ({
    says: [`finding data that is still in use for ${total} snapshots`],
    counts: "snapshots",
  }),
  plan: () => ({
    says: ["searching used packs...", "collecting packs for deletion and repacking"],
    counts: "packs processed",
  }),
  repack: () => ({ says: ["repacking packs"], counts: "packs repacked" }),
  index: () => ({ says: ["rebuilding index"], counts: "indexes processed" }),
  removeIndex: () => ({ says: [], counts: "old indexes deleted" }),
  removePacks: (total) => ({ says: [`removing ${total} old packs`], counts: "files deleted" }),
  removeUnreferenced: () => ({
    says: ["deleting unreferenced packs"],
    counts: "files deleted",
  }),
};

/** Tells about a prune while it runs. */
export class PruneReporter {
  readonly #options: PruneReporterOptions;
  readonly #steps: StepProgress;

  constructor(options: PruneReporterOptions) {
    this.#options = options;
    this.#steps = new StepProgress(options);
  }

  readonly events: PruneEvents = {
    step: (step, total) => {
      const { says, counts } = STEPS[step](total);
      this.#steps.begin(says, counts, total);
    },
    done: (count) => this.#steps.done(count),
    planned: (plan) => this.#planned(plan),
    removed: (kind, id) =>
      this.#options.output.veryVerbose(`removed ${kind === "pack" ? "data/" : "index "}${id}`),
    notice: (message) => this.#options.output.warn(message),
  };

  /** Takes the display of the step away. */
  end(outcome: "done" | "failed" = "done"): void {
    this.#steps.end(outcome);
  }

  /** Says that all is done. */
  finish(): void {
    this.end();
    if (!this.#options.dryRun) this.#options.output.print("done");
  }

  #planned(plan: PlannedPrune): void {
    const { output, dryRun } = this.#options;
    for (const id of plan.unreferenced) {
      output.verbose(`will remove pack ${shortId(id)} as it is unused and not indexed`);
    }
    this.end();
    if (plan.missing.length > 0) {
      output.warn("Missing but unneeded pack files are referenced in the index, will be repaired");
      for (const id of plan.missing) output.warn(`will forget missing pack file ${id}`);
    }
    if (output.isJson) {
      output.json(pruneMessage(plan.statistics));
      return;
    }
    if (dryRun) {
      output.print("");
      output.print("Would have made the following changes:");
    }
    printStatistics(output, plan.statistics);
    if (dryRun) printPacks(output, plan);
  }
}

function printStatistics(output: Output, { blobs, bytes, packs }: PruneStatistics): void {
  const line = (title: string, count: number, size: number): string =>
    `${title.padEnd(14)}${String(count).padStart(10)} blobs / ${formatBytes(size)}`;
  const packLine = (title: string, count: number, unit = ""): string =>
    `${title}${String(count).padStart(10)}${unit}`;
  output.verbose("");
  output.verbose(line("used:", blobs.used, bytes.used));
  if (blobs.duplicate > 0) output.verbose(line("duplicates:", blobs.duplicate, bytes.duplicate));
  output.verbose(line("unused:", blobs.unused, bytes.unused));
  if (bytes.unreferenced > 0) {
    output.verbose(`unreferenced:                    ${formatBytes(bytes.unreferenced)}`);
  }
  output.verbose(line("total:", blobs.total, bytes.total));
  const unused = bytes.duplicate + bytes.unused;
  output.verbose(`unused size: ${formatPercent(unused, bytes.total)} of total size`);
  output.print("");
  output.print(line("to repack:", blobs.repack, bytes.repack));
  output.print(line("this removes:", blobs.repackRemove, bytes.repackRemove));
  output.print(line("to delete:", blobs.remove, bytes.remove + bytes.unreferenced));
  output.print(line("total prune:", blobs.removeTotal, bytes.removeTotal));
  if (bytes.uncompressed > 0) {
    output.print(`not yet compressed:              ${formatBytes(bytes.uncompressed)}`);
  }
  output.print(line("remaining:", blobs.remaining, bytes.remaining));
  const left = formatPercent(bytes.remainingUnused, bytes.remaining);
  output.print(
    `unused size after prune: ${formatBytes(bytes.remainingUnused)} (${left} of remaining size)`,
  );
  output.print("");
  output.verbose(packLine("totally used packs: ", packs.used));
  output.verbose(packLine("partly used packs:  ", packs.partlyUsed));
  output.verbose(packLine("unused packs:       ", packs.unused));
  output.verbose("");
  output.verbose(packLine("to keep:      ", packs.keep, " packs"));
  output.verbose(packLine("to repack:    ", packs.repack, " packs"));
  output.verbose(packLine("to delete:    ", packs.remove, " packs"));
  if (packs.unreferenced > 0) {
    output.verbose(packLine("to delete:    ", packs.unreferenced, " unreferenced packs"));
    output.verbose("");
  }
}

function printPacks(output: Output, { unreferenced, repack, remove }: PlannedPrune): void {
  const list = (what: string, ids: readonly string[]): void => {
    output.verbose(`Would have ${what} packs:`);
    output.verbose(`{${[...ids].sort().map(shortId).join(" ")}}`);
    output.verbose("");
  };
  if (unreferenced.length > 0) list("removed the following unreferenced", unreferenced);
  list("repacked and removed the following", repack);
  list("removed the following no longer used", remove);
}

/** restic's summary of a plan. */
function pruneMessage({ blobs, bytes, packs }: PruneStatistics): object {
  return {
    message_type: "summary",
    blobs: {
      used: blobs.used,
      duplicate: blobs.duplicate,
      unused: blobs.unused,
      total: blobs.total,
      repack: blobs.repack,
      repack_remove: blobs.repackRemove,
      remove: blobs.remove,
      remove_total: blobs.removeTotal,
      remaining: blobs.remaining,
    },
    bytes: {
      used: bytes.used,
      duplicate: bytes.duplicate,
      unused: bytes.unused,
      unreferenced: bytes.unreferenced,
      uncompressed: bytes.uncompressed,
      total: bytes.total,
      repack: bytes.repack,
      repack_remove: bytes.repackRemove,
      remove: bytes.remove,
      remove_total: bytes.removeTotal,
      remaining: bytes.remaining,
      remaining_unused: bytes.remainingUnused,
    },
    packfiles: {
      used: packs.used,
      unused: packs.unused,
      partly_used: packs.partlyUsed,
      unreferenced: packs.unreferenced,
      total: packs.total,
      keep: packs.keep,
      repack: packs.repack,
      remove: packs.remove,
      remove_total: packs.removeTotal,
    },
  };
}
