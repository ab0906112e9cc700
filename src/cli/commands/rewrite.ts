// `rewrite`: makes snapshots anew without what is excluded, or under another host or time, with restic's options and words.

import { readFile } from "node:fs/promises";
import { HoldfastError } from "../../base/errors.ts";
import { rewriteTree } from "../../files/rewrite-tree.ts";
import { compileSelector } from "../../files/selection.ts";
import type { SelectionOptions, Selector } from "../../files/selection.ts";
import type { BlobReader } from "../../repository/blob-reader.ts";
import type { Repository } from "../../repository/repository.ts";
import type { FoundSnapshot } from "../../repository/snapshots.ts";
import { PACK_SIZE_DEFAULT, RepositoryWriter } from "../../repository/writer.ts";
import { GO_ZERO_TIME, formatTime } from "../../restic/go-time.ts";
import { encodeSnapshot } from "../../restic/snapshot.ts";
import type { Snapshot, SnapshotSummary } from "../../restic/snapshot.ts";
import type { CommandModule, Context } from "../command.ts";
import { EXIT } from "../exit-status.ts";
import { collect } from "../option-values.ts";
import {
  entryReporter,
  printRelabelled,
  printRewritten,
  printSnapshot,
  printTotal,
  printWouldRewrite,
} from "../rewrite-report.ts";
import type { Relabelling } from "../rewrite-report.ts";
import { withRepository } from "../session.ts";
import {
  addSnapshotFilter,
  collectSnapshots,
  openBlobs,
  snapshotFilter,
} from "../snapshot-choice.ts";
import type { FilterFlags } from "../snapshot-choice.ts";
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
      const rewriter = await createRewriter(context, repository, request, signal);
      let count = 0;
      for (const snapshot of found) {
        printSnapshot(output, snapshot);
        if (await rewriter(snapshot)) count++;
      }
      printTotal(output, count, dryRun);
      return complete ? EXIT.ok : EXIT.incomplete;
    });
  },
};

interface Request {
  /** Undefined where trees stay as they are. */
  select: Selector | undefined;
  /** What is selected, as against what is not excluded. */
  includes: boolean;
  relabelling: Relabelling;
  forget: boolean;
  dryRun: boolean;
}

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

/** Rewrites one snapshot after the other; true when it was changed. */
async function createRewriter(
  context: Context,
  repository: Repository,
  request: Request,
  signal: AbortSignal,
): Promise<(found: FoundSnapshot) => Promise<boolean>> {
  const { output, settings } = context;
  const { dryRun, forget, relabelling } = request;
  const reader =
    request.select === undefined ? undefined : await openBlobs(context, repository, signal);
  const writer = new RepositoryWriter({
    repository,
    packSize: settings.packSize ?? PACK_SIZE_DEFAULT,
    verify: settings.extraVerify,
    dryRun,
    signal,
  });
  if (reader !== undefined) writer.useIndex(reader.index);
  return async (found) => {
    const changed = await changedSnapshot(found, {
      request,
      reader,
      writer,
      output: context.output,
      signal,
    });
    if (changed === undefined) return false;
    if (dryRun) {
      printWouldRewrite(output, { forget, relabelling });
      return true;
    }
    await writer.finish();
    const { tags } = changed;
    // Whatever it was a copy of, it is now one of this snapshot.
    const fresh: Snapshot = {
      ...changed,
      original: found.id,
      tags: forget || tags.includes(TAG) ? tags : [...tags, TAG],
    };
    printRelabelled(output, relabelling);
    const id = await repository.save("snapshot", encodeSnapshot(fresh), signal);
    if (forget) await repository.remove("snapshot", found.id, signal);
    printRewritten(output, found.id, id, forget);
    return true;
  };
}

const TAG = "rewrite";

interface Work {
  request: Request;
  reader: BlobReader | undefined;
  writer: RepositoryWriter;
  output: Context["output"];
  signal: AbortSignal;
}

/** The snapshot as it is to be, or undefined when that is how it is. */
async function changedSnapshot(
  { snapshot }: FoundSnapshot,
  { request, reader, writer, output, signal }: Work,
): Promise<Snapshot | undefined> {
  const { select, includes, relabelling } = request;
  const { hostname = snapshot.hostname, time = snapshot.time } = relabelling;
  const isRelabelled = relabelling.hostname !== undefined || relabelling.time !== undefined;
  const relabelled = { ...snapshot, hostname, time };
  if (select === undefined || reader === undefined) return relabelled;
  const { tree, files, bytes } = await rewriteTree({
    reader,
    writer,
    tree: snapshot.tree,
    select,
    // What was excluded leaves an empty directory; what was not included leaves nothing.
    keepsEmpty: (path) => !includes || select(path, true).selected,
    ...entryReporter(output, includes),
    signal,
  });
  // Nothing was included: an empty snapshot is nobody's wish.
  if (tree === undefined) return undefined;
  const summary: SnapshotSummary = {
    ...(snapshot.summary ?? NO_SUMMARY),
    totalFilesProcessed: files,
    totalBytesProcessed: bytes,
  };
  const sameSummary =
    snapshot.summary?.totalFilesProcessed === files &&
    snapshot.summary.totalBytesProcessed === bytes;
  if (tree === snapshot.tree && sameSummary && !isRelabelled) return undefined;
  return { ...relabelled, tree, summary };
}

const NO_SUMMARY: SnapshotSummary = {
  backupStart: GO_ZERO_TIME,
  backupEnd: GO_ZERO_TIME,
  filesNew: 0,
  filesChanged: 0,
  filesUnmodified: 0,
  dirsNew: 0,
  dirsChanged: 0,
  dirsUnmodified: 0,
  dataBlobs: 0,
  treeBlobs: 0,
  dataAdded: 0,
  dataAddedPacked: 0,
  totalFilesProcessed: 0,
  totalBytesProcessed: 0,
  extra: {},
};
