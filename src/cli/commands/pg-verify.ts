// `pg verify`: reads an archive and says whether it can be restored. Needs a viewer's rights.

import type { Command } from "commander";
import { parseByteSize } from "../../base/byte-size.ts";
import { HoldfastError } from "../../base/errors.ts";
import { Progress } from "../../base/progress.ts";
import { verifyArchive } from "../../postgres/verify.ts";
import { addArchiveOptions, openNamedArchive, type ArchiveFlags } from "../archive-session.ts";
import type { CommandModule, Context } from "../command.ts";
import { EXIT } from "../exit-status.ts";
import { collect } from "../option-values.ts";
import { ProgressDisplay } from "../progress.ts";

import { failureOf, verifyMessage, VERIFY_VIEW, viewVerify } from "../verify-report.ts";

interface VerifyFlags extends ArchiveFlags {
  backup: string[];
  walOnly?: boolean;
  readDataSubset?: string;
}

function configure(command: Command): void {
  addArchiveOptions(command);
  command
    .option(
      "--backup <id>",
      "only this backup and the WAL that it needs (may be repeated)",
      collect,
      [],
    )
    .option("--wal-only", "only WAL and timelines")
    .option("--read-data-subset <size>", "read about this much, another part each time: 10G")
    .addHelpText(
      "after",
      `
Examples:
  holdfast pg verify --archive gs://company-backups/base --server odoo-db
  holdfast pg verify --backup 20261123T101530
  holdfast pg verify --read-data-subset 20G

Every tar is read to its end and every file compared with the manifest; every segment is opened and its pages followed.
Backups that Barman made have no manifest: of them only the structure can be checked, and it is said. The status is 1 when
anything is damaged, 3 when something that was asked for could not be read.`,
    );
}

export const pgVerifyCommand: CommandModule = {
  configure,

  async run(context, _, options) {
    const { output, clock, signal, settings } = context;
    const flags = options as unknown as VerifyFlags;
    if (flags.walOnly === true && flags.backup.length > 0) {
      throw new HoldfastError("USAGE", "--wal-only and --backup cannot be used together");
    }
    const budget = budgetOf(flags);
    const archive = await openNamedArchive(context, flags);
    const progress = new Progress();
    const display = new ProgressDisplay({
      output,
      counters: progress,
      view: VERIFY_VIEW,
      clock,
      framesPerSecond: settings.progressFps,
    });
    let outcome: "done" | "failed" = "failed";
    try {
      const report = await verifyArchive({
        archive,
        now: clock.now(),
        ...(flags.backup.length > 0 && { backups: flags.backup }),
        walOnly: flags.walOnly === true,
        budget,
        shuffle: (items) => shuffled(context, items),
        progress,
        parallel: Math.min(4, Math.max(2, context.cores)),
        signal,
      });
      outcome = "done";
      display.stop(outcome);
      if (output.isJson) output.json(verifyMessage(archive, report));
      else for (const line of viewVerify(archive, report)) output.data(line);
      // Of a part that was asked for, nobody expects a certain one.
      const failure = failureOf(report, budget === undefined ? flags.backup : []);
      if (failure) throw failure;
      return EXIT.ok;
    } finally {
      display.stop(outcome);
    }
  },
};

function budgetOf({ readDataSubset }: VerifyFlags): number | undefined {
  if (readDataSubset === undefined) return undefined;
  const bytes = parseByteSize(readDataSubset, "--read-data-subset");
  if (bytes > 0) return bytes;
  throw new HoldfastError("USAGE", "--read-data-subset takes more than 0 bytes");
}

/** `items` in an order of chance. */
function shuffled<T>({ random }: Context, items: readonly T[]): T[] {
  const order = items.map((item) => ({ item, place: Buffer.from(random(6)).readUIntBE(0, 6) }));
  return order.toSorted((a, b) => a.place - b.place).map(({ item }) => item);
}
