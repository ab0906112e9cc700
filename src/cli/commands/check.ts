// `check`: looks for errors in the repository, with restic's options. Takes no exclusive lock: backups go on.

import { join } from "node:path";
import { Option } from "commander";
import type { Command } from "commander";
import { parseByteSize } from "../../base/byte-size.ts";
import { HoldfastError } from "../../base/errors.ts";
import { checkRepository } from "../../repository/check.ts";
import type { ReadData } from "../../repository/check-data.ts";
import { ReadLedger } from "../../repository/read-ledger.ts";
import { VerifiedPacks } from "../../repository/verified-packs.ts";
import { CheckReporter } from "../check-report.ts";
import type { CommandModule, Context } from "../command.ts";
import { EXIT } from "../exit-status.ts";
import { formatBytes } from "../format.ts";
import type { Output } from "../output.ts";
import { withRepository } from "../session.ts";
import { addSnapshotFilter, snapshotFilter } from "../snapshot-choice.ts";
import type { FilterFlags } from "../snapshot-choice.ts";

interface CheckFlags extends FilterFlags {
  readData?: boolean;
  readDataSubset?: string;
  budget?: string;
  monthlyBudget?: string;
}

function configure(command: Command): void {
  command
    .argument("[snapshots...]", "check only these snapshots, and packs that they need")
    .option("--read-data", "read every byte of every pack")
    .option("--read-data-subset <part>", "read a part: n/t, or at random x% or a size such as 10G")
    .option("--budget <size>", "read this much, what was never or longest ago read first")
    .option("--monthly-budget <size>", "read no more than this in 30 days, all runs together")
    .option("--with-cache", "accepted; what is checked never comes from the cache")
    // It has done nothing in restic for years, and old scripts still give it.
    .addOption(new Option("--check-unused").hideHelp())
    .addHelpText(
      "after",
      `
Examples:
  holdfast check
  holdfast check --read-data-subset 1/7     (a seventh, another one each day of the week)
  holdfast check --read-data-subset 5%
  holdfast check --budget 20G -v            (each run goes on where the last one ended)
  holdfast check --budget 20G --monthly-budget 300G

Without reading packs it proves that everything the snapshots need is there in the right size, and that all
directories can be read. Only reading proves that the content of files is undamaged. What was read, and when, is
remembered in the cache folder. -v says of each snapshot how much of it was ever read.`,
    );
  addSnapshotFilter(command);
}

export const checkCommand: CommandModule = {
  configure,

  async run(context, ids, options) {
    const flags = options as unknown as CheckFlags;
    const { output, clock, settings, cores } = context;
    const monthly = monthlyOf(flags);
    let readData = readDataOf(flags, monthly);
    const tellsVerified = readData.mode === "budget";
    if (tellsVerified) requireMemory(context);
    const verdicts = output.verbosity >= 2;
    const remembers = readData.mode !== "none" || verdicts;
    const isPartial = ids.length + flags.host.length + flags.tag.length + flags.path.length > 0;
    // RESTIC_HOST is for making and finding snapshots; it must not make a check look at fewer of them.
    const filter = snapshotFilter(flags, {
      ...context,
      settings: { ...settings, host: undefined },
    });
    const reporter = new CheckReporter({
      output,
      clock,
      framesPerSecond: settings.progressFps,
      announceData: (packs, bytes) =>
        announce(readData, isPartial ? "filtered " : "", packs, bytes),
      tellsVerified,
    });
    const { onPhase, onFinding } = reporter;
    let bytesRead = 0;
    const onDone = (count: number, bytes: number): void => {
      bytesRead += bytes;
      reporter.onDone(count, bytes);
    };
    const report = await withRepository(context, "read", async (repository, signal) => {
      const { cacheFolder } = settings;
      const verified =
        remembers && cacheFolder !== undefined
          ? await VerifiedPacks.load(join(cacheFolder, "verified", repository.config.id))
          : undefined;
      const reads =
        cacheFolder === undefined || readData.mode === "none"
          ? undefined
          : await ReadLedger.load(join(cacheFolder, "verified", `${repository.config.id}.reads`));
      if (monthly !== undefined && reads !== undefined) {
        readData = withinMonth(readData, { monthly, reads, now: clock.now() }, output);
      }
      try {
        return await checkRepository(repository, {
          readData,
          verified,
          verdicts,
          ...(isPartial && { snapshots: { ids, filter } }),
          workers: Math.min(cores, 8),
          onPhase,
          onDone,
          onFinding,
          signal,
        });
      } catch (error) {
        reporter.end("failed");
        throw error;
      } finally {
        // Also what was read before it was stopped.
        reads?.add(bytesRead, clock.now());
        const isKept = (await reads?.save(clock.now())) !== false;
        if ((await verified?.save()) === false || !isKept) {
          output.warn(`what was read could not be remembered in ${cacheFolder}`);
        }
      }
    });
    reporter.summary(report);
    if (report.numErrors === 0) return EXIT.ok;
    throw new HoldfastError("CHECK_FAILED", "repository contains errors");
  },
};

function requireMemory({ settings }: Context): void {
  if (settings.cacheFolder !== undefined) return;
  throw new HoldfastError("USAGE", "a budget remembers what was read in the cache folder", {
    hint: "Leave --no-cache away; --cache-dir says where the folder is.",
  });
}

function readDataOf(flags: CheckFlags, monthly: number | undefined): ReadData {
  const { readData, readDataSubset, budget } = flags;
  const isTwice = readData === true || readDataSubset !== undefined;
  if (budget !== undefined) return budgetOf(budget, isTwice);
  if (monthly !== undefined) return budgetOf(flags.monthlyBudget!, isTwice);
  if (readDataSubset === undefined) return { mode: readData === true ? "all" : "none" };
  if (readData !== true) return parseSubset(readDataSubset);
  throw new HoldfastError(
    "USAGE",
    "check flags --read-data and --read-data-subset cannot be used together",
  );
}

function budgetOf(text: string, isTwice: boolean): ReadData {
  if (isTwice) {
    throw new HoldfastError(
      "USAGE",
      "check flags for a budget and --read-data or --read-data-subset cannot be used together",
    );
  }
  const bytes = parseByteSize(text, "--budget");
  if (bytes > 0) return { mode: "budget", bytes };
  throw new HoldfastError("USAGE", "--budget takes more than 0 bytes");
}

function monthlyOf({ monthlyBudget }: CheckFlags): number | undefined {
  if (monthlyBudget === undefined) return undefined;
  const bytes = parseByteSize(monthlyBudget, "--monthly-budget");
  if (bytes > 0) return bytes;
  throw new HoldfastError("USAGE", "--monthly-budget takes more than 0 bytes");
}

/** What may still be read this month; says so when that is nothing. */
function withinMonth(
  readData: ReadData,
  { monthly, reads, now }: { monthly: number; reads: ReadLedger; now: number },
  output: Output,
): ReadData {
  if (readData.mode !== "budget") return readData;
  const read = reads.readInMonth(now);
  const bytes = Math.min(readData.bytes, monthly - read);
  if (bytes > 0) return { mode: "budget", bytes, strict: true };
  const used = `${formatBytes(read)} of ${formatBytes(monthly)} were read within 30 days`;
  const room = new Date(reads.roomAt(monthly, now)).toISOString().slice(0, 10);
  output.warn(`the month's budget is used up: ${used}; no data is read before ${room}`);
  return { mode: "none" };
}

function parseSubset(text: string): ReadData {
  const [, part, of] = /^(\d+)\/(\d+)$/.exec(text) ?? [];
  if (part !== undefined) {
    const subset = { part: Number(part), of: Number(of) };
    if (subset.part >= 1 && subset.part <= subset.of && subset.of <= 256) {
      return { mode: "subset", ...subset };
    }
    throw new HoldfastError("USAGE", "--read-data-subset=n/t takes 1 <= n <= t <= 256");
  }
  if (text.endsWith("%")) {
    const percent = /^\d+(\.\d+)?%$/.test(text) ? Number(text.slice(0, -1)) : NaN;
    if (percent > 0 && percent <= 100) return { mode: "subset", percent };
    throw new HoldfastError("USAGE", "--read-data-subset=x% takes more than 0% and at most 100%");
  }
  const bytes = parseByteSize(text, "--read-data-subset");
  if (bytes > 0) return { mode: "subset", bytes };
  throw new HoldfastError("USAGE", "--read-data-subset takes more than 0 bytes");
}

function announce(readData: ReadData, filtered: string, packs: number, bytes: number): string {
  const amount = `${packs} ${filtered}data packs (${formatBytes(bytes)})`;
  if (readData.mode === "budget") return `read what was never or longest ago read: ${amount}`;
  if (readData.mode !== "subset") return `read all ${filtered}data`;
  if ("of" in readData) return `read group #${readData.part} of ${readData.of}: ${amount}`;
  const wanted = "percent" in readData ? `${readData.percent}%` : formatBytes(readData.bytes);
  return `read ${wanted} at random: ${amount}`;
}
