// `backup`: stores files and directories in a new snapshot, with restic's options.

import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { Progress } from "../../base/progress.ts";
import { HoldfastError } from "../../base/errors.ts";
import { backUp } from "../../files/backup.ts";
import type { BackupOptions } from "../../files/backup.ts";
import { readSourceLists } from "../../files/source-list.ts";
import { compileExcluder } from "../../files/excludes.ts";
import type { ExcludeOptions } from "../../files/excludes.ts";
import { readFileStart } from "../../files/file-start.ts";
import { localZone, readOwnerNames } from "../../files/metadata.ts";
import { parseGroupBy } from "../../files/snapshot-groups.ts";
import { findFile } from "../../repository/snapshots.ts";
import { textToByteString } from "../../restic/byte-string.ts";
import { createBackupEvents, reportBackup } from "../backup-report.ts";
import type { CommandModule, Context } from "../command.ts";
import { EXIT } from "../exit-status.ts";
import { parseTimeOption } from "../time-option.ts";
import { collect } from "../option-values.ts";
import { ProgressDisplay } from "../progress.ts";
import { backupView } from "../progress-views.ts";
import { namedLocation, openNamedRepository, warnNoLock } from "../session.ts";
import { PROGRAM_VERSION } from "../version.ts";

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

export const backupCommand: CommandModule = {
  configure(command) {
    command
      .argument("[paths...]", "files and directories to store")
      .option("-H, --host <name>", "host name of the snapshot (default: this machine's)")
      .option("--tag <tags>", "add tags, separated by commas; may be repeated", collect, [])
      .option("--parent <id>", "compare with this snapshot (default: the latest of the group)")
      .option("-g, --group-by <keys>", "what makes a group: host, paths, tags", "host,paths")
      .option("-f, --force", "read every file again")
      .option("-e, --exclude <pattern>", "leave out what matches; may be repeated", collect, [])
      .option("--iexclude <pattern>", "the same, ignoring case", collect, [])
      .option("--exclude-file <file>", "read exclude patterns from a file", collect, [])
      .option("--iexclude-file <file>", "the same, ignoring case", collect, [])
      .option("--exclude-if-present <name[:header]>", "leave out what is beside it", collect, [])
      .option("--exclude-caches", "leave out cache directories (CACHEDIR.TAG)")
      .option("--exclude-larger-than <size>", "leave out larger files: k, M, G, T")
      .option("--files-from <file>", "read patterns of paths to store from a file", collect, [])
      .option("--files-from-verbatim <file>", "read paths to store from a file", collect, [])
      .option("--files-from-raw <file>", "the same, separated by zero bytes", collect, [])
      .option("-x, --one-file-system", "do not enter other file systems")
      .option("--stdin", "store what comes on standard input as one file")
      .option("--stdin-filename <name>", "its name in the snapshot", "stdin")
      .option("--time <time>", "time of the snapshot: 2026-01-31 15:04:05 (default: now)")
      .option("--with-atime", "store access times")
      .option("--ignore-inode", "a file is unchanged though its inode and ctime are not")
      .option("--ignore-ctime", "a file is unchanged though its ctime is not")
      .option("--read-concurrency <n>", "threads that read files (default: one for each core)")
      .option("--no-scan", "accepted; the scan never costs extra time")
      .option("--skip-if-unchanged", "make no snapshot when nothing changed")
      .option("-n, --dry-run", "store nothing, say what would be")
      .option("--allow-empty", "accept an empty source; otherwise it is taken for a lost mount")
      .addHelpText(
        "after",
        `
Examples:
  holdfast backup /var/lib/odoo/filestore/production
  cd /data && holdfast backup --host volsync .
  pg_dump production | holdfast backup --stdin --stdin-filename production.sql

Unreadable files are reported and left out; the snapshot is made and the exit status is ${EXIT.incomplete}.`,
      );
  },

  async run(context, parameters, options) {
    const flags = options as unknown as BackupFlags;
    const { output } = context;
    const progress = new Progress();
    const events = createBackupEvents(output, progress, context.clock);
    warnNoLock(context);
    const backupOptions = await toOptions(context, parameters, flags);
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
  },
};

async function toOptions(
  context: Context,
  parameters: string[],
  flags: BackupFlags,
): Promise<Omit<BackupOptions, "events">> {
  const { settings, cwd, machine, environment } = context;
  const withAtime = flags.withAtime === true;
  let onDerive = (): void => {};
  const deriving = new Promise<void>((resolve) => (onDerive = resolve));
  const opening = openNamedRepository(context, onDerive);
  // Its failure is told when it is awaited.
  opening.catch(onDerive);
  const paths = await sources(context, parameters, flags);
  const excludeOptions = excludesOf(flags, settings.cacheFolder);
  const excluder = await compileExcluder(excludeOptions, {
    readFile: (name) => readFile(name),
    variables: (name) => environment[name],
    readStart: readFileStart,
    warn: (message) => context.output.warn(message),
  });
  const parent =
    flags.parent === undefined
      ? undefined
      : await findFile(await opening, "snapshot", flags.parent);
  return {
    repository: opening,
    walkAfter: deriving,
    location: await namedLocation(context),
    paths,
    stdin: flags.stdin === true ? textToByteString(flags.stdinFilename) : undefined,
    cwd,
    hostname: settings.host ?? machine.hostname,
    tags: flags.tag.flatMap((tags) => tags.split(",")).filter((tag) => tag !== ""),
    excluder: hasExcludes(flags, excludeOptions) ? excluder : undefined,
    excludes: [...flags.exclude, ...flags.iexclude],
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
  return (
    lists.some((list) => list.length > 0) ||
    options.excludeCaches === true ||
    options.excludeLargerThan !== undefined ||
    (options.never ?? []).some((path) => path.startsWith(textToByteString(homedir())))
  );
}

function workersOf(context: Context): number {
  const workers = context.settings.readConcurrency ?? Math.min(context.cores, 8);
  if (workers >= 1 && workers <= 64) return workers;
  throw new HoldfastError("USAGE", "--read-concurrency takes a number from 1 to 64");
}
