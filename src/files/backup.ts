// Backs directory trees up into a snapshot (docs/formats/restic.md#snapshots).
//
// Order: packs, then index files, then the snapshot; a run that stops in between leaves packs that the next one finds and
// uses. Unreadable files are reported and left out, and the result says so; an empty source is an error.

import { sha256Hex } from "../base/bytes.ts";
import type { Id } from "../base/bytes.ts";
import type { Clock } from "../base/clock.ts";
import { unlessCancelled } from "../base/cancellation.ts";
import { HoldfastError } from "../base/errors.ts";
import type { HeldLock } from "../repository/lock-holder.ts";
import { acquireLock } from "../repository/locks.ts";
import type { Repository } from "../repository/repository.ts";
import { listSnapshots } from "../repository/snapshots.ts";
import { PACK_SIZE_DEFAULT } from "../repository/writer.ts";
import type { WriterCounts } from "../repository/writer.ts";
import { byteStringToText } from "../restic/byte-string.ts";
import { formatTime, parseTime } from "../restic/go-time.ts";
import { encodeSnapshot } from "../restic/snapshot.ts";
import type { Snapshot } from "../restic/snapshot.ts";
import { encodeTree } from "../restic/tree.ts";
import { backUpStdin } from "./backup-stdin.ts";
import { BackupStore, StaleScanCache } from "./backup-store.ts";
import type { BackupSession } from "./backup-store.ts";
import { cleanPath, isEmpty, resolveTargets, rootTarget } from "./backup-targets.ts";
import type { Targets } from "./backup-targets.ts";
import { BackupWalk } from "./backup-walk.ts";
import type { WalkCounts, WalkEvents, WalkResult } from "./backup-walk.ts";
import type { Excluder } from "./excludes.ts";
import type { MetadataContext } from "./metadata.ts";
import { loadScanCache, scanCacheName } from "./scan-cache.ts";
import type { ScanCache } from "./scan-cache.ts";
import { groupKey } from "../repository/snapshot-groups.ts";
import type { GroupBy } from "../repository/snapshot-groups.ts";

export interface BackupOptions {
  /** The repository, possibly still opening. */
  repository: Promise<Repository>;
  /** Where it is, for the name of the scan cache. */
  location: string;
  /** Byte strings. */
  paths: readonly string[];
  /** Store standard input under this name (a byte string) instead of `paths`. */
  stdin: string | undefined;
  /** Absolute byte string. */
  cwd: string;
  hostname: string;
  tags: readonly string[];
  excluder: Excluder | undefined;
  /** The patterns, as the snapshot records them. */
  excludes: readonly string[];
  /** Anything else that decides what is in the snapshot: part of the scan cache's name. */
  scanOptions: string;
  oneFileSystem: boolean;
  ignoreCtime: boolean;
  ignoreInode: boolean;
  metadata: MetadataContext;
  /** A snapshot id to compare with, "latest of the group" when undefined. */
  parent: Id | undefined;
  groupBy: GroupBy;
  /** Read every file again. */
  force: boolean;
  skipIfUnchanged: boolean;
  dryRun: boolean;
  /** Asked once everything is read, when the outcome is known: tags to add, and whether a snapshot equal to its parent is skipped. */
  settle?: (counts: WalkCounts, parent: Snapshot | undefined) => SettledSnapshot;
  /** Refuse a source without any entry. */
  allowEmpty: boolean;
  /** Time of the snapshot in ns since 1970; now when undefined. */
  time: bigint | undefined;
  workers: number;
  packSize: number | undefined;
  verify: boolean;
  programVersion: string;
  /** Folder of scan caches; none: none is used. */
  scanCacheFolder: string | undefined;
  retryLock: number;
  clock: Clock;
  events: BackupEvents;
  signal: AbortSignal | undefined;
}

export interface SettledSnapshot {
  readonly tags: readonly string[];
  readonly skipIfUnchanged: boolean;
}

export interface BackupEvents extends WalkEvents {
  parent(id: Id | undefined): void;
  /** Files and bytes of the parent snapshot: about as many are to be expected. */
  expected(files: number, bytes: number): void;
  notice(message: string): void;
}

export interface BackupResult {
  /** Undefined after a dry run, or when nothing changed and that is to be skipped. */
  snapshot: Id | undefined;
  tree: Id;
  counts: WalkCounts;
  added: WriterCounts;
  startedAt: bigint;
  endedAt: bigint;
}

/** The tree without entries. */
const EMPTY_TREE = sha256Hex(encodeTree([]));

/** Instants by which time zones are told apart: the offsets of one zone at all of them are another's hardly ever. */
const ZONE_SAMPLES: readonly number[] = [0, 3, 6, 9].flatMap((month) =>
  [1970, 1986, 2000, 2026].map((year) => Date.UTC(year, month)),
);

/** Makes a snapshot. SOURCE_MISSING, SOURCE_EMPTY, REPO_LOCKED, … */
export async function backUp(options: BackupOptions): Promise<BackupResult> {
  const targets =
    options.stdin === undefined
      ? resolveTargets(options.paths, options.cwd)
      : stdinTargets(options.stdin);
  for (const error of targets.missing) options.events.failed(error.message, error);
  refuseEmpty(options, targets);
  let lock: HeldLock | undefined;
  const session = openSession(options, targets, (held) => (lock = held));
  try {
    return await makeSnapshot(options, targets, session);
  } finally {
    await session.catch(() => {});
    await lock?.release();
  }
}

/** An unmounted volume is an empty directory: never let it replace what was there. */
function refuseEmpty(options: BackupOptions, targets: Targets): void {
  if (options.allowEmpty || options.stdin !== undefined || !isEmpty(targets.root)) return;
  const path = targets.paths.map(byteStringToText).join(", ");
  throw new HoldfastError("SOURCE_EMPTY", `${path} is empty`, {
    hint: "Is the volume mounted? Use --allow-empty to store an empty snapshot on purpose.",
  });
}

/** Nor may a snapshot of nothing, because all is excluded or went away in between, or because a dump failed. */
function refuseNothing(options: BackupOptions, targets: Targets, walked: WalkResult): void {
  if (options.stdin !== undefined) {
    if (options.allowEmpty || walked.counts.totalBytes > 0) return;
    throw new HoldfastError("SOURCE_EMPTY", "standard input is empty", {
      hint: "Did the program before it fail? Use --allow-empty to store an empty file on purpose.",
    });
  }
  if (walked.tree !== EMPTY_TREE || targets.root.children!.size === 0) return;
  throw new HoldfastError("SOURCE_EMPTY", "nothing is left to store: the snapshot is empty", {
    hint: "All sources are excluded, gone or unreadable; see the messages above.",
  });
}

function stdinTargets(name: string): Targets {
  return { root: rootTarget(), paths: [cleanPath(`/${name}`)], missing: [] };
}

async function openSession(
  options: BackupOptions,
  targets: Targets,
  onLock: (lock: HeldLock) => void,
): Promise<BackupSession> {
  const repository = await options.repository;
  const { signal, events } = options;
  const lock = await acquireLock(repository, {
    exclusive: false,
    retryFor: options.retryLock,
    onNotice: (message) => events.notice(message),
    signal,
  });
  onLock(lock);
  // Snapshots first, then the index: it names whatever a snapshot seen here needs.
  const parent = options.force ? undefined : await findParent(repository, options, targets);
  const indexFiles = await repository.list("index", lock.signal);
  events.parent(parent?.id);
  const summary = parent?.snapshot.summary;
  if (summary) events.expected(summary.totalFilesProcessed, summary.totalBytesProcessed);
  return { repository, signal: lock.signal, parent, indexFiles };
}

/** The newest snapshot of the same group that is not in the future. */
async function findParent(
  repository: Repository,
  options: BackupOptions,
  targets: Targets,
): Promise<BackupSession["parent"]> {
  // A damaged snapshot is no reason to make none: without a parent all files are read.
  const onDamage = (_: Id, error: HoldfastError): void => options.events.notice(error.message);
  const snapshots = await listSnapshots(repository, { signal: options.signal, onDamage });
  if (options.parent !== undefined) return snapshots.find(({ id }) => id === options.parent);
  const { groupBy, hostname: host, tags } = options;
  const paths = targets.paths.map(byteStringToText);
  const wanted = groupKey(groupBy, { hostname: host, paths, tags });
  const until = options.time ?? repository.machine.clock.nowNanoseconds();
  let best: { id: Id; snapshot: Snapshot; time: bigint } | undefined;
  for (const { id, snapshot } of snapshots) {
    if (groupKey(groupBy, snapshot) !== wanted) continue;
    const time = parseTime(snapshot.time);
    if (time <= until && (best === undefined || time > best.time)) best = { id, snapshot, time };
  }
  return best;
}

async function makeSnapshot(
  options: BackupOptions,
  targets: Targets,
  session: Promise<BackupSession>,
): Promise<BackupResult> {
  const cachePath = scanCachePath(options, targets);
  const usable = !options.force && options.parent === undefined && cachePath !== undefined;
  const cache = usable ? loadScanCache(cachePath) : undefined;
  try {
    return await walkOnce(options, targets, session, cache, cachePath);
  } catch (error) {
    if (!(error instanceof StaleScanCache)) throw error;
    return walkOnce(options, targets, session, undefined, cachePath);
  }
}

function scanCachePath(options: BackupOptions, targets: Targets): string | undefined {
  const { scanCacheFolder, location, hostname, metadata, scanOptions } = options;
  if (scanCacheFolder === undefined || options.stdin !== undefined) return undefined;
  const zone = ZONE_SAMPLES.map((instant) => metadata.zoneOffset(instant)).join();
  const name = scanCacheName([
    location,
    hostname,
    ...targets.paths,
    options.cwd,
    ...options.paths,
    scanOptions,
    zone,
    metadata.owners.version,
  ]);
  return `${scanCacheFolder}/${name}`;
}

async function walkOnce(
  options: BackupOptions,
  targets: Targets,
  opening: Promise<BackupSession>,
  cache: ScanCache | undefined,
  cachePath: string | undefined,
): Promise<BackupResult> {
  const { events, metadata, excluder, oneFileSystem, ignoreCtime, ignoreInode } = options;
  const { workers, verify, dryRun, signal, cwd } = options;
  const packSize = options.packSize ?? PACK_SIZE_DEFAULT;
  const startedAt = options.clock.nowNanoseconds();
  const store = new BackupStore({
    session: opening,
    workers,
    packSize,
    verify,
    dryRun,
    cache,
    onBytes: () => {},
  });
  try {
    const walk = new BackupWalk({
      root: targets.root,
      cwd,
      excluder,
      oneFileSystem,
      ignoreCtime,
      ignoreInode,
      metadata,
      cache,
      clock: options.clock,
      startedAt,
      store,
      events,
      signal,
    });
    const walked =
      options.stdin === undefined ? await walk.run() : await readStdin(options, store, startedAt);
    refuseNothing(options, targets, walked);
    const stored = await store.settle();
    const session = await store.session();
    const result = await saveSnapshot(options, targets, session, walked, stored.counts, startedAt);
    if (cachePath !== undefined && !dryRun) {
      const indexFiles = [...session.indexFiles.map(({ id }) => id), ...stored.indexFiles];
      const header = { repositoryId: session.repository.config.id, indexFiles };
      walked.cache.save(cachePath, header);
    }
    return result;
  } catch (error) {
    await store.salvage();
    throw error;
  } finally {
    await store.close();
  }
}

async function readStdin(
  options: BackupOptions,
  store: BackupStore,
  time: bigint,
): Promise<WalkResult> {
  const { repository, signal } = await store.session();
  const { uid, gid } = repository.machine;
  const { metadata, events } = options;
  const reading = backUpStdin({ store, name: options.stdin!, metadata, uid, gid, time });
  // A worker reads until there is no more, which may be never.
  const result = await unlessCancelled(reading, signal);
  events.found(1, result.counts.totalBytes);
  events.foundAll();
  events.done(1, result.counts.totalBytes);
  return result;
}

async function saveSnapshot(
  options: BackupOptions,
  targets: Targets,
  session: BackupSession,
  walked: WalkResult,
  added: WriterCounts,
  startedAt: bigint,
): Promise<BackupResult> {
  const { repository, parent } = session;
  const { machine } = repository;
  const endedAt = machine.clock.nowNanoseconds();
  const { tree, counts } = walked;
  const settled = options.settle?.(counts, parent?.snapshot);
  const skips = options.skipIfUnchanged || settled?.skipIfUnchanged === true;
  const unchanged = skips && parent?.snapshot.tree === tree;
  let snapshot: Id | undefined;
  if (!options.dryRun && !unchanged) {
    const zone = (time: bigint): string =>
      formatTime(time, options.metadata.zoneOffset(Number(time / 1_000_000n)));
    snapshot = await repository.save(
      "snapshot",
      encodeSnapshot({
        time: zone(options.time ?? startedAt),
        parent: parent?.id ?? null,
        tree,
        paths: targets.paths.map(byteStringToText),
        hostname: options.hostname,
        username: machine.username,
        uid: machine.uid,
        gid: machine.gid,
        excludes: [...options.excludes],
        tags: [...options.tags, ...(settled?.tags ?? [])],
        original: null,
        programVersion: options.programVersion,
        summary: {
          backupStart: zone(startedAt),
          backupEnd: zone(endedAt),
          filesNew: counts.files.new,
          filesChanged: counts.files.changed,
          filesUnmodified: counts.files.unmodified,
          dirsNew: counts.dirs.new,
          dirsChanged: counts.dirs.changed,
          dirsUnmodified: counts.dirs.unmodified,
          dataBlobs: added.dataBlobs,
          treeBlobs: added.treeBlobs,
          dataAdded: added.added,
          dataAddedPacked: added.addedPacked,
          totalFilesProcessed: counts.totalFiles,
          totalBytesProcessed: counts.totalBytes,
          extra: {},
        },
        extra: {},
      }),
      session.signal,
    );
  }
  return { snapshot, tree, counts, added, startedAt, endedAt };
}
