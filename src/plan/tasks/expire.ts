// The task that removes what the recovery window does not need (docs/decisions/plan.md#retention): full snapshots, captures, base
// backups and WAL, all by one beginning of the window. Each part is planned from what is there now, and a part that fails
// leaves the others alone. Only what the plan calls owned is touched, and captures, which nobody else makes.

import type { Id } from "../../base/bytes.ts";
import { isHoldfastError } from "../../base/errors.ts";
import { readCaptureMark } from "../../odoo/capture-mark.ts";
import { countOnlyInBackups } from "../../odoo/only-in-backups.ts";
import { fullSnapshotOf, neededForWindow, type TimedCapture } from "../../odoo/retention.ts";
import { expire, previewExpire, requireDeletable } from "../../postgres/expire.ts";
import { planForget, removeSnapshots } from "../../repository/forget.ts";
import { isEmptyPolicy, type KeepPolicy } from "../../repository/keep-policy.ts";
import { acquireLock } from "../../repository/locks.ts";
import type { Repository } from "../../repository/repository.ts";
import { refuseShrink } from "../../repository/shrink-guard.ts";
import { listSnapshots, type FoundSnapshot } from "../../repository/snapshots.ts";
import { parseTime } from "../../restic/go-time.ts";
import type { InstanceAccess } from "../access.ts";
import type { InstancePlan, KeepPlan, RecoveryWindowPlan } from "../plan.ts";
import type { Schedule } from "../schedule.ts";
import type { DueTask, TaskRun } from "../task.ts";
import { ownSnapshots } from "./snapshot.ts";

const LOCK_PATIENCE_MS = 10 * 60_000;
/** Younger captures may be the watermark while the archive lags behind: whoever captures thins them out by itself. */
const RECENT_MS = 3 * 3_600_000;

export interface ExpireTaskOptions {
  readonly instance: InstancePlan;
  readonly window: RecoveryWindowPlan;
  readonly schedule: Schedule;
  readonly access: InstanceAccess;
}

export function expireTask(options: ExpireTaskOptions): DueTask {
  const { instance, schedule } = options;
  return {
    instance: instance.name,
    name: "expire",
    schedule,
    locks: [`repository ${instance.name}`, `archive ${instance.name}`],
    beginsAtOnce: false,
    async run(run) {
      const failures: unknown[] = [];
      const part = async <T>(work: () => Promise<T>): Promise<T | undefined> => {
        try {
          return await work();
        } catch (error) {
          if (run.signal.aborted) throw error;
          failures.push(error);
          return undefined;
        }
      };
      const files = await part(() => expireFiles(options, run));
      const archive = instance.archive?.owned
        ? await part(() => expireArchive(options, run))
        : undefined;
      const [failure] = failures;
      if (failure !== undefined) throw failure;
      const detail = { ...files, ...archive };
      const counts = Object.entries(detail).map(
        ([what, count]) => `${count} ${what.replaceAll("_", " ")}`,
      );
      return { text: `removed ${counts.join(", ")}`, detail };
    },
  };
}

/** Snapshots and captures, decided together. */
async function expireFiles(
  { instance, window, access }: ExpireTaskOptions,
  { signal, notice }: TaskRun,
): Promise<Record<string, number>> {
  const { filestore, repository: plan } = instance;
  if (filestore === undefined || plan === undefined) return {};
  const opened =
    instance.capture === undefined
      ? { repository: await access.repository(), captures: undefined }
      : await access.captures();
  const { repository, captures } = opened;
  const now = access.machine.clock.now();
  const own = await ownSnapshots(repository, { instance, filestore, access }, signal);
  const database = captures === undefined ? "" : await captureName(instance, filestore, access);
  const found = captures === undefined ? [] : await capturesOf(captures, database, signal);
  const captured = found.map(timed);
  const newest = found.at(-1);
  const alone =
    captures === undefined || newest === undefined
      ? 0
      : await countOnlyInBackups(captures, newest.snapshot, { database, signal });
  if (alone > 0)
    notice(
      `${alone === 1 ? "1 file is" : `${alone} files are`} good in the backups alone, so no snapshot goes: put back what is missing with holdfast recover --heal`,
    );
  const needs = neededForWindow({
    // Any of them may have the last good copy.
    start: alone > 0 ? -Infinity : now - window.milliseconds,
    snapshots: own.map(fullSnapshotOf),
    captures: captured,
  });
  if (!needs.isCovered && own.length > 0 && alone === 0)
    notice(
      `the window of ${window.text} reaches back further than the full snapshots: nothing of them goes yet`,
    );
  const counts: Record<string, number> = {};
  if (plan.owned) {
    refuseShrink(own);
    const dispensable = byRules(own, instance.keep, now).filter(
      ({ id }) => !needs.snapshots.has(id),
    );
    counts["snapshots"] = await removeFrom(
      repository,
      dispensable.map(({ id }) => id),
      {
        exclusive: true,
        signal,
        notice,
      },
    );
  }
  if (captures !== undefined) {
    const old = captured
      .filter(({ id, time }) => !needs.captures.has(id) && time < now - RECENT_MS)
      .map(({ id }) => id);
    // Whoever captures holds its own lock meanwhile, and never removes what this removes.
    counts["captures"] = await removeFrom(captures, old, { exclusive: false, signal, notice });
  }
  return counts;
}

async function captureName(
  instance: InstancePlan,
  filestore: string,
  access: InstanceAccess,
): Promise<string> {
  return instance.database === undefined
    ? (filestore.split("/").at(-1) ?? "")
    : await access.databaseName();
}

/** Captures of that database, oldest first. */
async function capturesOf(
  captures: Repository,
  database: string,
  signal: AbortSignal,
): Promise<FoundSnapshot[]> {
  const found = await listSnapshots(captures, { signal });
  return found.filter(({ snapshot }) => readCaptureMark(snapshot.tags)?.database === database);
}

function timed({ id, snapshot }: FoundSnapshot): TimedCapture {
  const since = readCaptureMark(snapshot.tags)?.since;
  return { id, time: timeOf(snapshot.time), since, source: sourceOf(snapshot) };
}

function sourceOf({ hostname, paths }: FoundSnapshot["snapshot"]): string {
  // Files beside the filestore come with the first answer of the database.
  return JSON.stringify([hostname, ...paths.filter((path) => !path.startsWith("/holdfast/"))]);
}

function timeOf(text: string): number {
  return Number(parseTime(text) / 1_000_000n);
}

/** What the keep rules alone would let go of. */
function byRules(
  own: readonly FoundSnapshot[],
  keep: KeepPlan,
  now: number,
): readonly FoundSnapshot[] {
  const policy = keepPolicy(keep);
  if (isEmptyPolicy(policy)) return own;
  return planForget(own, {
    by: { host: true, paths: true, tags: false },
    policy,
    now: BigInt(now) * 1_000_000n,
    localOffset: (second) => -60 * new Date(second * 1000).getTimezoneOffset(),
  }).flatMap(({ remove }) => remove);
}

function keepPolicy(counts: KeepPlan): KeepPolicy {
  const never = { years: 0, months: 0, days: 0, hours: 0 };
  return {
    counts,
    within: never,
    withinUnits: { hourly: never, daily: never, weekly: never, monthly: never, yearly: never },
    tags: [],
    // What the window needs is decided here, to the second, as for the archive.
    window: never,
  };
}

/** How many were removed. */
async function removeFrom(
  repository: Repository,
  ids: readonly Id[],
  { exclusive, signal, notice }: TaskRun & { readonly exclusive: boolean },
): Promise<number> {
  if (ids.length === 0) return 0;
  const lock = await acquireLock(repository, {
    exclusive,
    retryFor: LOCK_PATIENCE_MS,
    onNotice: notice,
    signal,
  });
  try {
    const failed = await removeSnapshots(repository, ids, {
      onFailed: (id, error) =>
        notice(`snapshot ${id.slice(0, 8)} cannot be removed: ${error.message}`),
      signal: lock.signal,
    });
    return ids.length - failed;
  } finally {
    await lock.release();
  }
}

async function expireArchive(
  { window, access }: ExpireTaskOptions,
  { signal, notice }: TaskRun,
): Promise<Record<string, number>> {
  const { clock } = access.machine;
  const archive = await access.archive();
  const rules = { policy: window.policy, minimum: 1 };
  try {
    const shown = await previewExpire({ ...rules, archive, now: clock.now(), signal });
    requireDeletable(shown, archive);
    const report = await expire({ ...rules, archive, shown, now: () => clock.now(), signal });
    for (const { path, message } of report.refusals) notice(`${path} stays: ${message}`);
    return { base_backups: report.backups.length, archive_objects: report.objects };
  } catch (error) {
    // Nothing was ever stored: nothing is to be expired.
    if (isHoldfastError(error, "ARCHIVE_NOT_FOUND")) return { base_backups: 0 };
    throw error;
  }
}
