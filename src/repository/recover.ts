// A snapshot of everything that no snapshot holds any more: what `recover` makes after a snapshot was removed by mistake. Its
// root has a directory for each listing to which nothing refers, named after the listing's id.
//
// The caller holds an exclusive lock, and has repaired the index. Must never: put a listing into the snapshot that cannot be
// read, or the snapshot itself would be damaged.

import { isHoldfastError } from "../base/errors.ts";
import type { HoldfastError } from "../base/errors.ts";
import { asBuffer, fromHex } from "../base/bytes.ts";
import type { Id } from "../base/bytes.ts";
import { throwIfCancelled } from "../base/cancellation.ts";
import { formatTime } from "../restic/go-time.ts";
import { encodeSnapshot } from "../restic/snapshot.ts";
import { encodeTree, iterateTree } from "../restic/tree.ts";
import { createNode } from "../restic/tree-node.ts";
import type { TreeNode } from "../restic/tree-node.ts";
import { BlobReader } from "./blob-reader.ts";
import { EntrySet, createEntrySetMemory } from "./entry-set.ts";
import { loadIndex } from "./index-loader.ts";
import { PackTable } from "./pack-table.ts";
import type { Repository } from "./repository.ts";
import { listSnapshots } from "./snapshots.ts";
import { RepositoryWriter } from "./writer.ts";

export interface RecoverEvents {
  /** So many listings will be read. */
  trees?: (total: number) => void;
  done?: (count: number) => void;
  /** A listing that cannot be read, and is left out. */
  unreadable?: (tree: Id, error: HoldfastError) => void;
  /** All listings are read; snapshots come next. */
  snapshots?: () => void;
  /** A listing to which nothing refers. */
  root?: (tree: Id) => void;
}

export interface RecoverOptions {
  packSize: number;
  programVersion: string;
  events: RecoverEvents;
  signal?: AbortSignal | undefined;
}

export interface RecoverResult {
  roots: number;
  /** The snapshot that holds them; undefined when there are none. */
  snapshot: Id | undefined;
}

const DIRECTORY_MODE = 0x8000_01ed;
const NAME_DIGITS = 8;

/** Finds what nothing refers to, and makes a snapshot of it. */
export async function recover(
  repository: Repository,
  options: RecoverOptions,
): Promise<RecoverResult> {
  const { events, signal } = options;
  const { index } = await loadIndex(repository, { signal });
  const table = new PackTable(index);
  const [trees, referenced] = [0, 1].map(() => new EntrySet(createEntrySetMemory(index.count)));
  const firsts: number[] = [];
  // In the order in which they lie in packs, so that each pack is read once.
  for (const pack of table.packs) {
    for (const entry of table.entries(pack)) {
      if (!index.isTree(entry)) continue;
      const first = index.find("tree", index.idBytes(entry));
      if (trees!.add(first)) firsts.push(first);
    }
  }
  events.trees?.(firsts.length);
  const refer = (tree: Id): void => {
    const entry = index.find("tree", fromHex(tree));
    if (entry >= 0) referenced!.add(entry);
  };
  const reader = new BlobReader(repository, index);
  const readable: number[] = [];
  for (const entry of firsts) {
    throwIfCancelled(signal);
    if (await readTree(reader, index.idAt(entry), refer, options)) readable.push(entry);
    events.done?.(1);
  }
  events.snapshots?.();
  // What a damaged snapshot refers to is found as well: it may be all that is left of it.
  const snapshots = await listSnapshots(repository, { signal, onDamage: () => {} });
  for (const { snapshot } of snapshots) refer(snapshot.tree);
  const roots = readable.filter((entry) => !referenced!.has(entry)).map((e) => index.idAt(e));
  for (const root of roots) events.root?.(root);
  if (roots.length === 0) return { roots: 0, snapshot: undefined };
  return { roots: roots.length, snapshot: await makeSnapshot(repository, index, roots, options) };
}

/** Calls `refer` for what a listing refers to; false when it cannot be read. */
async function readTree(
  reader: BlobReader,
  id: Id,
  refer: (tree: Id) => void,
  { events, signal }: RecoverOptions,
): Promise<boolean> {
  try {
    for (const node of iterateTree(asBuffer(await reader.read("tree", id, signal)))) {
      if (node.type === "dir" && node.subtree !== null) refer(node.subtree);
    }
    return true;
  } catch (error) {
    const isItsOwn = isHoldfastError(error, "BLOB_DAMAGED", "TREE_DAMAGED", "TREE_HOSTILE");
    if (!isItsOwn) throw error;
    events.unreadable?.(id, error);
    return false;
  }
}

async function makeSnapshot(
  repository: Repository,
  index: BlobReader["index"],
  roots: readonly Id[],
  { packSize, programVersion, signal }: RecoverOptions,
): Promise<Id> {
  const { clock, hostname, username, uid, gid } = repository.machine;
  const time = formatTime(clock.nowNanoseconds());
  const writer = new RepositoryWriter({ repository, packSize, verify: true, signal });
  writer.useIndex(index);
  const tree = writer.addTree(encodeTree(directories(roots, time)));
  await writer.finish();
  const snapshot = encodeSnapshot({
    time,
    parent: null,
    tree,
    paths: ["/recover"],
    hostname,
    username,
    uid,
    gid,
    excludes: [],
    tags: ["recovered"],
    original: null,
    programVersion,
    summary: null,
    extra: {},
  });
  return await repository.save("snapshot", snapshot, signal);
}

function directories(roots: readonly Id[], time: string): TreeNode[] {
  const ids = [...roots].sort();
  let digits = NAME_DIGITS;
  while (new Set(ids.map((id) => id.slice(0, digits))).size < ids.length) digits++;
  return ids.map((subtree) => {
    const name = subtree.slice(0, digits);
    const times = { mtime: time, atime: time, ctime: time };
    return createNode({ name, type: "dir", mode: DIRECTORY_MODE, subtree, ...times });
  });
}
