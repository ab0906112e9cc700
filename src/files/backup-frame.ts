// One directory of a backup while it is made into a tree: what is known of its entries and of its earlier self.

import type { Id } from "../base/bytes.ts";
import { TreeBuilder } from "../restic/tree.ts";
import type { TreeNode } from "../restic/tree-node.ts";
import type { Target } from "./backup-targets.ts";
import { EntryTable, joinPath } from "./entry-table.ts";
import type { DirectoryRecord } from "./scan-cache.ts";

export type Change = "new" | "changed" | "unmodified";

/** A directory being made into a tree. */
export interface Frame {
  /** Path in the snapshot, "/" for its root. */
  snapshotPath: string;
  /** Path to read it from, a byte string; undefined at the root. */
  path: string | undefined;
  /** Set where the directory is put together from sources instead of read. */
  targets: Map<string, Target> | undefined;
  /** Device of the source it belongs to. */
  device: number | bigint | undefined;
  /** It was named by the person: that it is gone is worth a word. */
  isNamed: boolean;
  /** Which directory it was when its parent was listed; undefined where it is not read from one. */
  identity: string | undefined;
  table: EntryTable;
  /** Encoded nodes of entries that wait for one before them; "" for an entry without a node. */
  nodes: Map<number, string>;
  /** The tree so far: the nodes of all entries before `next`. */
  tree: TreeBuilder;
  next: number;
  /** Trees of the sub-directories, by entry. */
  subtrees: Map<number, Id>;
  /** What the scan cache says of it. */
  record: DirectoryRecord | undefined;
  /** Entries are as the cache says. */
  same: boolean;
  /** Its tree in the parent snapshot, and the nodes of that once read. */
  previousTree: Id | undefined;
  previous: Map<string, TreeNode> | undefined;
  entriesHash: string;
  /** Entries that are still being read. */
  pending: number;
  /** All entries have been looked at. */
  scanned: boolean;
  /** Not to be remembered: an entry failed, or may still be changing. */
  uncertain: boolean;
  /** Files directly in it, and their bytes. */
  files: number;
  bytes: number;
  /** Called once with its tree, undefined when it has none. */
  finish: (tree: Id | undefined, change: Change) => void;
}

/** A directory of which nothing is known yet. */
export function createFrame(
  given: Pick<
    Frame,
    "snapshotPath" | "path" | "targets" | "device" | "isNamed" | "identity" | "record" | "finish"
  >,
): Frame {
  return {
    ...given,
    table: new EntryTable(64),
    nodes: new Map(),
    tree: new TreeBuilder(),
    next: 0,
    subtrees: new Map(),
    same: false,
    previousTree: undefined,
    previous: undefined,
    entriesHash: "",
    pending: 0,
    scanned: false,
    uncertain: false,
    files: 0,
    bytes: 0,
  };
}

/** Gives an entry its encoded node, "" for none; nodes join the tree in order, whatever order they come in. */
export function settleNode(frame: Frame, entry: number, json: string): void {
  const { nodes, table, tree } = frame;
  nodes.set(entry, json);
  for (let node = nodes.get(frame.next); node !== undefined; node = nodes.get(frame.next)) {
    if (node !== "") tree.addEncoded(table.names[frame.next]!, node);
    nodes.delete(frame.next++);
  }
}

/** What tells a directory from one that takes its place. */
export function identityOf(table: EntryTable, entry: number): string {
  return `${table.deviceId(entry)}/${table.inode(entry)}`;
}

/** True when the person named the entry, so that its absence is worth a word. */
export function isNamed(frame: Frame, entry: number): boolean {
  return frame.targets?.get(frame.table.names[entry]!)?.isNamed === true;
}

/** Path to read an entry from. */
export function pathOf(frame: Frame, entry: number): string {
  const name = frame.table.names[entry]!;
  return frame.targets?.get(name)?.path ?? joinPath(frame.path ?? "", name);
}
