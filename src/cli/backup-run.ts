// The work of the `backup` command: from flags to the engine's options, and its progress and report.

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Progress } from "../base/progress.ts";
import { HoldfastError } from "../base/errors.ts";
import { backUp } from "../files/backup.ts";
import type { BackupOptions } from "../files/backup.ts";
import { readSourceLists } from "../files/source-list.ts";
import { compileExcluder } from "../files/excludes.ts";
import type { ExcludeOptions } from "../files/excludes.ts";
import { readFileStart } from "../files/file-start.ts";
import { localZone, readOwnerNames } from "../files/metadata.ts";
import { parseGroupBy } from "../repository/snapshot-groups.ts";
import type { Repository } from "../repository/repository.ts";
import { findFile } from "../repository/snapshots.ts";
import { textToByteString } from "../restic/byte-string.ts";
import { createBackupEvents, reportBackup } from "./backup-report.ts";
import type { Context } from "./command.ts";
import { EXIT } from "./exit-status.ts";
import { homeFolder } from "./home-folder.ts";
import { ProgressDisplay } from "./progress.ts";
import { backupView } from "./progress-views.ts";
import { namedLocation } from "./session.ts";
import { parseTimeOption } from "./time-option.ts";
import { PROGRAM_VERSION } from "./version.ts";

interface BackupFlags {
  host?: string;
  tag: string[];
  parent?: string;
  groupBy: string;
  force?: boolean;
  exclude: string[];
  iexclude: string[];
  excludeFile: string[];
  iexcludeFile: string[];
  excludeIfPresent: string[];
  excludeCaches?: boolean;
  excludeLargerThan?: string;
  filesFrom: string[];
  filesFromVerbatim: string[];
  filesFromRaw: string[];
  oneFileSystem?: boolean;
  stdin?: boolean;
  stdinFilename: string;
  time?: string;
  withAtime?: boolean;
  ignoreInode?: boolean;
  ignoreCtime?: boolean;
  scan: boolean;
  skipIfUnchanged?: boolean;
  dryRun?: boolean;
  allowEmpty?: boolean;
}

/** Makes the snapshot; `repository` may still be opening. Resolves with the exit status. */
export async function runBackup(
  context: Context,
  parameters: string[],
  options: Record<string, unknown>,
  repository: Promise<Repository>,
): Promise<number> {
  const flags = options as unknown as BackupFlags;
  const { output } = context;
  const progress = new Progress();
  const events = createBackupEvents(output, progress, context.clock);
  const backupOptions = await toOptions(context, parameters, flags, repository);
  output.verbose("extended attributes and ACLs are not stored");
  const display = new ProgressDisplay({
    output,
    counters: progress,
    view: backupView,
    clock: context.clock,
    framesPerSecond: context.settings.progressFps,
  });
  try {
    const result = await backUp({ ...backupOptions, events });
    display.stop("done");
    reportBackup(output, result, { dryRun: flags.dryRun === true });
  } catch (error) {
    display.stop("failed");
    throw error;
  }
  if (progress.errors === 0) return EXIT.ok;
  throw new HoldfastError("INCOMPLETE", "at least one source file could not be read");
}

async function toOptions(
  context: Context,
  parameters: string[],
  flags: BackupFlags,
  repository: Promise<Repository>,
): Promise<Omit<BackupOptions, "events">> {
  const { settings, cwd, machine, environment } = context;
  const withAtime = flags.withAtime === true;
  const paths = await sources(context, parameters, flags);
  const excludeOptions = excludesOf(flags, settings.cacheFolder);
  const excluder = await compileExcluder(excludeOptions, {
    readFile: (name) => readFile(name),
    variables: (name) => environment[name],
    readStart: readFileStart,
    warn: (message) => context.output.warn(message),
  });
  const parent =
    flags.parent === undefined || flags.parent === "latest"
      ? undefined
      : await findFile(await repository, "snapshot", flags.parent);
  return {
    repository,
    location: await namedLocation(context),
    paths,
    stdin: flags.stdin === true ? textToByteString(flags.stdinFilename) : undefined,
    cwd,
    hostname: settings.host ?? machine.hostname,
    tags: flags.tag.flatMap((tags) => tags.split(",")).filter((tag) => tag !== ""),
    excluder: hasExcludes(flags, excludeOptions) ? excluder : undefined,
    // restic records these alone.
    excludes: [...flags.exclude],
    scanOptions: JSON.stringify([excludeOptions, withAtime, flags.oneFileSystem === true]),
    oneFileSystem: flags.oneFileSystem === true,
    ignoreCtime: flags.ignoreCtime === true || flags.ignoreInode === true,
    ignoreInode: flags.ignoreInode === true,
    metadata: { owners: readOwnerNames(), withAtime, ...localZone() },
    parent,
    groupBy: parseGroupBy(flags.groupBy),
    force: flags.force === true,
    skipIfUnchanged: flags.skipIfUnchanged === true,
    dryRun: flags.dryRun === true,
    allowEmpty: flags.allowEmpty === true,
    time: flags.time === undefined ? undefined : parseTimeOption(flags.time),
    workers: workersOf(context),
    packSize: settings.packSize,
    verify: settings.extraVerify,
    programVersion: `holdfast ${PROGRAM_VERSION}`,
    scanCacheFolder: settings.cacheFolder && join(settings.cacheFolder, "scan"),
    retryLock: settings.retryLock,
    clock: context.clock,
    signal: context.signal,
  };
}

async function sources(
  context: Context,
  parameters: string[],
  flags: BackupFlags,
): Promise<string[]> {
  const listed = await readSourceLists({
    patterns: flags.filesFrom,
    verbatim: flags.filesFromVerbatim,
    raw: flags.filesFromRaw,
    readFile: (name) => readFile(name === "-" ? "/dev/stdin" : name),
    warn: (message) => context.output.warn(message),
  });
  const paths = [...parameters.map(textToByteString), ...listed];
  if (flags.stdin === true && paths.length > 0) {
    throw new HoldfastError(
      "USAGE",
      "--stdin was specified and files/dirs were listed as arguments",
    );
  }
  return flags.stdin === true ? [] : paths;
}

function excludesOf(flags: BackupFlags, cacheFolder: string | undefined): ExcludeOptions {
  return {
    exclude: flags.exclude,
    iexclude: flags.iexclude,
    excludeFile: flags.excludeFile,
    iexcludeFile: flags.iexcludeFile,
    excludeIfPresent: flags.excludeIfPresent,
    excludeCaches: flags.excludeCaches === true,
    ...(flags.excludeLargerThan !== undefined && { excludeLargerThan: flags.excludeLargerThan }),
    never: cacheFolder === undefined ? [] : [textToByteString(cacheFolder)],
  };
}

/** Without any rule the walk need not ask. Our own cache matters only below a home directory. */
function hasExcludes(flags: BackupFlags, options: ExcludeOptions): boolean {
  const lists = [
    flags.exclude,
    flags.iexclude,
    flags.excludeFile,
    flags.iexcludeFile,
    flags.excludeIfPresent,
  ];
  const home = homeFolder();
  return (
    lists.some((list) => list.length > 0) ||
    options.excludeCaches === true ||
    options.excludeLargerThan !== undefined ||
    (home !== undefined &&
      (options.never ?? []).some((path) => path.startsWith(textToByteString(home))))
  );
}

function workersOf(context: Context): number {
  const workers = context.settings.readConcurrency ?? Math.min(context.cores, 8);
  if (workers >= 1 && workers <= 64) return workers;
  throw new HoldfastError("USAGE", "--read-concurrency takes a number from 1 to 64");
}
