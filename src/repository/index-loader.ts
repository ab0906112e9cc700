// Loads all index files of a repository into one BlobIndex (docs/formats/restic.md#index).

import { mapLimit } from "../base/concurrency.ts";
import { HoldfastError, isHoldfastError } from "../base/errors.ts";
import type { Id } from "../base/bytes.ts";
import { releaseMemory } from "../restic/cipher-output.ts";
import { decodeIndexFile } from "../restic/index-file.ts";
import type { BlobIndex } from "./blob-index.ts";
import { BlobIndexBuilder } from "./blob-index-builder.ts";
import type { RepositoryFile } from "./layout.ts";
import type { Repository } from "./repository.ts";

export interface LoadIndexOptions {
  signal?: AbortSignal | undefined;
  /** The files to load, where they were listed already. */
  files?: readonly RepositoryFile[];
  /**
   * Called for a damaged index file, which is then left out. Without it the first one ends the load: a writer that
   * does not know all blobs would store them again, and a deleter would destroy what it cannot see.
   */
  onDamage?: (id: Id, error: HoldfastError) => void;
  /** Called after each file with the numbers of the packs it lists: from `begin` to before `end`. */
  onFile?: (id: Id, packs: { begin: number; end: number }) => void;
}

export interface LoadedIndex {
  index: BlobIndex;
  /** The index files it was made from. */
  files: Id[];
}

/** An index entry is at least this many stored bytes: 32 of them are a hash that does not compress. */
const STORED_BYTES_PER_BLOB = 34;

export async function loadIndex(
  repository: Repository,
  options: LoadIndexOptions = {},
): Promise<LoadedIndex> {
  const files = options.files ?? (await repository.list("index", options.signal));
  const stored = files.reduce((sum, file) => sum + file.size, 0);
  const builder = new BlobIndexBuilder(Math.ceil(stored / STORED_BYTES_PER_BLOB) + 1024);
  const loaded: Id[] = [];
  // One is decoded at a time; a disk has the next one ready meanwhile, and more would only wait in memory.
  const { local, connections } = repository.storage.traits;
  const atOnce = local ? 2 : Math.min(connections, 5);
  await mapLimit(files, atOnce, async ({ id }) => {
    try {
      const json = await repository.load("index", id, options.signal);
      const begin = builder.mark().packs;
      addFile(builder, json, id);
      // Or several of them would be there at once, since the garbage collector does not see how large they are.
      releaseMemory(json);
      loaded.push(id);
      options.onFile?.(id, { begin, end: builder.mark().packs });
    } catch (error) {
      if (options.onDamage === undefined || !isHoldfastError(error, "INDEX_DAMAGED")) throw error;
      options.onDamage(id, error);
    }
  });
  const index = builder.build();
  if (loaded.length === files.length) await sweepCache(repository, files, index);
  return { index, files: loaded };
}

/** Drops from the cache what the repository no longer has, or nobody would ever. */
async function sweepCache(
  repository: Repository,
  files: readonly RepositoryFile[],
  index: BlobIndex,
): Promise<void> {
  await repository.cache?.keepOnly("index", new Set(files.map(({ id }) => id)));
  await repository.cache?.keepOnly("pack", new Set(index.packs));
}

/** Adds one file's blobs, or none of them when it is damaged. */
function addFile(builder: BlobIndexBuilder, json: Uint8Array, id: Id): void {
  const mark = builder.mark();
  try {
    decodeIndexFile(json, {
      pack: (pack) => {
        builder.pack(pack);
      },
      blob: (type, blob, offset, length, uncompressedLength) => {
        builder.blob(type === 1, blob, offset, length, uncompressedLength);
      },
    });
  } catch (error) {
    if (!isHoldfastError(error)) throw error;
    builder.rollback(mark);
    throw new HoldfastError("INDEX_DAMAGED", `index ${id} is damaged: ${error.message}`, {
      hint: "Rebuild it from the packs with `repair index`.",
      cause: error,
    });
  }
}
