// `mover restore`: the work of VolSync's restic mover for a destination, by our own engine, with what VolSync lacks: proof. Every
// restored file is read once more and compared with the snapshot before the run is called a success.
//
// Must never: take a repository that cannot be reached for an empty one, or delete anything after a restore that failed.

import { readFileSync } from "node:fs";
import { HoldfastError, messageOf } from "../base/errors.ts";
import { Progress } from "../base/progress.ts";
import { restore } from "../files/restore.ts";
import { RestorePool } from "../files/restore-pool.ts";
import { compileSelector } from "../files/selection.ts";
import type { Selector } from "../files/selection.ts";
import { verifyRestored } from "../files/verify-restored.ts";
import type { BlobReader } from "../repository/blob-reader.ts";
import type { Repository } from "../repository/repository.ts";
import { listSnapshots } from "../repository/snapshots.ts";
import type { FoundSnapshot } from "../repository/snapshots.ts";
import { textToByteString } from "../restic/byte-string.ts";
import { formatTime, parseTime } from "../restic/go-time.ts";
import { parseLocation } from "../storage/location.ts";
import { TAG, VARIABLE } from "../operator/mover-variables.ts";
import type { Context } from "./command.ts";
import { shortId } from "./format.ts";
import { chooseSnapshot, claimOf, tagValue } from "./mover-choice.ts";
import { openForMover, removeDeadLocks, withMoverLock } from "./mover-repository.ts";
import { lookBeforeRestore } from "./mover-owner.ts";
import type { Mover } from "./mover-run.ts";
import { ProgressDisplay } from "./progress.ts";
import { restoreView } from "./progress-views.ts";
import { createRestoreEvents, reportRestore } from "./restore-report.ts";
import { namedLocation } from "./session.ts";
import { openBlobs } from "./snapshot-choice.ts";
import { quoteUnprintable } from "./terminal-text.ts";

const WORKERS_MAX = 8;
const CAP_CHOWN = 1n << 0n;
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z$/;

interface RestoreRequest {
  readonly asOf: bigint | undefined;
  readonly previous: number;
  readonly delete: boolean;
}

/** Restores into the data folder. Throws what `openForMover` and the engine throw, and RESTORE_DIFFERS. */
export async function moverRestore(mover: Mover): Promise<void> {
  const { output } = mover.context;
  const request = readRequest(mover);
  output.print("== Starting restore =====");
  output.print(`RESTORE_OPTIONS: ${request.delete ? "--delete" : ""}`.trimEnd());
  const { repository } = await openForMover(mover, { init: !mover.safe });
  await removeDeadLocks(mover, repository);
  await withMoverLock(mover, repository, false, async (signal) => {
    const chosen = await choose(mover, repository, request, signal);
    if (chosen === undefined) return;
    const reader = await openBlobs(mover.context, repository, signal);
    const setOwner = canSetOwner(mover.context);
    if (!setOwner) await lookBeforeRestore(mover, reader, chosen, signal);
    await bringBack(mover, chosen, { ...request, repository, reader, setOwner }, signal);
  });
}

function readRequest({ environment }: Mover): RestoreRequest {
  const refuse = (name: string, why: string): never => {
    throw new HoldfastError("USAGE", `${name}: ${JSON.stringify(environment[name])} ${why}`);
  };
  const asOf = environment[VARIABLE.restoreAsOf] || undefined;
  const previous = environment[VARIABLE.selectPrevious] || "0";
  const options = (environment[VARIABLE.restoreOptions] ?? "").split(/\s+/).filter(Boolean);
  if (asOf !== undefined && Number.isNaN(Date.parse(asOf))) {
    refuse(VARIABLE.restoreAsOf, "is no time of RFC 3339");
  }
  if (!/^\d{1,9}$/.test(previous)) refuse(VARIABLE.selectPrevious, "is no number of snapshots");
  if (options.some((option) => option !== "--delete")) {
    refuse(VARIABLE.restoreOptions, "is not --delete");
  }
  return {
    asOf: asOf === undefined ? undefined : parseTime(asOf),
    previous: Number(previous),
    delete: options.length > 0,
  };
}

async function choose(
  mover: Mover,
  repository: Repository,
  request: RestoreRequest,
  signal: AbortSignal,
): Promise<FoundSnapshot | undefined> {
  const { context, environment, safe } = mover;
  const { output } = context;
  const all = await listSnapshots(repository, {
    onDamage: (_, error) => mover.warn(error),
    signal,
  });
  const claim = environment[VARIABLE.claim] || undefined;
  const { chosen, claims, isForeign, passedOver } = chooseSnapshot(all, { ...request, claim });
  if (chosen === undefined) {
    output.print("No eligible snapshots found");
    output.print("=== No data will be restored ===");
    const asked = request.asOf === undefined && request.previous === 0 ? "" : " that was asked for";
    const error = new HoldfastError(
      "SNAPSHOT_NOT_FOUND",
      `nothing was restored: of ${all.length} snapshots in the repository none is one${asked || " of a volume"}${ageOfOldest(all)}`,
      { hint: "Check RESTIC_REPOSITORY in the Secret, restoreAsOf and previous." },
    );
    if (safe) throw error;
    mover.warn(error);
    return undefined;
  }
  if (claims.length > 0) {
    const error = new HoldfastError(
      "SNAPSHOT_NOT_FOUND",
      `the repository holds snapshots of several volumes (${claims.slice(0, 5).join(", ")}), and none is of ${claim ?? "this one"}${safe ? "" : `: the newest was taken, of ${claimOf(chosen) ?? "one that says nothing"}`}`,
      {
        hint: "If that is another volume's, restore into a claim of the right name, and give each volume a repository of its own.",
      },
    );
    if (safe) throw error;
    mover.warn(error);
  }
  if (isForeign) {
    output.warn(
      `Warning: no snapshot is of host volsync; taking one of ${chosen.snapshot.hostname}`,
    );
  }
  if (passedOver !== undefined) {
    output.warn(`Warning: newer snapshot ${shortId(passedOver.id)} lacks files and is passed over`);
  }
  return chosen;
}

/** What a `restoreAsOf` that is too early has to be compared with. */
function ageOfOldest(all: readonly FoundSnapshot[]): string {
  const times = all.map(({ snapshot }) => parseTime(snapshot.time));
  if (times.length === 0) return "";
  const oldest = Number(times.reduce((a, b) => (a < b ? a : b)) / 1_000_000n);
  return `; the oldest is of ${new Date(oldest).toISOString().replace(/\.\d+Z$/, "Z")}`;
}

interface RestoreWork extends RestoreRequest {
  readonly repository: Repository;
  readonly reader: BlobReader;
  readonly setOwner: boolean;
}

async function bringBack(
  mover: Mover,
  { id, snapshot }: FoundSnapshot,
  work: RestoreWork,
  signal: AbortSignal,
): Promise<void> {
  const { context, dataFolder, facts } = mover;
  const { output } = context;
  const { time, paths, hostname, username, tags } = snapshot;
  // Whoever wrote the repository chose these words.
  const what = quoteUnprintable(`[${paths.join(" ")}] at ${time} by ${username}@${hostname}`);
  output.print(`restoring snapshot ${shortId(id)} of ${what} to ${dataFolder}`);
  facts.snapshot = id;
  const taken = tagValue(tags, TAG.pointInTime);
  facts.pointInTime = taken !== undefined && TIME.test(taken) ? taken : secondText(time);
  const done = await restoreTree(mover, snapshot, work, signal);
  facts.files = done.files;
  facts.bytes = snapshot.summary?.totalBytesProcessed;
  if (done.failures > 0) throw differs(done.failures, done.first);
}

/** Restores and verifies: how many files were compared, and what is not as it should be. */
async function restoreTree(
  mover: Mover,
  { tree }: FoundSnapshot["snapshot"],
  { repository, reader, setOwner, delete: deletes }: RestoreWork,
  signal: AbortSignal,
): Promise<{ files: number; failures: number; first: string | undefined }> {
  const { context, dataFolder } = mover;
  const { output, clock, settings } = context;
  const target = textToByteString(dataFolder);
  const select = await selectAll();
  const progress = new Progress();
  let first: string | undefined;
  const told = createRestoreEvents(output, progress);
  const events = {
    ...told,
    failed(path: string, error: HoldfastError): void {
      first ??= messageOf(error);
      told.failed(path, error);
    },
  };
  const common = { reader, tree, target, select, events, signal };
  const pool = await createPool(context, setOwner);
  const display = new ProgressDisplay({
    output,
    counters: progress,
    view: restoreView,
    clock,
    framesPerSecond: settings.progressFps,
  });
  try {
    const overwrite = "always";
    const how = { repository, pool, setOwner, overwrite, delete: deletes, dryRun: false } as const;
    const result = await restore({ ...common, ...how });
    progress.totalComplete();
    display.stop("done");
    reportRestore(output, progress, display.seconds);
    tellOfAttributes(mover, result.withoutAttributes);
    const verified = await verifyRestored({ ...common, kept: result.kept });
    output.print(`finished verifying ${verified.files} files in ${dataFolder}`);
    return { files: verified.files, failures: result.failures + verified.failures, first };
  } catch (error) {
    display.stop("failed");
    throw error;
  } finally {
    await pool.terminate();
  }
}

/** Everything but what belongs to the file system of the volume, so that it is not deleted either. */
async function selectAll(): Promise<Selector> {
  return await compileSelector(
    { exclude: ["/lost+found"] },
    {
      readFile: () => Promise.reject(new Error("no file of patterns is read")),
      variables: () => undefined,
    },
  );
}

function differs(failures: number, first: string | undefined): HoldfastError {
  return new HoldfastError(
    "RESTORE_DIFFERS",
    `${failures} files or directories are not as in the snapshot; the first: ${first ?? "unknown"}`,
    {
      hint: "See the log for all of them. Where rights are missing, set moverSecurityContext to the owner of the files, or allow privileged movers.",
    },
  );
}

async function createPool(context: Context, setOwner: boolean): Promise<RestorePool> {
  const { scheme } = parseLocation(await namedLocation(context));
  const workers = Math.min(context.cores, WORKERS_MAX);
  return new RestorePool({ workers, sparse: true, setOwner, isFar: scheme !== "local" });
}

/**
 * Whether owners are restored. Others than root leave them, as restic does; so does a root without the capability, which would
 * otherwise fail at every file, for ever.
 */
function canSetOwner({ machine, output }: Context): boolean {
  if (machine.uid !== 0) return false;
  if (hasCapability(CAP_CHOWN)) return true;
  output.warn(
    "Warning: owners are not restored: this mover may not change them. Set moverSecurityContext to the owner of the files, or allow privileged movers in the namespace",
  );
  return false;
}

function hasCapability(bit: bigint): boolean {
  try {
    const mask = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1];
    return mask === undefined || (BigInt(`0x${mask}`) & bit) !== 0n;
  } catch {
    return true;
  }
}

function tellOfAttributes({ context }: Mover, entries: number): void {
  if (entries > 0)
    context.output.warn(`Warning: extended attributes of ${entries} entries were not restored`);
}

function secondText(time: string): string {
  return formatTime((parseTime(time) / 1_000_000_000n) * 1_000_000_000n);
}
