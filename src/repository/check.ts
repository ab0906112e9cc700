// Checks a repository: that everything the snapshots need is there and, as far as asked, that it is what it should be.
//
// Needs no exclusive lock, and takes none itself: the caller holds a shared one, so nothing is deleted meanwhile. What is
// being added meanwhile looks like packs without an index, which is a hint and no error; snapshots are listed before the
// index is loaded, so that a snapshot just finished is not taken for one with missing blobs.
// Must never: read from the cache, change anything, or keep quiet about what it could not check.

import { ahead, mapLimit } from "../base/concurrency.ts";
import { isHoldfastError } from "../base/errors.ts";
import type { Id } from "../base/bytes.ts";
import { fromHex, sha256Hex } from "../base/bytes.ts";
import { decodeKeyFile } from "../restic/key-file.ts";
import { checkData, choosePacks } from "./check-data.ts";
import type { ReadData, ReadablePack } from "./check-data.ts";
import { CheckFindings } from "./check-findings.ts";
import type { CheckFinding } from "./check-findings.ts";
import { checkPackFiles, loadIndexes } from "./check-index.ts";
import { CheckPool, CheckThreads } from "./check-pool.ts";
import { walkTrees } from "./check-trees.ts";
import { EntrySet, createEntrySetMemory } from "./entry-set.ts";
import { keyOf } from "./layout.ts";
import type { RepositoryFile } from "./layout.ts";
import type { PackTable } from "./pack-table.ts";
import type { Repository } from "./repository.ts";
import { findSnapshot, listSnapshots } from "./snapshots.ts";
import type { FoundSnapshot, SnapshotFilter } from "./snapshots.ts";

export type CheckPhase = "index" | "packs" | "snapshots" | "trees" | "data";

export interface CheckOptions {
  readData: ReadData;
  /** Check only these snapshots, and read only packs that they need. */
  snapshots?: { ids?: readonly string[]; filter?: SnapshotFilter };
  /** Threads for trees and data. */
  workers: number;
  /** A phase begins: how many index files, packs, snapshots, trees (at most) or packs to read it has, and bytes. */
  onPhase?: (phase: CheckPhase, total: number, bytes: number) => void;
  /** Something of the phase is done. */
  onDone?: (count: number, bytes: number) => void;
  /** A finding, as soon as it is made. */
  onFinding?: (finding: CheckFinding) => void;
  signal?: AbortSignal | undefined;
}

/** What was looked at, so that a green report says how much it means. */
export interface CheckCoverage {
  indexFiles: number;
  /** Index files that could be loaded. */
  indexFilesLoaded: number;
  /** Packs in the index. */
  packs: number;
  /** Packs in the storage. */
  packsStored: number;
  snapshots: number;
  /** Trees that were opened and checked. */
  trees: number;
  /** Distinct blobs in the index. */
  blobs: number;
  /** Blobs that no checked snapshot needs; undefined when only some were checked. */
  unusedBlobs: number | undefined;
  /** Packs, and bytes of them, that were read in full and those that were to be. */
  packsRead: number;
  packsToRead: number;
  bytesRead: number;
  bytesToRead: number;
}

export interface CheckReport {
  /** Errors; hints do not count. */
  numErrors: number;
  brokenPacks: Id[];
  brokenSnapshots: Id[];
  suggestRepairIndex: boolean;
  suggestPrune: boolean;
  /** The first 10,000 findings, hints included. */
  findings: CheckFinding[];
  findingsOmitted: number;
  covered: CheckCoverage;
}

/** Packs up to this size share the buffers of one pool; larger ones are rare, and read one at a time afterwards. */
const COMMON_BYTES_MAX = 64 << 20;
const PACK_BYTES_MAX = 2 ** 31;

/**
 * Checks the repository. What is wrong with it is in the report; thrown is only what keeps the check from being made:
 * CANCELLED, SNAPSHOT_NOT_FOUND, or a storage that does not answer.
 */
export async function checkRepository(
  opened: Repository,
  options: CheckOptions,
): Promise<CheckReport> {
  // What counts is what is stored, not what was stored once.
  const repository = opened.withoutCache();
  const begun: Promise<unknown>[] = [];
  const stop = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, stop.signal]) : stop.signal;
  try {
    return await checkAll(repository, options, (start) => {
      const work = ahead(start(signal));
      begun.push(work);
      return work;
    });
  } finally {
    // What is still under way is wanted no more; it might be tried again for a long time.
    stop.abort();
    await Promise.allSettled(begun);
  }
}

/** Asks for something ahead of its turn; `signal` aborts when the check has ended. */
type Begin = <T>(start: (signal: AbortSignal) => Promise<T>) => Promise<T>;

/**
 * What comes next is asked for ahead of its turn (`begin`), since each answer may take a while. The order of the lists
 * holds: snapshots, then index files, then packs, as they appear in the opposite one.
 */
async function checkAll(
  repository: Repository,
  options: CheckOptions,
  begin: Begin,
): Promise<CheckReport> {
  const { signal } = options;
  const findings = new CheckFindings(options.onFinding);
  await using threads = new CheckThreads();
  threads.start(options.readData.mode === "none" ? 1 : options.workers);
  const keys = begin((early) => readKeys(repository, early));
  const isChoice = (options.snapshots?.ids ?? []).length > 0;
  const snapshotFiles = isChoice ? undefined : await repository.list("snapshot", signal);
  const chosen = isChoice ? await loadSnapshots(repository, undefined, findings, options) : [];
  const indexFiles = begin((early) => repository.list("index", early));
  const snapshots = isChoice
    ? chosen
    : await loadSnapshots(repository, snapshotFiles, findings, options);
  const listed = await orFailureOf(keys, indexFiles);
  const packFiles = begin((early) => repository.list("pack", early));
  const indexes = await orFailureOf(keys, loadIndexes(repository, listed, findings, options));
  checkKeys(await keys, findings);
  const { table } = indexes;
  const used = createEntrySetMemory(table.index.count);
  await using pool = makePool(repository, { table, options, used, threads });
  pool.start(options.readData.mode === "none" ? 1 : options.workers);
  options.onPhase?.("packs", table.packs.length, 0);
  const packs = checkPackFiles(await packFiles, table, findings, options);
  const check = {
    repository,
    options,
    findings,
    table,
    packs: packs.sound,
    snapshots,
    used,
    threads,
  };
  const content = await checkContent(check, pool);
  return {
    numErrors: findings.errors,
    brokenPacks: [...findings.brokenPacks],
    brokenSnapshots: [...findings.brokenSnapshots],
    suggestRepairIndex: findings.suggestRepairIndex,
    suggestPrune: findings.suggestPrune,
    findings: findings.kept,
    findingsOmitted: findings.omitted,
    covered: {
      indexFiles: indexes.files,
      indexFilesLoaded: indexes.loaded,
      packs: table.packs.length,
      packsStored: packs.stored,
      snapshots: snapshots.length,
      ...content,
    },
  };
}

/** What `work` comes to, or the failure of `other` as soon as there is one. */
async function orFailureOf<T>(other: Promise<unknown>, work: Promise<T>): Promise<T> {
  return await Promise.race([work, other.then(() => work)]);
}

interface KeyContent {
  id: Id;
  bytes: Uint8Array;
}

/** The key files that are there. */
async function readKeys(repository: Repository, signal?: AbortSignal): Promise<KeyContent[]> {
  const files = await repository.list("key", signal);
  const { connections } = repository.storage.traits;
  const read = await mapLimit(files, connections, async ({ id }, _, own) => {
    try {
      return { id, bytes: await repository.storage.get(keyOf("key", id), { signal: own }) };
    } catch (error) {
      if (isHoldfastError(error, "STORAGE_NOT_FOUND")) return undefined;
      throw error;
    }
  });
  return read.filter((key) => key !== undefined);
}

/** Damaged key files lock nobody out today who has another one; whoever has only that password is. */
function checkKeys(keys: readonly KeyContent[], findings: CheckFindings): void {
  for (const { id, bytes } of keys) {
    try {
      if (sha256Hex(bytes) === id) decodeKeyFile(bytes);
      else findings.add("KEY_DAMAGED", `key ${id}: its content does not match its name`);
    } catch (error) {
      if (!isHoldfastError(error, "KEY_DAMAGED")) throw error;
      findings.add("KEY_DAMAGED", `key ${id}: ${error.message}`);
    }
  }
}

/** The snapshots to check, all of `files` or those that were chosen; damaged ones are reported. */
async function loadSnapshots(
  repository: Repository,
  files: readonly RepositoryFile[] | undefined,
  findings: CheckFindings,
  { snapshots: choice, onPhase, onDone, signal }: CheckOptions,
): Promise<FoundSnapshot[]> {
  const { ids = [], filter } = choice ?? {};
  onPhase?.("snapshots", ids.length, 0);
  const onDamage = (id: Id, error: Error): void => {
    findings.add("SNAPSHOT_DAMAGED", error.message, { snapshots: [id] });
  };
  const found: FoundSnapshot[] = [];
  if (ids.length === 0) {
    found.push(
      ...(await listSnapshots(repository, { files, onDamage, signal, ...(filter && { filter }) })),
    );
  }
  for (const id of ids) {
    try {
      found.push(await findSnapshot(repository, id, filter, signal));
    } catch (error) {
      if (!isHoldfastError(error, "SNAPSHOT_DAMAGED")) throw error;
      findings.add("SNAPSHOT_DAMAGED", error.message, { snapshots: [id] });
    }
  }
  onDone?.(found.length, 0);
  return found;
}

interface ContentCheck {
  repository: Repository;
  options: CheckOptions;
  findings: CheckFindings;
  table: PackTable;
  /** Packs that are there in the right size. */
  packs: ReadablePack[];
  snapshots: FoundSnapshot[];
  /** Memory of the EntrySet of what is used. */
  used: SharedArrayBuffer;
  threads: CheckThreads;
}

type ContentCoverage = Omit<
  CheckCoverage,
  "indexFiles" | "indexFilesLoaded" | "packs" | "packsStored" | "snapshots"
>;

interface PoolNeeds {
  table: PackTable;
  options: CheckOptions;
  used: SharedArrayBuffer;
  threads: CheckThreads;
}

/** The threads of a check, with buffers for packs of `bytes`, by default for all but the largest that will be read. */
function makePool(
  repository: Repository,
  { table, options, used, threads }: PoolNeeds,
  bytes: number = commonBytes(table, options),
): CheckPool {
  // Files of this machine come as fast from one request as from several.
  const { local, connections } = repository.storage.traits;
  return new CheckPool({
    threads,
    key: repository.key,
    index: table.index,
    used,
    workers: options.workers,
    connections: local ? 1 : connections,
    bufferBytes: bytes,
  });
}

/** Checks trees, then data, in worker threads. */
async function checkContent(check: ContentCheck, pool: CheckPool): Promise<ContentCoverage> {
  const { repository, options, findings, table, packs } = check;
  const { signal, onDone, onPhase } = options;
  const used = new EntrySet(check.used);
  const sizes = new Map(packs.map(({ number, size }) => [number, size]));
  const coverage = { packsRead: 0, packsToRead: 0, bytesRead: 0, bytesToRead: 0 };
  const onPack = (bytes: number): void => {
    if (bytes > 0) coverage.packsRead++;
    coverage.bytesRead += bytes;
    onDone?.(1, bytes);
  };
  onPhase?.("trees", countTrees(table), 0);
  const trees = await walkTrees(findRoots(check, used), {
    repository,
    table,
    used,
    pool,
    findings,
    isSound: (pack) => sizes.has(pack),
    onTrees: (count) => onDone?.(count, 0),
    signal,
  });
  const chosen = chooseData(check, used);
  coverage.packsToRead = chosen.length;
  coverage.bytesToRead = chosen.reduce((sum, { size }) => sum + size, 0);
  if (chosen.length > 0) onPhase?.("data", chosen.length, coverage.bytesToRead);
  const common = chosen.filter(({ size }) => size <= pool.bufferBytes);
  await checkData(common, { repository, table, pool, findings, onPack, signal });
  const large = chosen
    .filter(({ size }) => size > pool.bufferBytes)
    .filter((pack) => !isTooLarge(check, pack));
  if (large.length > 0) {
    const bytes = Math.max(...large.map(({ size }) => size));
    await using apart = makePool(repository, check, bytes);
    await checkData(large, { repository, table, pool: apart, findings, onPack, signal });
  }
  const { blobs, unused } = countBlobs(table, used);
  const unusedBlobs = options.snapshots === undefined ? unused : undefined;
  return { ...coverage, trees, blobs, unusedBlobs };
}

/** No program makes such packs; whoever did, they do not fit into memory. */
function isTooLarge({ findings, table }: ContentCheck, { number, size }: ReadablePack): boolean {
  if (size <= PACK_BYTES_MAX) return false;
  const id = table.index.packs[number]!;
  findings.add("PACK_UNREADABLE", `pack ${id} has ${size} bytes, too many to check`, {
    packs: [id],
  });
  return true;
}

/** Size of a buffer that takes any pack that will be read, but for the largest ones. */
function commonBytes(table: PackTable, { readData }: CheckOptions): number {
  const all = readData.mode !== "none";
  let largest = 0;
  for (const number of table.packs) {
    const size = table.fileBytes(number);
    if (size > COMMON_BYTES_MAX || !(all || table.content(number) !== "data")) continue;
    largest = Math.max(largest, size);
  }
  return largest;
}

/** Index entries of the snapshots' trees. */
function findRoots(check: ContentCheck, used: EntrySet): number[] {
  const roots: number[] = [];
  for (const { id, snapshot } of check.snapshots) {
    const entry = check.table.index.find("tree", fromHex(snapshot.tree));
    if (entry < 0) {
      const what = `snapshot ${id} needs tree ${snapshot.tree}, which is in no index`;
      check.findings.add("TREE_MISSING", what, { snapshots: [id] });
    } else if (used.add(entry)) roots.push(entry);
  }
  return roots;
}

/** The packs to read. */
function chooseData(
  { repository, options, table, packs }: ContentCheck,
  used: EntrySet,
): ReadablePack[] {
  const { index } = table;
  let candidates = packs;
  if (options.snapshots !== undefined) {
    const needed = new Set<number>();
    table.forEachBlob((first, entries) => {
      if (!used.has(first)) return;
      // Every copy counts: a restore may meet any of them.
      for (const entry of entries) needed.add(table.canonical(index.packNumber(entry)));
    });
    candidates = packs.filter(({ number }) => needed.has(number));
  }
  return choosePacks(candidates, options.readData, {
    firstByte: (pack) => parseInt(index.packs[pack]!.slice(0, 2), 16),
    random: repository.machine.random,
  });
}

function countTrees(table: PackTable): number {
  let trees = 0;
  for (let entry = 0; entry < table.index.count; entry++) if (table.index.isTree(entry)) trees++;
  return trees;
}

function countBlobs(table: PackTable, used: EntrySet): { blobs: number; unused: number } {
  let blobs = 0;
  let unused = 0;
  table.forEachBlob((first) => {
    blobs++;
    if (!used.has(first)) unused++;
  });
  return { blobs, unused };
}
