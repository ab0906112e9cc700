// Makes the index agree with the packs that are there: what `repair index` does. Packs that no index lists, or that have
// another size than it implies, are read; what lists packs that are gone goes.
//
// The caller holds an exclusive lock. New index files are durable before an old one goes, so that a death leaves more than is
// needed, never less.

import { eachLimit } from "../base/concurrency.ts";
import { isHoldfastError } from "../base/errors.ts";
import type { HoldfastError } from "../base/errors.ts";
import type { Id } from "../base/bytes.ts";
import { IndexFileBuilder } from "../restic/index-file-builder.ts";
import type { PackBlob } from "../restic/pack-header.ts";
import { BlobIndexBuilder } from "./blob-index-builder.ts";
import { isPermanent } from "./blob-reader.ts";
import { loadIndex } from "./index-loader.ts";
import { planIndexRewrite, removeIndexFiles, writeIndexFiles } from "./index-rewrite.ts";
import type { IndexListing } from "./index-rewrite.ts";
import type { RepositoryFile } from "./layout.ts";
import { readPackListing } from "./pack-listing.ts";
import { PackTable } from "./pack-table.ts";
import type { Repository } from "./repository.ts";

export type RepairIndexStep = "load" | "list" | "read" | "write" | "remove";

export interface RepairIndexEvents {
  /** A step begins; `total` things are to be done in it. */
  step?: (step: RepairIndexStep, total: number) => void;
  done?: (count: number) => void;
  /** An index file that cannot be read, and is to go. */
  invalidIndex?: (id: Id, error: HoldfastError) => void;
  /** A pack that is read, because the index does not list it or, with `expected`, implies another size. */
  reindexed?: (pack: RepositoryFile, expected: number | undefined) => void;
  /** A pack that the index lists and that is not there. */
  forgotten?: (id: Id) => void;
  /** A pack of which the header cannot be read: it stays out of the index. */
  invalidPack?: (id: Id, error: HoldfastError) => void;
  removedIndex?: (id: Id) => void;
}

export interface RepairIndexOptions {
  /** Trust no index file: read all packs. */
  readAllPacks: boolean;
  events: RepairIndexEvents;
  signal?: AbortSignal | undefined;
}

export interface RepairIndexResult {
  /** Packs that were read and are in the index now. */
  packsRead: number;
  packsForgotten: number;
  packsInvalid: Id[];
  indexFilesInvalid: Id[];
}

interface LoadedFiles {
  table: PackTable;
  listings: IndexListing[];
  /** Files that are to go whatever they list. */
  obsolete: Id[];
  invalid: Id[];
}

const BLOBS_MAX = 50_000;

/** Rebuilds the index. Throws only what keeps it from being done: CANCELLED or a storage that does not answer. */
export async function repairIndex(
  repository: Repository,
  options: RepairIndexOptions,
): Promise<RepairIndexResult> {
  const { events, signal } = options;
  const { table, listings, obsolete, invalid } = await loadFiles(repository, options);
  events.step?.("list", 0);
  const files = await repository.list("pack", signal);
  const { unknown, gone, missing } = compare(table, files, events);
  const packsInvalid = await readPacks(repository, unknown, options);
  const rewrite = planIndexRewrite({ table, listings, gone });
  const old = [...obsolete, ...rewrite.obsolete];
  events.step?.("write", listings.length);
  await writeIndexFiles(repository, table, rewrite.packs, signal);
  events.done?.(listings.length);
  if (old.length > 0) {
    events.step?.("remove", old.length);
    await removeIndexFiles(repository, old, {
      onRemoved: (id) => {
        events.removedIndex?.(id);
        events.done?.(1);
      },
      signal,
    });
  }
  return {
    packsRead: unknown.length - packsInvalid.length,
    packsForgotten: missing,
    packsInvalid,
    indexFilesInvalid: invalid,
  };
}

/** What index files say, as far as it is to be believed. */
async function loadFiles(
  repository: Repository,
  { readAllPacks, events, signal }: RepairIndexOptions,
): Promise<LoadedFiles> {
  if (readAllPacks) {
    const files = await repository.list("index", signal);
    const table = new PackTable(new BlobIndexBuilder().build());
    return { table, listings: [], obsolete: files.map(({ id }) => id), invalid: [] };
  }
  events.step?.("load", 0);
  const listings: IndexListing[] = [];
  const invalid: Id[] = [];
  const { index } = await loadIndex(repository, {
    onDamage: (id, error) => {
      invalid.push(id);
      events.invalidIndex?.(id, error);
    },
    onFile: (id, { begin, end }) => listings.push({ id, begin, end }),
    signal,
  });
  return { table: new PackTable(index), listings, obsolete: invalid, invalid };
}

/** Packs that have to be read, and the numbers of those that the index is to list no more, or anew. */
function compare(
  table: PackTable,
  files: readonly RepositoryFile[],
  events: RepairIndexEvents,
): { unknown: RepositoryFile[]; gone: Set<number>; missing: number } {
  const unknown: RepositoryFile[] = [];
  const gone = new Set<number>();
  const there = new Set<number>();
  for (const file of files) {
    const pack = table.numberOf(file.id);
    const expected = pack === undefined ? undefined : table.fileBytes(pack);
    if (pack !== undefined) there.add(pack);
    if (expected === file.size) continue;
    if (pack !== undefined) gone.add(pack);
    unknown.push(file);
    events.reindexed?.(file, expected);
  }
  const missing = table.packs.filter((pack) => !there.has(pack));
  for (const pack of missing) {
    gone.add(pack);
    events.forgotten?.(table.index.packs[pack]!);
  }
  return { unknown, gone, missing: missing.length };
}

/** Reads the headers of packs, and writes index files of what they list; the packs that do not tell. */
async function readPacks(
  repository: Repository,
  files: readonly RepositoryFile[],
  { events, signal }: RepairIndexOptions,
): Promise<Id[]> {
  const invalid: Id[] = [];
  if (files.length === 0) return invalid;
  events.step?.("read", files.length);
  let builder = new IndexFileBuilder();
  const flush = async (): Promise<void> => {
    if (builder.blobs === 0) return;
    const full = builder;
    builder = new IndexFileBuilder();
    await repository.save("index", full.finish(), signal);
  };
  const { connections } = repository.storage.traits;
  await eachLimit(
    files,
    connections,
    async (file, _, own) => {
      const blobs = await readListing(repository, file, own).catch((error: unknown) => {
        if (!isHoldfastError(error)) throw error;
        if (error.code !== "PACK_DAMAGED" && !isPermanent(error)) throw error;
        invalid.push(file.id);
        events.invalidPack?.(file.id, error);
        return undefined;
      });
      events.done?.(1);
      if (blobs === undefined) return;
      builder.beginPack(file.id);
      for (const blob of blobs) builder.addBlob(blob);
      builder.endPack();
      if (builder.blobs >= BLOBS_MAX) await flush();
    },
    { signal },
  );
  await flush();
  return invalid;
}

/** Once more when it fails: a bit may have turned on the way. */
async function readListing(
  repository: Repository,
  file: RepositoryFile,
  signal: AbortSignal,
): Promise<PackBlob[]> {
  try {
    return await readPackListing(repository, file, signal);
  } catch (error) {
    if (!isHoldfastError(error, "PACK_DAMAGED")) throw error;
    return await readPackListing(repository, file, signal);
  }
}
