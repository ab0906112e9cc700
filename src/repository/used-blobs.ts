// Which blobs the snapshots need: a walk over every directory listing, each once, in worker threads. One bit a blob.
//
// What is missing or damaged is an error here, never a smaller set: whoever removes what is not in the set would destroy the
// rest of it.

import { HoldfastError } from "../base/errors.ts";
import { fromHex } from "../base/bytes.ts";
import { CheckFindings } from "./check-findings.ts";
import type { CheckPool } from "./check-pool.ts";
import { walkTrees } from "./check-trees.ts";
import { EntrySet } from "./entry-set.ts";
import type { RepositoryFile } from "./layout.ts";
import type { PackTable } from "./pack-table.ts";
import type { Repository } from "./repository.ts";
import type { FoundSnapshot } from "./snapshots.ts";

export interface UsedBlobsOptions {
  repository: Repository;
  table: PackTable;
  snapshots: readonly FoundSnapshot[];
  /** The packs that are there. */
  packs: readonly RepositoryFile[];
  /** Threads with `used` as their set. */
  pool: CheckPool;
  /** Memory of the set to fill. */
  used: SharedArrayBuffer;
  onTrees: (count: number) => void;
  signal?: AbortSignal | undefined;
}

/** First entries of all blobs that `snapshots` need. PRUNE_REFUSED when not all of them can be found out. */
export async function findUsedBlobs(options: UsedBlobsOptions): Promise<EntrySet> {
  const { repository, table, snapshots, packs, pool, onTrees, signal } = options;
  const used = new EntrySet(options.used);
  const findings = new CheckFindings();
  const roots: number[] = [];
  for (const { id, snapshot } of snapshots) {
    const entry = table.index.find("tree", fromHex(snapshot.tree));
    if (entry < 0) {
      const what = `snapshot ${id} needs tree ${snapshot.tree}, which is in no index`;
      findings.add("TREE_MISSING", what, { snapshots: [id] });
    } else if (used.add(entry)) roots.push(entry);
  }
  const sizes = new Map<number, number>();
  for (const { id, size } of packs) {
    const pack = table.numberOf(id);
    if (pack !== undefined) sizes.set(pack, size);
  }
  const isSound = (pack: number): boolean => sizes.get(pack) === table.fileBytes(pack);
  await walkTrees(roots, { repository, table, used, pool, findings, isSound, onTrees, signal });
  const [first] = findings.kept.filter(({ severity }) => severity === "error");
  if (first === undefined) return used;
  const more = findings.errors > 1 ? `, and ${findings.errors - 1} more errors` : "";
  throw new HoldfastError(
    "PRUNE_REFUSED",
    `what the snapshots need is not complete: ${first.what}${more}; nothing was removed`,
    { hint: "Run `check` for the whole picture; `repair index` and `repair snapshots` help." },
  );
}
