// `restore`: brings the files of a snapshot back, with restic's options.

import { readFile } from "node:fs/promises";
import type { Command } from "commander";
import { Progress } from "../../base/progress.ts";
import { HoldfastError } from "../../base/errors.ts";
import { restore } from "../../files/restore.ts";
import type { Overwrite } from "../../files/restore-existing.ts";
import { parseLocation } from "../../storage/location.ts";
import { RestorePool } from "../../files/restore-pool.ts";
import { compileAttributeFilter, compileSelector } from "../../files/selection.ts";
import type { SelectionOptions } from "../../files/selection.ts";
import { verifyRestored } from "../../files/verify-restored.ts";
import { byteStringToText, textToByteString } from "../../restic/byte-string.ts";
import type { Repository } from "../../repository/repository.ts";
import type { CommandModule, Context } from "../command.ts";
import { EXIT } from "../exit-status.ts";
import { shortId } from "../format.ts";
import { collect } from "../option-values.ts";
import type { Output } from "../output.ts";
import { ProgressDisplay } from "../progress.ts";
import { restoreView } from "../progress-views.ts";
import { createRestoreEvents, reportRestore } from "../restore-report.ts";
import { namedLocation, withRepository } from "../session.ts";
import { addSnapshotFilter, openSnapshot, snapshotFilter } from "../snapshot-choice.ts";
import type { FilterFlags } from "../snapshot-choice.ts";

interface RestoreFlags extends Required<SelectionOptions>, FilterFlags {
  target?: string;
  overwrite: string;
  delete?: boolean;
  sparse?: boolean;
  verify?: boolean;
  dryRun?: boolean;
  includeXattr: string[];
  excludeXattr: string[];
}

const OVERWRITE: readonly Overwrite[] = ["always", "if-changed", "if-newer", "never"];

function configure(command: Command): void {
  command
    .argument("<snapshot[:directory]>", "snapshot id, `latest`, or a directory of one")
    .option("-t, --target <directory>", "where the files go")
    .option("-i, --include <pattern>", "bring back what matches; may be repeated", collect, [])
    .option("--iinclude <pattern>", "the same, ignoring case", collect, [])
    .option("--include-file <file>", "read include patterns from a file", collect, [])
    .option("--iinclude-file <file>", "the same, ignoring case", collect, [])
    .option("-e, --exclude <pattern>", "leave out what matches; may be repeated", collect, [])
    .option("--iexclude <pattern>", "the same, ignoring case", collect, [])
    .option("--exclude-file <file>", "read exclude patterns from a file", collect, [])
    .option("--iexclude-file <file>", "the same, ignoring case", collect, [])
    .option("--overwrite <mode>", "always, if-changed, if-newer or never", "always")
    .option("--delete", "delete what the snapshot does not have")
    .option("--sparse", "leave holes where a file has zeros")
    .option("--verify", "read what was restored once more and compare")
    .option("-n, --dry-run", "write nothing, say what would be")
    .option("--include-xattr <pattern>", "accepted; no attribute is restored yet", collect, [])
    .option("--exclude-xattr <pattern>", "accepted; no attribute is restored yet", collect, [])
    .addHelpText(
      "after",
      `
Examples:
  holdfast restore latest --target /tmp/restored
  holdfast restore 4bba301e --target /tmp/restored --include '*.pdf'
  holdfast restore latest:/var/lib/odoo/filestore/production --target /var/lib/odoo/filestore/copy

A file is written whole or not at all: what cannot be restored is reported and left out, and the exit
status is ${EXIT.failed}. The same command run again continues where it stopped.`,
    );
  addSnapshotFilter(command, ", for `latest`");
}

export const restoreCommand: CommandModule = {
  configure,

  async run(context, [name = ""], options) {
    const flags = options as unknown as RestoreFlags;
    const { output } = context;
    const select = await compileSelector(flags, {
      readFile: (file) => readFile(file),
      variables: (variable) => context.environment[variable],
    });
    compileAttributeFilter({ include: flags.includeXattr, exclude: flags.excludeXattr });
    const target = targetOf(flags);
    refuseDeleteAll(flags, target);
    const progress = new Progress();
    const dryRun = flags.dryRun === true;
    const events = createRestoreEvents(output, progress, { dryRun });
    const setOwner = context.machine.uid === 0;
    const pool = await createPool(context, flags, setOwner);
    // Beside the key derivation, which keeps one core busy.
    if (!dryRun) pool.start();
    const run = async (repository: Repository, signal: AbortSignal): Promise<number> => {
      const filter = snapshotFilter(flags, context);
      const { id, reader, tree } = await openSnapshot(context, repository, name, {
        filter,
        signal,
      });
      output.terminal(`restoring snapshot ${shortId(id)} to ${byteStringToText(target)}`);
      const display = showProgress(context, progress);
      try {
        const result = await restore({
          repository,
          reader,
          tree,
          target,
          select,
          overwrite: overwriteOf(flags),
          delete: flags.delete === true,
          dryRun,
          setOwner,
          pool,
          events,
          signal,
        });
        progress.totalComplete();
        display.stop("done");
        reportRestore(output, progress, display.seconds);
        warnOfAttributes(output, result.withoutAttributes);
        if (flags.verify !== true || dryRun) return result.failures;
        const { kept } = result;
        const verifying = { reader, tree, target, select, kept, events, signal };
        const verified = await verifyRestored(verifying);
        output.print(`finished verifying ${verified.files} files in ${byteStringToText(target)}`);
        return result.failures + verified.failures;
      } catch (error) {
        display.stop("failed");
        throw error;
      }
    };
    let failures: number;
    try {
      failures = await withRepository(context, "read", run);
    } finally {
      await pool.terminate();
    }
    if (failures === 0) return EXIT.ok;
    throw new HoldfastError("RESTORE_DIFFERS", `There were ${failures} errors`, {
      hint: "What is listed above is not restored; everything else is.",
    });
  },
};

async function createPool(
  context: Context,
  flags: RestoreFlags,
  setOwner: boolean,
): Promise<RestorePool> {
  const { scheme } = parseLocation(await namedLocation(context));
  return new RestorePool({
    workers: Math.min(context.cores, 8),
    sparse: flags.sparse === true,
    setOwner,
    isFar: scheme !== "local",
  });
}

function showProgress(context: Context, progress: Progress): ProgressDisplay {
  const { output, clock, settings } = context;
  const framesPerSecond = settings.progressFps;
  return new ProgressDisplay({
    output,
    counters: progress,
    view: restoreView,
    clock,
    framesPerSecond,
  });
}

function warnOfAttributes(output: Output, entries: number): void {
  if (entries === 0) return;
  output.warn(`Warning: extended attributes of ${entries} entries were not restored`);
}

function targetOf(flags: RestoreFlags): string {
  if (flags.target !== undefined && flags.target !== "") return textToByteString(flags.target);
  throw new HoldfastError("USAGE", "please specify a directory to restore to (--target)");
}

/** A snapshot of part of a machine knows nothing of the rest. */
function refuseDeleteAll(flags: RestoreFlags, target: string): void {
  const { include, iinclude, includeFile, iincludeFile } = flags;
  const { exclude, iexclude, excludeFile, iexcludeFile } = flags;
  const includes = [include, iinclude, includeFile, iincludeFile];
  const excludes = [exclude, iexclude, excludeFile, iexcludeFile];
  if (flags.delete !== true || !/^\/+$/.test(target)) return;
  if ([...includes, ...excludes].some((patterns) => patterns.length > 0)) return;
  throw new HoldfastError(
    "USAGE",
    "'--target / --delete' must be combined with an include or exclude filter",
    { hint: "Without one, everything that the snapshot does not have would be deleted." },
  );
}

function overwriteOf(flags: RestoreFlags): Overwrite {
  const mode = OVERWRITE.find((each) => each === flags.overwrite);
  if (mode !== undefined) return mode;
  throw new HoldfastError("USAGE", `--overwrite: unknown mode ${JSON.stringify(flags.overwrite)}`, {
    hint: `Use one of ${OVERWRITE.join(", ")}.`,
  });
}
