// Replaces index files by new ones that leave some packs out: what prune and repair do before they remove a pack.
//
// New files list packs that old ones list as well, which harms nobody, so they may be written at any time. An old file may be
// removed only when the new ones are durable and nobody works who relies on what it alone lists.
// Must never: keep a file that lists a pack which is to go. Whoever remembers the set of index files (a scan cache) takes it
// for a promise that everything in them is still there.

import { eachLimit } from "../base/concurrency.ts";
import type { Id } from "../base/bytes.ts";
import { IndexFileBuilder } from "../restic/index-file-builder.ts";
import type { PackTable } from "./pack-table.ts";
import type { Repository } from "./repository.ts";

/** An index file and the numbers of the packs it lists: from `begin` to before `end`. */
export interface IndexListing {
  id: Id;
  begin: number;
  end: number;
}

export interface IndexRewrite {
  /** Files that are to go. */
  obsolete: Id[];
  /** Packs in them that stay: new files have to list these. */
  packs: number[];
}

/** An index file is full at this many blobs, as restic has it; files below half of that are worth merging. */
const BLOBS_MAX = 50_000;

/**
 * Which index files have to go so that none lists a pack of `gone`, and no pack is listed twice. Small files go along,
 * when there are several, because each costs every reader a request.
 */
export function planIndexRewrite(options: {
  table: PackTable;
  listings: readonly IndexListing[];
  /** Packs, by number, that no index may list afterwards. */
  gone: ReadonlySet<number>;
}): IndexRewrite {
  const { table, listings, gone } = options;
  const obsolete: Id[] = [];
  const packs = new Set<number>();
  const take = ({ id, begin, end }: IndexListing): void => {
    obsolete.push(id);
    for (let listing = begin; listing < end; listing++) {
      const pack = table.canonical(listing);
      if (!gone.has(pack)) packs.add(pack);
    }
  };
  const small: IndexListing[] = [];
  for (const listing of listings) {
    let blobs = 0;
    let isObsolete = false;
    for (let number = listing.begin; number < listing.end; number++) {
      const pack = table.canonical(number);
      blobs += table.entries(pack).length;
      isObsolete ||= gone.has(pack) || table.listings(pack).length > 1;
    }
    if (isObsolete) take(listing);
    else if (blobs < BLOBS_MAX / 2) small.push(listing);
  }
  if (small.length + Math.min(1, obsolete.length) > 1) small.forEach(take);
  return { obsolete, packs: [...packs] };
}

/** Writes index files that list `packs`; their ids once they are durable. */
export async function writeIndexFiles(
  repository: Repository,
  table: PackTable,
  packs: readonly number[],
  signal?: AbortSignal,
): Promise<Id[]> {
  const { index } = table;
  const written: Id[] = [];
  let builder = new IndexFileBuilder();
  const flush = async (): Promise<void> => {
    if (builder.blobs === 0) return;
    written.push(await repository.save("index", builder.finish(), signal));
    builder = new IndexFileBuilder();
  };
  for (const pack of packs) {
    builder.beginPack(index.packs[pack]!);
    for (const entry of table.entries(pack)) {
      const { type, offset, length, uncompressedLength } = index.place(entry);
      builder.addBlob({ type, id: index.idAt(entry), offset, length, uncompressedLength });
    }
    builder.endPack();
    if (builder.blobs >= BLOBS_MAX) await flush();
  }
  await flush();
  return written;
}

/** Removes index files that new ones have taken the place of. */
export async function removeIndexFiles(
  repository: Repository,
  ids: readonly Id[],
  options: { onRemoved: (id: Id) => void; signal: AbortSignal | undefined },
): Promise<void> {
  const { connections } = repository.storage.traits;
  const work = async (id: Id, _: number, own: AbortSignal): Promise<void> => {
    await repository.remove("index", id, own);
    options.onRemoved(id);
  };
  await eachLimit(ids, connections, work, { signal: options.signal });
}
