// `rewrite`: makes snapshots anew without what is excluded, or under another host or time, with restic's options and words.

import { readFile } from "node:fs/promises";
import { HoldfastError } from "../../base/errors.ts";
import { rewriteSnapshot } from "../../files/rewrite-snapshot.ts";
import type { SnapshotRewriteOptions } from "../../files/rewrite-snapshot.ts";
import { compileSelector } from "../../files/selection.ts";
import type { SelectionOptions } from "../../files/selection.ts";
import { PACK_SIZE_DEFAULT, RepositoryWriter } from "../../repository/writer.ts";
import { formatTime } from "../../restic/go-time.ts";
import type { CommandModule, Context } from "../command.ts";
import { EXIT } from "../exit-status.ts";
import { collect } from "../option-values.ts";
import {
  entryReporter,
  printRewritten,
  printSnapshot,
  printTotal,
  printWouldRewrite,
} from "../rewrite-report.ts";
import { withRepository } from "../session.ts";
import {
  addSnapshotFilter,
  collectSnapshots,
  openBlobs,
  snapshotFilter,
} from "../snapshot-choice.ts";
import type { FilterFlags } from "../snapshot-choice.ts";
import { changedMessage } from "../snapshot-message.ts";
import { parseTimeOption } from "../time-option.ts";

interface RewriteFlags extends Required<SelectionOptions>, FilterFlags {
  forget?: boolean;
  dryRun?: boolean;
  newHost?: string;
  newTime?: string;
  snapshotSummary?: boolean;
}

export const rewriteCommand: CommandModule = {
  configure(command) {
    command
      .argument("[snapshots...]", "ids, or starts of them, or `latest`; all that pass without any")
      .option("-e, --exclude <pattern>", "leave out what matches; may be repeated", collect, [])
      .option("--iexclude <pattern>", "the same, ignoring case", collect, [])
      .option("--exclude-file <file>", "read exclude patterns from a file", collect, [])
      .option("--iexclude-file <file>", "the same, ignoring case", collect, [])
      .option("-i, --include <pattern>", "keep only what matches; may be repeated", collect, [])
      .option("--iinclude <pattern>", "the same, ignoring case", collect, [])
      .option("--include-file <file>", "read include patterns from a file", collect, [])
      .option("--iinclude-file <file>", "the same, ignoring case", collect, [])
      .option("--forget", "remove the old snapshots")
      .option("--new-host <name>", "another host name")
      .option("--new-time <time>", "another time, such as 2026-01-31 15:04:05")
      .option("-s, --snapshot-summary", "count files and bytes where a snapshot does not tell")
      .option("-n, --dry-run", "change nothing, only tell what would be")
      .addHelpText(
        "after",
        `
Without --forget the old snapshots stay, and the new ones get the tag "rewrite". What nothing refers to any more stays until
\`prune\`.

Examples:
  holdfast rewrite --exclude '*.iso' --forget --dry-run
  holdfast rewrite 4bba301e --new-host web2`,
      );
    addSnapshotFilter(command);
  },

  async run(context, names, options) {
    const flags = options as unknown as RewriteFlags;
    const request = await readRequest(context, flags);
    const { output } = context;
    const { dryRun, forget } = request;
    if (forget) output.print("create exclusive lock for repository");
    const lock = dryRun ? "read" : forget ? "exclusive" : "append";
    return await withRepository(context, lock, async (repository, signal) => {
      const filter = snapshotFilter(flags, context);
      const { found, complete } = await collectSnapshots(context, repository, {
        names,
        filter,
        signal,
      });
      const reader = await openBlobs(context, repository, signal);
      const writer = new RepositoryWriter({
        repository,
        packSize: context.settings.packSize ?? PACK_SIZE_DEFAULT,
        verify: context.settings.extraVerify,
        dryRun,
        signal,
      });
      writer.useIndex(reader.index);
      const events = entryReporter(output, request.includes);
      let count = 0;
      for (const snapshot of found) {
        printSnapshot(output, snapshot);
        const options = { ...request, ...events, repository, reader, writer, signal };
        const id = await rewriteSnapshot(snapshot, options);
        if (id === undefined) continue;
        count++;
        if (dryRun) printWouldRewrite(output, request);
        else printRewritten(output, request, { old: snapshot.id, fresh: id });
        if (output.isJson && !dryRun) output.json(changedMessage(snapshot.id, id));
      }
      if (output.isJson) output.json({ message_type: "summary", changed_snapshots: count });
      printTotal(output, count, dryRun);
      return complete ? EXIT.ok : EXIT.incomplete;
    });
  },
};

type Request = Pick<
  SnapshotRewriteOptions,
  "select" | "includes" | "relabelling" | "forget" | "dryRun"
>;

async function readRequest(context: Context, flags: RewriteFlags): Promise<Request> {
  const count = (...lists: readonly (readonly string[])[]): number => lists.flat().length;
  const includes = count(flags.include, flags.iinclude, flags.includeFile, flags.iincludeFile) > 0;
  const excludes = count(flags.exclude, flags.iexclude, flags.excludeFile, flags.iexcludeFile) > 0;
  const hostname = flags.newHost === "" ? undefined : flags.newHost;
  const time =
    flags.newTime === undefined || flags.newTime === "" ? undefined : timeOf(flags.newTime);
  const walks = includes || excludes || flags.snapshotSummary === true;
  if (!walks && hostname === undefined && time === undefined) {
    throw new HoldfastError(
      "USAGE",
      "Nothing to do: no excludes/includes provided and no new metadata provided",
    );
  }
  const select = await compileSelector(flags, {
    readFile: (file) => readFile(file),
    variables: (variable) => context.environment[variable],
  });
  return {
    select: walks ? select : undefined,
    includes,
    relabelling: { hostname, time },
    forget: flags.forget === true,
    dryRun: flags.dryRun === true,
  };
}

/** In the zone of this process, as a snapshot keeps it. */
function timeOf(text: string): string {
  const nanoseconds = parseTimeOption(text);
  const offset = -new Date(Number(nanoseconds / 1_000_000n)).getTimezoneOffset();
  return formatTime(nanoseconds, offset);
}
