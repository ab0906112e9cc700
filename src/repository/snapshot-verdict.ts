// What a check can say of each snapshot: whether something that it needs is missing or damaged, and how much of its packs was
// ever read and proved, and when. Of a blob with several copies the first one counts.

import type { Id } from "../base/bytes.ts";
import type { PackTable } from "./pack-table.ts";
import type { FoundSnapshot } from "./snapshots.ts";
import type { TreeGraph } from "./tree-graph.ts";

export interface SnapshotVerdict {
  id: Id;
  snapshot: FoundSnapshot["snapshot"];
  /**
   * damaged   something that it needs is missing or damaged
   * verified  every pack that it needs was read and proved, at `oldest` or later
   * partly    nothing is known to be wrong; only `verifiedBytes` were read
   */
  state: "damaged" | "verified" | "partly";
  /** Packs that it needs. */
  packs: number;
  bytes: number;
  verifiedPacks: number;
  verifiedBytes: number;
  /** Of the packs that were read, when the one was that was read longest ago: ms since 1970. */
  oldest: number | undefined;
  /** Packs that it needs and that are damaged or missing. */
  damagedPacks: Id[];
  /** Listings in which something is missing, or that cannot be read. */
  damagedTrees: number;
}

export interface VerdictOptions {
  table: PackTable;
  graph: TreeGraph;
  snapshots: readonly FoundSnapshot[];
  /** Index entry of a snapshot's root, or -1. */
  rootOf: (snapshot: FoundSnapshot) => number;
  /** Listings in which something is wrong, by entry. */
  damagedTrees: ReadonlySet<number>;
  damagedPacks: ReadonlySet<Id>;
  /** When a pack was read and proved: ms since 1970. */
  verifiedAt: (pack: Id) => number | undefined;
}

/** The verdict on each snapshot, in their order. */
export function judgeSnapshots(options: VerdictOptions): SnapshotVerdict[] {
  return options.snapshots.map((snapshot) => judge(snapshot, options));
}

function judge(found: FoundSnapshot, options: VerdictOptions): SnapshotVerdict {
  const { table, graph, damagedTrees, damagedPacks, verifiedAt } = options;
  const { index } = table;
  const needed = new Set<number>();
  let broken = 0;
  const root = options.rootOf(found);
  if (root < 0) broken++;
  else {
    graph.follow(root, {
      tree: (entry, isRead) => {
        if (!isRead || damagedTrees.has(entry)) broken++;
        needed.add(table.canonical(index.packNumber(entry)));
      },
      pack: (number) => needed.add(table.canonical(number)),
    });
  }
  const verdict = {
    packs: needed.size,
    bytes: 0,
    verifiedPacks: 0,
    verifiedBytes: 0,
    oldest: undefined as number | undefined,
    damagedPacks: [] as Id[],
    damagedTrees: broken,
  };
  for (const pack of needed) {
    const id = index.packs[pack]!;
    const bytes = table.fileBytes(pack);
    verdict.bytes += bytes;
    if (damagedPacks.has(id)) verdict.damagedPacks.push(id);
    const time = damagedPacks.has(id) ? undefined : verifiedAt(id);
    if (time === undefined) continue;
    verdict.verifiedPacks++;
    verdict.verifiedBytes += bytes;
    verdict.oldest = Math.min(verdict.oldest ?? time, time);
  }
  const isDamaged = broken + verdict.damagedPacks.length > 0;
  const isVerified = verdict.verifiedPacks === verdict.packs;
  const state = isDamaged ? "damaged" : isVerified ? "verified" : "partly";
  return { ...found, state, ...verdict };
}
