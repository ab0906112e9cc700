// Walks the entries of a snapshot, directories before what is in them, names in the order of their bytes. Holds one
// tree for each level it is in, nothing else.

import type { Id } from "../base/bytes.ts";
import { throwIfCancelled } from "../base/cancellation.ts";
import type { HoldfastError } from "../base/errors.ts";
import type { BlobReader } from "../repository/blob-reader.ts";
import { isListingDamage } from "../repository/listing-damage.ts";
import { iterateTree } from "../restic/tree.ts";
import type { TreeNode } from "../restic/tree-node.ts";
import { joinPath } from "./entry-table.ts";
import { namedListingError } from "./listing.ts";
import type { ListingPlace } from "./listing.ts";

export interface WalkedEntry {
  /** Path inside the walked tree, a byte string that begins with "/". */
  readonly path: string;
  readonly node: TreeNode;
  /** The listing that it is in. */
  readonly tree: Id;
}

export interface SnapshotWalkOptions {
  reader: Pick<BlobReader, "read">;
  tree: Id;
  /** Asked for every directory: false leaves out what is in it. */
  enters?: (path: string) => boolean;
  /** Takes what is wrong with a listing, whose entries (from there on) are left out; without it, that ends the walk. */
  onDamage?: (tree: Id, error: HoldfastError) => void;
  signal?: AbortSignal | undefined;
}

interface Level extends ListingPlace {
  nodes: Iterator<TreeNode, void>;
}

/** All entries below a tree. BLOB_MISSING, BLOB_DAMAGED, TREE_DAMAGED or TREE_HOSTILE end it, but see `onDamage`. */
export async function* walkSnapshot(options: SnapshotWalkOptions): AsyncGenerator<WalkedEntry> {
  const { reader, tree: root, enters = () => true, onDamage, signal } = options;
  const levels: Level[] = [];
  /** Tells of a listing that ends here; undefined, for want of anything better. */
  const leave = (place: ListingPlace, error: unknown): undefined => {
    if (!isListingDamage(error)) throw error;
    if (onDamage === undefined) throw namedListingError(error, place);
    onDamage(place.tree, error);
  };
  const enter = async (path: string, tree: Id): Promise<void> => {
    throwIfCancelled(signal);
    try {
      const nodes = iterateTree(await reader.read("tree", tree, signal));
      levels.push({ path, tree, nodes });
    } catch (error) {
      leave({ path, tree }, error);
    }
  };
  const step = (level: Level): IteratorResult<TreeNode, void> | undefined => {
    try {
      return level.nodes.next();
    } catch (error) {
      return leave(level, error);
    }
  };
  await enter("/", root);
  for (let level = levels.at(-1); level !== undefined; level = levels.at(-1)) {
    const next = step(level);
    if (next === undefined || next.done) {
      levels.pop();
      continue;
    }
    const node = next.value;
    const path = joinPath(level.path, node.name);
    yield { path, node, tree: level.tree };
    if (node.subtree !== null && enters(path)) await enter(path, node.subtree);
  }
}
