// What the captures of a repository recorded of their source: the lists of all of them, read in one go.

import type { HoldfastError } from "../base/errors.ts";
import { BlobReader } from "../repository/blob-reader.ts";
import { loadIndex } from "../repository/index-loader.ts";
import type { Repository } from "../repository/repository.ts";
import { listSnapshots } from "../repository/snapshots.ts";
import { readSourceProblems, type SourceProblems } from "./recovery/source-problems.ts";

/** Names of files that were missing or corrupt at the source; none of them without captures. Damage is told and passed over. */
export async function sourceProblems(
  captures: Repository | undefined,
  options: {
    readonly database: string;
    readonly onDamage: (what: string, error: HoldfastError) => void;
    readonly signal?: AbortSignal | undefined;
  },
): Promise<SourceProblems> {
  if (captures === undefined) return { missing: new Set(), corrupt: new Set() };
  const { database, onDamage, signal } = options;
  const snapshots = await listSnapshots(captures, {
    onDamage: (id, error) => onDamage(`capture ${id}`, error),
    signal,
  });
  const { index } = await loadIndex(captures, {
    onDamage: (id, error) => onDamage(`index ${id}`, error),
    signal,
  });
  const reader = new BlobReader(captures, index);
  return await readSourceProblems({
    captures: [{ reader, snapshots }],
    database,
    onDamage,
    signal,
  });
}
