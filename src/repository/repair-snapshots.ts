// Snapshots without what is lost: what `repair snapshots` does. Depends on an index that is right: `repair index` comes first.
//
// The caller holds an exclusive lock, unless it is a dry run. A repaired snapshot is a new file; the old one goes only when it is
// asked for, after the new one is durable. Content that is merely damaged, and still in the index, is not looked at.

import { isHoldfastError } from "../base/errors.ts";
import type { Id } from "../base/bytes.ts";
import { encodeSnapshot } from "../restic/snapshot.ts";
import type { Snapshot } from "../restic/snapshot.ts";
import { BlobReader } from "./blob-reader.ts";
import { loadIndex } from "./index-loader.ts";
import { TreeRepair } from "./repair-trees.ts";
import type { Repository } from "./repository.ts";
import type { FoundSnapshot } from "./snapshots.ts";
import { RepositoryWriter } from "./writer.ts";

export interface RepairSnapshotsEvents {
  /** The snapshot that is looked at now. */
  snapshot?: (found: FoundSnapshot) => void;
  /** What is changed in it. */
  changed?: (what: string) => void;
  /** What became, or would become, of its file. */
  outcome?: (outcome: SnapshotOutcome) => void;
}

export type SnapshotOutcome =
  | { kind: "saved"; id: Id; old: Id; removed: boolean }
  | { kind: "removed"; id: Id }
  /** Of a dry run. */
  | { kind: "would save"; wouldRemove: boolean }
  | { kind: "would remove" };

export interface RepairSnapshotsOptions {
  snapshots: readonly FoundSnapshot[];
  /** Remove the old ones. */
  forget: boolean;
  dryRun: boolean;
  packSize: number;
  events: RepairSnapshotsEvents;
  signal?: AbortSignal | undefined;
}

/** Marks repaired snapshots that stand beside the old ones. */
const TAG = "repaired";

/** Repairs snapshots; how many needed it. */
export async function repairSnapshots(
  repository: Repository,
  options: RepairSnapshotsOptions,
): Promise<number> {
  const { snapshots, dryRun, packSize, events, signal } = options;
  const { index } = await loadIndex(repository, { signal });
  const writer = new RepositoryWriter({ repository, packSize, verify: true, dryRun, signal });
  writer.useIndex(index);
  const repair = new TreeRepair({
    reader: new BlobReader(repository, index),
    store: async (json) => {
      const id = writer.addTree(json);
      await settle(writer);
      return id;
    },
    onChange: (what) => events.changed?.(what),
    signal,
  });
  let changed = 0;
  for (const found of snapshots) {
    events.snapshot?.(found);
    const tree = await repair.root(found.snapshot.tree);
    if (tree === found.snapshot.tree) continue;
    changed++;
    if (!dryRun) await writer.finish();
    const outcome = await replace(repository, found, tree, options);
    events.outcome?.(outcome);
  }
  return changed;
}

/** Trees wait in memory while packs are on their way; not too many of them. */
async function settle(writer: RepositoryWriter): Promise<void> {
  const waitingMax = 8 << 20;
  while (writer.waitingTreeBytes > waitingMax) await writer.settleOne();
}

async function replace(
  repository: Repository,
  { id, snapshot }: FoundSnapshot,
  tree: Id | undefined,
  { snapshots, forget, dryRun, signal }: RepairSnapshotsOptions,
): Promise<SnapshotOutcome> {
  if (tree === undefined) {
    if (dryRun) return { kind: "would remove" };
    await repository.remove("snapshot", id, signal);
    return { kind: "removed", id };
  }
  if (dryRun) return { kind: "would save", wouldRemove: forget };
  const { tags } = snapshot;
  const repaired: Snapshot = {
    ...snapshot,
    tree,
    original: id,
    tags: forget || tags.includes(TAG) ? tags : [...tags, TAG],
  };
  const content = encodeSnapshot(repaired);
  // A repair that died in between has stored it already.
  const twin = snapshots.find(
    (other) => other.snapshot.original === id && content.equals(encodeSnapshot(other.snapshot)),
  );
  const saved = twin?.id ?? (await repository.save("snapshot", content, signal));
  if (forget) await repository.remove("snapshot", id, signal);
  return { kind: "saved", id: saved, old: id, removed: forget };
}

/** Removes a snapshot file that cannot be read; false when it can, or is not there. */
export async function removeUnreadableSnapshot(
  repository: Repository,
  id: Id,
  options: { dryRun: boolean; signal?: AbortSignal | undefined },
): Promise<boolean> {
  try {
    await repository.load("snapshot", id, options.signal);
    return false;
  } catch (error) {
    if (!isHoldfastError(error, "SNAPSHOT_DAMAGED")) throw error;
  }
  if (!options.dryRun) await repository.remove("snapshot", id, options.signal);
  return true;
}
