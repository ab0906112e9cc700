// Checks a repository: that everything the snapshots need is there and, as far as asked, that it is what it should be.
//
// Needs no exclusive lock, and takes none itself: the caller holds a shared one, so nothing is deleted meanwhile. What is
// being added meanwhile looks like packs without an index, which is a hint and no error; snapshots are listed before the
// index is loaded, so that a snapshot just finished is not taken for one with missing blobs.
// Must never: read from the cache, change anything, or keep quiet about what it could not check.

import { ahead } from "../base/concurrency.ts";
import { isHoldfastError } from "../base/errors.ts";
import type { Id } from "../base/bytes.ts";
import { checkContent, makePool } from "./check-content.ts";
import type { ReadData } from "./check-data.ts";
import { CheckFindings } from "./check-findings.ts";
import type { CheckFinding } from "./check-findings.ts";
import { checkPackFiles, loadIndexes } from "./check-index.ts";
import { checkKeys, readKeys } from "./check-keys.ts";
import { CheckThreads } from "./check-pool.ts";
import { createEntrySetMemory } from "./entry-set.ts";
import type { RepositoryFile } from "./layout.ts";
import type { Repository } from "./repository.ts";
import { findSnapshot, listSnapshots } from "./snapshots.ts";
import type { FoundSnapshot, SnapshotFilter } from "./snapshots.ts";
import type { SnapshotVerdict } from "./snapshot-verdict.ts";
import type { VerifiedPacks } from "./verified-packs.ts";

export type CheckPhase = "index" | "packs" | "snapshots" | "trees" | "data";

export interface CheckOptions {
  readData: ReadData;
  /** Check only these snapshots, and read only packs that they need. */
  snapshots?: { ids?: readonly string[]; filter?: SnapshotFilter };
  /** Remembers which packs were read and proved, and when. */
  verified?: VerifiedPacks | undefined;
  /** Say of each snapshot what is known about it. */
  verdicts?: boolean;
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

/** What was read and proved in this run, or in an earlier one that is remembered. */
export interface VerifiedCoverage {
  packs: number;
  bytes: number;
  /** Bytes of all packs that are there in the right size. */
  bytesStored: number;
  /** When that was, of the pack for which it is longest ago: ms since 1970. */
  oldest: number | undefined;
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
  /** Of each snapshot, when that was asked for. */
  verdicts: SnapshotVerdict[];
  verified: VerifiedCoverage;
  covered: CheckCoverage;
}

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
  if (indexes.loaded === indexes.files) options.verified?.keepOnly(new Set(table.index.packs));
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
    verdicts: content.verdicts,
    verified: content.verified,
    covered: {
      indexFiles: indexes.files,
      indexFilesLoaded: indexes.loaded,
      packs: table.packs.length,
      packsStored: packs.stored,
      snapshots: snapshots.length,
      ...content.covered,
    },
  };
}

/** What `work` comes to, or the failure of `other` as soon as there is one. */
async function orFailureOf<T>(other: Promise<unknown>, work: Promise<T>): Promise<T> {
  return await Promise.race([work, other.then(() => work)]);
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
