// Puts the many small packs and index files of a capture repository together, and removes what no capture needs any more:
// the trees of captures that were replaced, above all. It is a prune (docs/decisions/prune.md) with bounds of its own.

import { pruneRepository } from "../../repository/prune.ts";
import type { PruneResult } from "../../repository/prune.ts";
import type { Repository } from "../../repository/repository.ts";

const PACK_BYTES = 16 << 20;
/** Packs below this are put together. */
const SMALL_BYTES = 8 << 20;
/** Bytes of packs that are written anew in one merge: captures wait for it. */
const BYTES_MAX = 2 ** 30;
/** Part of the repository that nobody needs and that may stay, in percent. */
const UNUSED_PERCENT = 10;

export interface MergeOptions {
  readonly captures: Repository;
  readonly retryLock: number;
  readonly notice: (text: string) => void;
  readonly signal?: AbortSignal | undefined;
}

/** Merges. The caller holds no lock. Throws REPO_LOCKED when others use the repository, what the storage throws. */
export async function mergeCapturePacks(options: MergeOptions): Promise<PruneResult> {
  const { captures, retryLock, notice, signal } = options;
  return await pruneRepository(captures, {
    criteria: {
      maxUnused: { kind: "percent", percent: UNUSED_PERCENT },
      maxRepackBytes: BYTES_MAX,
      smallPackBytes: SMALL_BYTES,
      repackCacheableOnly: false,
      repackUncompressed: false,
    },
    packSize: PACK_BYTES,
    dryRun: false,
    workers: 1,
    lock: { retryFor: retryLock, onNotice: notice },
    events: { notice },
    signal,
  });
}
