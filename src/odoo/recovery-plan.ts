// What a recovery of a moment will use and what it will miss, before anything is written: base backup, timelines and WAL,
// snapshots and captures, and whether the moment is at or before a joint point. Refuses what cannot come to a good end.

import type { Catalogue } from "../barman/catalogue.ts";
import { formatLsn, type Lsn } from "../barman/lsn.ts";
import type { RecoveryChoice } from "../barman/recovery-choice.ts";
import type { RecoveryTarget } from "../barman/recovery-target.ts";
import type { ListedObject } from "../barman/wal-listing.ts";
import { millisecondsOf } from "../barman/zoned-time.ts";
import type { Id } from "../base/bytes.ts";
import type { Clock, Random } from "../base/clock.ts";
import { HoldfastError } from "../base/errors.ts";
import { loadCatalogue, requireArchive, type Archive } from "../postgres/archive.ts";
import { partialReach } from "../postgres/partial-reach.ts";
import { planRestore, type RestorePlan } from "../postgres/restore-plan.ts";
import type { ServerAccount } from "../postgres/server-process.ts";
import type { Repository } from "../repository/repository.ts";
import { listSnapshots, type FoundSnapshot } from "../repository/snapshots.ts";
import { parseTime } from "../restic/go-time.ts";
import { readCaptureMark } from "./capture-mark.ts";
import { coverageOf, type Coverage, type Moment } from "./recovery/coverage.ts";
import { RecoveryPlace, requireReachable } from "./recovery/place.ts";
import { chooseSettled, type SettledChoice } from "./recovery/settled.ts";
import { StoreFolder } from "./recovery/store-folder.ts";
import { fullSnapshotOf, type FullSnapshot } from "./retention.ts";
import { computeWatermark, type MarkedCapture, type Watermark } from "./watermark.ts";

/** Which moment is wanted: one of the database's, or the newest that database and files can return to together. */
export type MomentTarget = RecoveryTarget | { readonly kind: "latest-complete" };

export interface RecoveryPlanOptions {
  readonly archive: Archive;
  readonly target: MomentTarget;
  readonly timeline?: number | undefined;
  /** Id of the base backup to begin with. */
  readonly backup?: string | undefined;
  /** With the full snapshots. */
  readonly repository: Repository;
  /** Undefined where nothing was captured. */
  readonly captures: Repository | undefined;
  /** Odoo's database, where it was named. */
  readonly database?: string | undefined;
  /** The folder for all of it: absent, empty, or left by a recovery that was interrupted. */
  readonly root: string;
  /** The folder for the files, when they do not go below `root`. */
  readonly filestore?: string | undefined;
  /** Who will run the server. */
  readonly account?: ServerAccount | undefined;
  readonly clock: Pick<Clock, "now">;
  readonly random: Random;
  /** Told what could not be read of snapshots. */
  readonly onDamage: (what: string, error: HoldfastError) => void;
  readonly signal?: AbortSignal | undefined;
}

/** The times of snapshots and captures are milliseconds since 1970. */
export interface SnapshotSpan {
  readonly count: number;
  readonly oldest: number | undefined;
  readonly newest: number | undefined;
}

export interface RecoveryPlan {
  readonly archive: Archive;
  readonly repository: Repository;
  readonly captures: Repository | undefined;
  /** What was asked for. */
  readonly asked: MomentTarget;
  /** How the database gets there. Its target is the moment that `asked` stands for. */
  readonly database: RestorePlan;
  /** A joint point is a position: what begins right there is not of it any more. */
  readonly exclusive: boolean;
  /** For a time: a position at which it was over. Where the log ends behind that, it holds all of the time. */
  readonly settled: Lsn | undefined;
  readonly place: RecoveryPlace;
  /** Where the files go, when not below the place. */
  readonly filestore: string | undefined;
  /** The database that was named. */
  readonly namedDatabase: string | undefined;
  /** The one that the captures are of; undefined without captures, or when they are all of others than the named one. */
  readonly capturedDatabase: string | undefined;
  readonly snapshots: SnapshotSpan;
  readonly captured: SnapshotSpan;
  /** The captures of the database, for joining by position later. */
  readonly marked: readonly MarkedCapture[];
  readonly fulls: readonly FullSnapshot[];
  readonly watermark: Watermark;
  readonly coverage: Coverage;
  /** Files and bytes of the newest full snapshot, about what is to be written; undefined when no snapshot tells. */
  readonly expected: { readonly files: number; readonly bytes: number } | undefined;
  /** A rough guess. */
  readonly estimatedSeconds: number;
}

/**
 * Plans a recovery; writes nothing. Throws what `planRestore` does, TARGET_UNREACHABLE without a joint point for
 * `latest-complete`, TARGET_UNWRITABLE for folders that are not empty, USAGE when captures are of several databases.
 */
export async function planRecovery(options: RecoveryPlanOptions): Promise<RecoveryPlan> {
  const { archive, target, repository, captures, clock, signal, onDamage, random } = options;
  const place = RecoveryPlace.look(options.root, random);
  requireReachable(place.dataDirectory, options.account);
  if (options.filestore !== undefined) StoreFolder.look(options.filestore);
  const catalogue = await loadCatalogue(archive, { now: clock.now(), signal });
  requireArchive(archive, catalogue);
  const list = async (from: Repository): Promise<FoundSnapshot[]> =>
    await listSnapshots(from, {
      onDamage: (id, error) => onDamage(`snapshot ${id}`, error),
      signal,
    });
  const full = await list(repository);
  const capturing = captures === undefined ? [] : await list(captures);
  const { marked, capturedDatabase } = capturesOf(capturing, options.database);
  const reach = await reachOf({ archive, catalogue, signal });
  const fulls = full.map(fullSnapshotOf);
  const watermark = computeWatermark({
    captures: marked,
    snapshots: new Set(full.map(({ id }) => id)),
    catalogue,
    partialReach: reach,
  });
  const { timeline, ...wanted } = databaseTarget(target, watermark, options.timeline);
  const settledChoice = chooseSettled({
    catalogue,
    target: wanted.target,
    timeline,
    backup: options.backup,
    now: clock.now(),
    captures: marked,
    partialReach: reach,
  });
  const { choice, settled } = settledChoice;
  const database = await planDatabase(options, { place, catalogue, timeline, settledChoice });
  const expected = expectedFiles(full);
  return {
    archive,
    repository,
    captures,
    asked: target,
    database,
    exclusive: target.kind === "latest-complete",
    settled,
    place,
    filestore: options.filestore,
    namedDatabase: options.database,
    capturedDatabase,
    snapshots: spanOf(full),
    // Reports of drills lie there, too.
    captured: spanOf(capturing.filter(({ snapshot }) => isCapture(snapshot))),
    marked,
    fulls,
    watermark,
    coverage: coverageOf(momentOf(choice), {
      captures: marked,
      snapshots: fulls,
      choice,
      systemId: choice.backup.info!.systemId,
    }),
    expected,
    estimatedSeconds: estimate(database, expected),
  };
}

/** Marks of captures, of one database: the named one, or the only one. Throws USAGE when nobody says which. */
function capturesOf(
  found: readonly FoundSnapshot[],
  named: string | undefined,
): { marked: MarkedCapture[]; capturedDatabase: string | undefined } {
  const all = found.flatMap(({ id, snapshot }) => {
    const mark = readCaptureMark(snapshot.tags);
    return mark === undefined ? [] : [{ id, mark, time: timeOf(snapshot) }];
  });
  const names = new Set(all.map(({ mark }) => mark.database));
  const [only] = names.size === 1 ? names : [];
  if (named === undefined && names.size > 1)
    throw new HoldfastError(
      "USAGE",
      `there are captures of several databases: ${[...names].toSorted().join(", ")}`,
      { hint: "Name one with --database." },
    );
  // Captures of another database say nothing of the named one.
  const database = named === undefined ? only : names.has(named) ? named : undefined;
  return {
    marked: all.filter(({ mark }) => mark.database === database),
    capturedDatabase: database,
  };
}

function isCapture({ tags }: FoundSnapshot["snapshot"]): boolean {
  return readCaptureMark(tags) !== undefined;
}

function timeOf({ time }: { readonly time: string }): number {
  return Number(parseTime(time) / 1_000_000n);
}

/** How far the last partial segments reach, by path. */
async function reachOf(options: {
  readonly archive: Archive;
  readonly catalogue: Catalogue;
  readonly signal: AbortSignal | undefined;
}): Promise<Map<string, Lsn>> {
  const { archive, catalogue, signal } = options;
  const reach = new Map<string, Lsn>();
  for (const object of newestPartials(catalogue)) {
    const { segmentSize } = catalogue;
    const lsn = await partialReach(archive, object, { segmentSize, signal });
    if (lsn !== undefined) reach.set(object.path, lsn);
  }
  return reach;
}

/** The last partial segment of each timeline: there are few, and each is one request. */
function newestPartials({ wal }: Catalogue): ListedObject[] {
  return [...wal.values()].flatMap(({ partials }) => {
    const last = [...partials.keys()].toSorted((a, b) => a - b).at(-1);
    return last === undefined ? [] : [partials.get(last)!];
  });
}

interface DatabaseTarget {
  readonly target: RecoveryTarget;
  readonly timeline: number | undefined;
}

function databaseTarget(
  target: MomentTarget,
  { point, obstacle }: Watermark,
  timeline: number | undefined,
): DatabaseTarget {
  if (target.kind !== "latest-complete") return { target, timeline };
  if (point !== undefined) {
    const { position, isLeft } = point;
    return {
      target: { kind: "lsn", lsn: position.lsn },
      timeline: timeline ?? (isLeft ? position.timeline : undefined),
    };
  }
  throw new HoldfastError(
    "TARGET_UNREACHABLE",
    `there is no moment to which database and files are known to return together: ${OBSTACLES[obstacle ?? "no-captures"]}`,
    {
      hint: "Recover with --latest or --at TIME: every file is still looked for, and what is missing is told.",
    },
  );
}

/** Why there is no watermark. */
const OBSTACLES: Readonly<Record<NonNullable<Watermark["obstacle"]>, string>> = {
  "no-captures": "nothing was captured",
  "no-position": "no capture knows a position of the database",
  "snapshot-gone": "the full snapshot is gone from which the captures go on",
  "no-archive": "no archive was looked at",
  foreign: "the captures are of another cluster than the archive",
  "no-backup": "the archive has no base backup that can be restored",
  "no-way": "no base backup leads to a position that was captured",
  "wal-behind": "the WAL of the captured positions is not in the archive",
  "partial-unknown": "the last piece of WAL cannot be read",
};

async function planDatabase(
  options: RecoveryPlanOptions,
  found: {
    readonly place: RecoveryPlace;
    readonly catalogue: Catalogue;
    readonly timeline: number | undefined;
    readonly settledChoice: SettledChoice;
  },
): Promise<RestorePlan> {
  const { archive, clock, signal } = options;
  const { place, catalogue, timeline, settledChoice } = found;
  const { choice, by } = settledChoice;
  // Where they were, the live instance may have its own.
  const tablespaces = new Map(
    (choice.backup.info!.tablespaces ?? []).map(({ oid }) => [`${oid}`, place.tablespace(oid)]),
  );
  const plan = await planRestore({
    archive,
    target: by,
    timeline,
    backup: choice.backup.id,
    folder: place.building,
    tablespaces,
    catalogue,
    clock,
    signal,
  });
  return { ...plan, choice };
}

function momentOf({ target, backup }: RecoveryChoice): Moment {
  switch (target.kind) {
    case "time":
      return { kind: "time", time: target.micros / 1000 };
    case "lsn":
      return { kind: "lsn", lsn: target.lsn };
    case "immediate":
      return { kind: "lsn", lsn: backup.info!.endLsn! };
    case "latest":
      return { kind: "end" };
    default:
      return { kind: "unknown", why: "where that lies is known when the database stands there" };
  }
}

function spanOf(found: readonly FoundSnapshot[]): SnapshotSpan {
  const times = found.map(({ snapshot }) => timeOf(snapshot));
  return { count: found.length, oldest: times[0], newest: times.at(-1) };
}

function expectedFiles(
  full: readonly { readonly id: Id; readonly snapshot: FoundSnapshot["snapshot"] }[],
): RecoveryPlan["expected"] {
  const summary = full.at(-1)?.snapshot.summary;
  return summary
    ? { files: summary.totalFilesProcessed, bytes: summary.totalBytesProcessed }
    : undefined;
}

/** What a small machine does in a second: bytes unpacked, bytes of WAL replayed (as stored), bytes and files written. */
const SPEED = { unpack: 60e6, replay: 15e6, files: 60e6, names: 3000, start: 5 };

function estimate(
  { storedBytes, choice }: RestorePlan,
  expected: RecoveryPlan["expected"],
): number {
  const files = expected ? expected.bytes / SPEED.files + expected.files / SPEED.names : 0;
  return Math.ceil(
    SPEED.start + storedBytes / SPEED.unpack + choice.walBytes / SPEED.replay + files,
  );
}

/** The moment of the plan's base backup: when it ended, in milliseconds since 1970. */
export function backupEnded({ database }: Pick<RecoveryPlan, "database">): number {
  return millisecondsOf(database.choice.backup.info!.endTime!);
}

/** The moment of the watermark for people: its position and its time. */
export function describePoint({ point }: Watermark): string | undefined {
  return point && `${formatLsn(point.position.lsn)} on timeline ${point.position.timeline}`;
}
