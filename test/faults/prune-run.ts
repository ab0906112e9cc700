// A prune in this process, for tests that put faults or other programs in its way.

import { pruneRepository } from "../../src/repository/prune.ts";
import type { PruneOptions, PruneResult } from "../../src/repository/prune.ts";
import type { Repository } from "../../src/repository/repository.ts";

export interface PruneNotes {
  notices: string[];
}

/** Prunes everything that can be pruned, into packs of 64 KiB. */
export async function pruneAll(
  repository: Repository,
  overrides: Partial<PruneOptions> = {},
): Promise<PruneResult & PruneNotes> {
  const notices: string[] = [];
  const result = await pruneRepository(repository, {
    criteria: {
      maxUnused: { kind: "bytes", bytes: 0 },
      maxRepackBytes: Infinity,
      smallPackBytes: undefined,
      repackCacheableOnly: false,
      repackUncompressed: false,
    },
    packSize: 64 << 10,
    dryRun: false,
    workers: 1,
    lock: { onNotice: (message) => notices.push(message) },
    events: { notice: (message) => notices.push(message) },
    ...overrides,
  });
  return { ...result, notices };
}
