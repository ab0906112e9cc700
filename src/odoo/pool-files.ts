// The files of a filestore in the trees of a repository: every file whose name is a SHA-1, wherever it lies. A tree that was
// walked before is not walked again, so that the snapshots of a year cost little more than one of them. What a name promises
// is not what the blobs hold: whoever wants the content hashes it (src/odoo/pool.ts).

import type { Id } from "../base/bytes.ts";
import { throwIfCancelled } from "../base/cancellation.ts";
import type { HoldfastError } from "../base/errors.ts";
import type { BlobReader } from "../repository/blob-reader.ts";
import { isListingDamage } from "../repository/listing-damage.ts";
import { iterateTree } from "../restic/tree.ts";
import type { TreeNode } from "../restic/tree-node.ts";
import { isSha1 } from "./store-name.ts";

export interface PoolFilesOptions {
  readonly reader: Pick<BlobReader, "read">;
  /** Root trees, in the order in which they are walked. */
  readonly trees: Iterable<Id>;
  /** Trees that were walked already: they are left out, and the walked ones are added. */
  readonly walked: Set<Id>;
  /** Takes every file once for each tree that lists it. `node.name` is its SHA-1. */
  readonly visit: (node: TreeNode) => void;
  /** Takes what is wrong with a listing, whose entries (from there on) are left out. */
  readonly onDamage: (tree: Id, error: HoldfastError) => void;
  readonly signal?: AbortSignal | undefined;
}

/** Walks all files of filestores below `trees`. Throws what the storage throws, CANCELLED. */
export async function eachPoolFile(options: PoolFilesOptions): Promise<void> {
  const { reader, trees, walked, visit, onDamage, signal } = options;
  for (const root of trees) {
    const waiting = [root];
    for (let tree = waiting.pop(); tree !== undefined; tree = waiting.pop()) {
      if (walked.has(tree)) continue;
      walked.add(tree);
      throwIfCancelled(signal);
      try {
        for (const node of iterateTree(await reader.read("tree", tree, signal))) {
          if (node.subtree !== null) waiting.push(node.subtree);
          else if (node.type === "file" && isSha1(node.name)) visit(node);
        }
      } catch (error) {
        if (!isListingDamage(error)) throw error;
        onDamage(tree, error);
      }
    }
  }
}
