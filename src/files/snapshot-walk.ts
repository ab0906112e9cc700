// Walks the entries of a snapshot, directories before what is in them, names in the order of their bytes. Holds one
// tree for each level it is in, nothing else.

import type { Id } from "../base/bytes.ts";
import { throwIfCancelled } from "../base/cancellation.ts";
import type { BlobReader } from "../repository/blob-reader.ts";
import { iterateTree } from "../restic/tree.ts";
import type { TreeNode } from "../restic/tree-node.ts";
import { joinPath } from "./entry-table.ts";

export interface WalkedEntry {
  /** Path inside the walked tree, a byte string that begins with "/". */
  readonly path: string;
  readonly node: TreeNode;
}

export interface SnapshotWalkOptions {
  reader: Pick<BlobReader, "read">;
  tree: Id;
  /** Asked for every directory: false leaves out what is in it. */
  enters?: (path: string) => boolean;
  signal?: AbortSignal | undefined;
}

/** All entries below a tree. BLOB_MISSING, BLOB_DAMAGED, TREE_DAMAGED or TREE_HOSTILE end it. */
export async function* walkSnapshot(options: SnapshotWalkOptions): AsyncGenerator<WalkedEntry> {
  const { reader, tree, enters = () => true, signal } = options;
  const open = async (path: string, id: Id) => {
    throwIfCancelled(signal);
    return { path, nodes: iterateTree(await reader.read("tree", id, signal)) };
  };
  const levels = [await open("/", tree)];
  for (let level = levels.at(-1); level !== undefined; level = levels.at(-1)) {
    const next = level.nodes.next();
    if (next.done) {
      levels.pop();
      continue;
    }
    const node = next.value;
    const path = joinPath(level.path, node.name);
    yield { path, node };
    if (node.subtree !== null && enters(path)) levels.push(await open(path, node.subtree));
  }
}
