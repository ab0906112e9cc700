// `mover backup`: the work of VolSync's restic mover for a source, by our own engine. The data folder is stored as `/data` on the
// host `volsync`, so that existing snapshots are continued, kept and restored as before.
//
// Must never: forget anything behind a snapshot that lacks files, or one that shrank and was not accepted.

import { readdirSync } from "node:fs";
import { join } from "node:path";
import { HoldfastError, messageOf } from "../base/errors.ts";
import { Progress } from "../base/progress.ts";
import { backUp } from "../files/backup.ts";
import type { BackupEvents, BackupOptions, BackupResult } from "../files/backup.ts";
import { compileExcluder } from "../files/excludes.ts";
import { localZone, readOwnerNames } from "../files/metadata.ts";
import type { Repository } from "../repository/repository.ts";
import { findShrink } from "../repository/shrink-guard.ts";
import { GROUP_BY_DEFAULT } from "../repository/snapshot-groups.ts";
import { listSnapshots } from "../repository/snapshots.ts";
import type { FoundSnapshot } from "../repository/snapshots.ts";
import { textToByteString } from "../restic/byte-string.ts";
import { formatTime } from "../restic/go-time.ts";
import { SNAPSHOT_HOST, SNAPSHOT_PATH, TAG, VARIABLE } from "../operator/mover-variables.ts";
import { createBackupEvents, reportBackup } from "./backup-report.ts";
import { mayBeOf } from "./mover-choice.ts";
import { forgetByRules, parseForgetOptions, pruneWithinBudget } from "./mover-forget.ts";
import { openForMover, removeDeadLocks, seeingLocks, unlock } from "./mover-repository.ts";
import { lookBeforeBackup, rightsHint } from "./mover-owner.ts";
import type { Mover } from "./mover-run.ts";
import { ProgressDisplay } from "./progress.ts";
import { backupView } from "./progress-views.ts";
import { namedLocation } from "./session.ts";
import { PROGRAM_VERSION } from "./version.ts";

/** As VolSync leaves it out: a directory of the file system, which only root may read. */
const LEFT_OUT = "lost+found";
const WORKERS_MAX = 8;

/** Backs up, forgets, and prunes when asked to. Throws what `openForMover` and the engine throw, and INCOMPLETE. */
export async function moverBackup(
  mover: Mover,
  asked: { unlock: boolean; prune: boolean },
): Promise<void> {
  const { output } = mover.context;
  // Before anything is written: rules that cannot be read must not be found out after the backup.
  const policy = parseForgetOptions(mover.environment[VARIABLE.forgetOptions] ?? "");
  output.print("== Checking directory for content ===");
  lookBeforeBackup(mover);
  if (isEmptySource(mover)) {
    reportEmpty(mover);
    return;
  }
  const { repository, created } = await openForMover(mover, { init: true });
  await removeDeadLocks(mover, repository);
  if (asked.unlock) await unlock(mover, repository);
  output.print("== Starting backup =====");
  await store(mover, repository, created);
  output.print("== Starting forget =====");
  await forgetByRules(mover, repository, policy);
  if (!asked.prune) return;
  output.print("== Starting prune =====");
  await pruneWithinBudget(mover, repository);
}

function isEmptySource(mover: Mover): boolean {
  try {
    return readdirSync(mover.dataFolder).every((name) => name === LEFT_OUT);
  } catch (error) {
    throw unreadableVolume(mover, error);
  }
}

function enter(mover: Mover): void {
  try {
    process.chdir(mover.dataFolder);
  } catch (error) {
    throw unreadableVolume(mover, error);
  }
}

function unreadableVolume(mover: Mover, cause: unknown): HoldfastError {
  const hint = rightsHint(mover);
  const message = `the volume cannot be read: ${messageOf(cause)}`;
  return new HoldfastError("SOURCE_UNREADABLE", message, { hint, cause });
}

/** VolSync calls it a success. So do we where its users depend on that, but not silently. */
function reportEmpty(mover: Mover): void {
  mover.context.output.print("=== Directory is empty skipping backup ====");
  const error = new HoldfastError("SOURCE_EMPTY", "the volume is empty: no snapshot was made", {
    hint: "Is it the right volume, and is what should be in it there? What is in the repository stays.",
  });
  if (mover.safe) throw error;
  mover.warn(error);
}

async function store(mover: Mover, repository: Repository, created: boolean): Promise<void> {
  const { context, environment, facts } = mover;
  const { output, clock, settings } = context;
  const known = created ? [] : await ownSnapshots(mover, repository);
  const progress = new Progress();
  let unreadable: string | undefined;
  const told = createBackupEvents(output, progress, clock);
  const events: BackupEvents = {
    ...told,
    failed(path, error) {
      unreadable ??= messageOf(error);
      told.failed(path, error);
    },
  };
  const settle: BackupOptions["settle"] = (counts, parent) => {
    const isIncomplete = unreadable !== undefined;
    const shrank = !environment[VARIABLE.acceptShrink] && hasShrunk(known, counts);
    return {
      tags: [...(isIncomplete ? [TAG.incomplete] : []), ...(shrank ? [TAG.shrunk] : [])],
      // Each attempt would add one more that lacks the same files.
      skipIfUnchanged: isIncomplete && parent?.tags.includes(TAG.incomplete) === true,
    };
  };
  const display = new ProgressDisplay({
    output,
    counters: progress,
    view: backupView,
    clock,
    framesPerSecond: settings.progressFps,
  });
  let result: BackupResult;
  try {
    const options = await backupOptions(mover, repository);
    result = await seeingLocks(mover, repository, () => backUp({ ...options, settle, events }));
    display.stop("done");
  } catch (error) {
    display.stop("failed");
    throw error;
  }
  reportBackup(output, result);
  facts.snapshot = result.snapshot;
  facts.files = result.counts.totalFiles;
  facts.bytes = result.counts.totalBytes;
  facts.added = result.added.addedPacked;
  facts.pointInTime = environment[VARIABLE.pointInTime] || timeText(result.startedAt);
  facts.snapshots = known.length + (result.snapshot === undefined ? 0 : 1);
  if (unreadable === undefined) return;
  throw new HoldfastError(
    "INCOMPLETE",
    `${progress.errors} files could not be read, so nothing was forgotten; the first: ${unreadable}`,
    { hint: rightsHint(mover), retryable: true },
  );
}

/** Snapshots of the volume, by host, path and claim, oldest first. */
async function ownSnapshots(mover: Mover, repository: Repository): Promise<FoundSnapshot[]> {
  const { signal, output } = mover.context;
  const found = await listSnapshots(repository, {
    filter: { hosts: [SNAPSHOT_HOST] },
    onDamage: (_, error) => output.warn(error.message),
    signal,
  });
  const claim = mover.environment[VARIABLE.claim] || undefined;
  return found.filter((each) => isOwnPath(each.snapshot.paths) && mayBeOf(each, claim));
}

function isOwnPath(paths: readonly string[]): boolean {
  return paths.length === 1 && paths[0] === SNAPSHOT_PATH;
}

/** Against the newest one that stands for the whole source and was not itself found too small. */
function hasShrunk(known: readonly FoundSnapshot[], counts: BackupResult["counts"]): boolean {
  const before = known.findLast(
    ({ snapshot: { tags } }) => !tags.includes(TAG.shrunk) && !tags.includes(TAG.incomplete),
  );
  const { snapshot } = before ?? {};
  if (before === undefined || snapshot?.summary == null) return false;
  const summary = {
    ...snapshot.summary,
    totalFilesProcessed: counts.totalFiles,
    totalBytesProcessed: counts.totalBytes,
  };
  const time = "9999-12-31T00:00:00Z";
  const now: FoundSnapshot = { id: before.id, snapshot: { ...snapshot, time, summary } };
  return findShrink([now, before]) !== undefined;
}

async function backupOptions(
  mover: Mover,
  repository: Repository,
): Promise<Omit<BackupOptions, "events">> {
  const { context, environment, lockWait } = mover;
  const { settings, clock, signal, cores } = context;
  const { cacheFolder } = settings;
  const rules = { exclude: [LEFT_OUT], excludeCaches: environment[VARIABLE.excludeCaches] === "1" };
  const { readFileStart } = await import("../files/file-start.ts");
  const excluder = await compileExcluder(
    {
      ...rules,
      iexclude: [],
      excludeFile: [],
      iexcludeFile: [],
      excludeIfPresent: [],
      never: [],
    },
    {
      readFile: () => Promise.reject(new Error("no file of patterns is read")),
      variables: () => undefined,
      readStart: readFileStart,
      warn: (message) => context.output.warn(message),
    },
  );
  const location = await namedLocation(context);
  // The entries of the folder go to the root of the snapshot, which calls it /data wherever it is.
  enter(mover);
  return {
    repository: Promise.resolve(repository),
    location,
    paths: ["."],
    stdin: undefined,
    cwd: textToByteString(SNAPSHOT_PATH),
    hostname: SNAPSHOT_HOST,
    tags: sourceTags(environment),
    excluder,
    excludes: [LEFT_OUT],
    scanOptions: JSON.stringify([rules]),
    oneFileSystem: false,
    ignoreCtime: false,
    ignoreInode: false,
    metadata: { owners: readOwnerNames(), withAtime: false, ...localZone() },
    parent: undefined,
    groupBy: GROUP_BY_DEFAULT,
    force: false,
    skipIfUnchanged: false,
    dryRun: false,
    // What is left out may be all there is; that was looked at before.
    allowEmpty: false,
    time: undefined,
    workers: settings.readConcurrency ?? Math.min(cores, WORKERS_MAX),
    packSize: settings.packSize,
    verify: settings.extraVerify,
    programVersion: `holdfast ${PROGRAM_VERSION}`,
    scanCacheFolder: cacheFolder && join(cacheFolder, "scan"),
    retryLock: lockWait,
    clock,
    signal,
  };
}

/** Where the data comes from: a restore can so tell the volumes of a shared repository apart. */
function sourceTags(environment: Mover["environment"]): string[] {
  const pairs = [
    [TAG.claim, environment[VARIABLE.claim]],
    [TAG.claimUid, environment[VARIABLE.claimUid]],
    [TAG.pointInTime, environment[VARIABLE.pointInTime]],
  ] as const;
  return pairs.flatMap(([prefix, value]) => (value ? [prefix + value.replaceAll(",", "")] : []));
}

function timeText(nanoseconds: bigint): string {
  return formatTime((nanoseconds / 1_000_000_000n) * 1_000_000_000n);
}
