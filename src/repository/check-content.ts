// The second half of a check: the directory listings that the snapshots reach, then as many packs as are to be read, and what
// that comes to, for the repository and for each snapshot.

import { fromHex } from "../base/bytes.ts";
import type { Id } from "../base/bytes.ts";
import type { CheckCoverage, CheckOptions, VerifiedCoverage } from "./check.ts";
import { checkData, choosePacks } from "./check-data.ts";
import type { ReadablePack } from "./check-data.ts";
import type { CheckFindings } from "./check-findings.ts";
import { CheckPool } from "./check-pool.ts";
import type { CheckThreads } from "./check-pool.ts";
import { walkTrees } from "./check-trees.ts";
import { EntrySet } from "./entry-set.ts";
import type { PackTable } from "./pack-table.ts";
import type { Repository } from "./repository.ts";
import { judgeSnapshots } from "./snapshot-verdict.ts";
import type { SnapshotVerdict } from "./snapshot-verdict.ts";
import type { FoundSnapshot } from "./snapshots.ts";
import { TreeGraph } from "./tree-graph.ts";

/** Packs up to this size share the buffers of one pool; larger ones are rare, and read one at a time afterwards. */
const COMMON_BYTES_MAX = 64 << 20;
const PACK_BYTES_MAX = 2 ** 31;

export interface ContentCheck {
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

export interface ContentResult {
  covered: ContentCoverage;
  verdicts: SnapshotVerdict[];
  verified: VerifiedCoverage;
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
export function makePool(
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
    edges: options.verdicts === true,
  });
}

/** Checks trees, then data, in worker threads. */
export async function checkContent(check: ContentCheck, pool: CheckPool): Promise<ContentResult> {
  const { repository, options, findings, table, packs } = check;
  const { signal, onDone, onPhase, verified } = options;
  const used = new EntrySet(check.used);
  const sizes = new Map(packs.map(({ number, size }) => [number, size]));
  const coverage = { packsRead: 0, packsToRead: 0, bytesRead: 0, bytesToRead: 0 };
  const proved = new Set<Id>();
  const onPack = ({ number }: ReadablePack, bytes: number, isSound: boolean): void => {
    const id = table.index.packs[number]!;
    if (bytes > 0) coverage.packsRead++;
    coverage.bytesRead += bytes;
    if (isSound) {
      proved.add(id);
      verified?.prove(id, repository.machine.clock.now());
    } else verified?.doubt(id);
    onDone?.(1, bytes);
  };
  onPhase?.("trees", countTrees(table), 0);
  const graph = options.verdicts === true ? new TreeGraph(table.index.count) : undefined;
  const trees = await walkTrees(findRoots(check, used), {
    repository,
    table,
    used,
    pool,
    findings,
    isSound: (pack) => sizes.has(pack),
    onTrees: (count) => onDone?.(count, 0),
    graph,
    signal,
  });
  const chosen = chooseData(check, used);
  coverage.packsToRead = chosen.length;
  coverage.bytesToRead = chosen.reduce((sum, { size }) => sum + size, 0);
  if (chosen.length > 0) onPhase?.("data", chosen.length, coverage.bytesToRead);
  await readPacks(check, pool, chosen, onPack);
  const { blobs, unused } = countBlobs(table, used);
  const now = repository.machine.clock.now();
  const verifiedAt = (pack: Id): number | undefined =>
    verified?.at(pack) ?? (proved.has(pack) ? now : undefined);
  const damagedPacks = findings.brokenPacks;
  const rootOf = ({ snapshot }: FoundSnapshot): number =>
    table.index.find("tree", fromHex(snapshot.tree));
  const { snapshots } = check;
  const judging = {
    table,
    snapshots,
    rootOf,
    damagedTrees: trees.damaged,
    damagedPacks,
    verifiedAt,
  };
  return {
    verdicts: graph === undefined ? [] : judgeSnapshots({ ...judging, graph }),
    covered: {
      ...coverage,
      trees: trees.checked,
      blobs,
      unusedBlobs: options.snapshots === undefined ? unused : undefined,
    },
    verified: sumVerified(packs, (pack) => verifiedAt(table.index.packs[pack]!)),
  };
}

/** Reads packs: those that fit into the pool's buffers together, larger ones one by one. */
async function readPacks(
  check: ContentCheck,
  pool: CheckPool,
  chosen: readonly ReadablePack[],
  onPack: (pack: ReadablePack, bytes: number, isSound: boolean) => void,
): Promise<void> {
  const { repository, options, findings, table } = check;
  const { signal } = options;
  const common = chosen.filter(({ size }) => size <= pool.bufferBytes);
  await checkData(common, { repository, table, pool, findings, onPack, signal });
  const large = chosen
    .filter(({ size }) => size > pool.bufferBytes)
    .filter((pack) => !isTooLarge(check, pack));
  if (large.length === 0) return;
  const bytes = Math.max(...large.map(({ size }) => size));
  await using apart = makePool(repository, check, bytes);
  await checkData(large, { repository, table, pool: apart, findings, onPack, signal });
}

function sumVerified(
  packs: readonly ReadablePack[],
  verifiedAt: (pack: number) => number | undefined,
): VerifiedCoverage {
  const sum: VerifiedCoverage = { packs: 0, bytes: 0, bytesStored: 0, oldest: undefined };
  for (const { number, size } of packs) {
    sum.bytesStored += size;
    const time = verifiedAt(number);
    if (time === undefined) continue;
    sum.packs++;
    sum.bytes += size;
    sum.oldest = Math.min(sum.oldest ?? time, time);
  }
  return sum;
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
    verifiedAt: (pack) => options.verified?.at(index.packs[pack]!),
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
