// The files of one period as the tree of a capture: everything seen since the last full snapshot, laid out as the filestore is.
// A tick adds a few files, and only the listings of their folders are made anew. A listing is kept compressed, as it will be
// stored again with the next files: about 150 bytes a file.

import { compressZstd, decompressZstd } from "../../restic/compression.ts";
import type { Id } from "../../base/bytes.ts";
import { encodeNode } from "../../restic/tree-node.ts";
import type { TreeNode } from "../../restic/tree-node.ts";
import { iterateTree, TreeBuilder } from "../../restic/tree.ts";

const LEVEL = 1;

/** Where trees are stored: the id of one. */
export type AddTree = (json: Uint8Array) => Promise<Id>;

interface Folder {
  /** The folder itself, without its tree. */
  node: TreeNode;
  /** The listing, compressed; undefined while there is none. */
  packed: Uint8Array | undefined;
  /** Files that are not in the listing yet, by name. */
  readonly fresh: Map<string, string>;
  /** The listing as it was stored last, undefined when it has to be stored. */
  tree: Id | undefined;
}

export class StoreTree {
  readonly #folders = new Map<string, Folder>();
  #files = 0;
  #bytes = 0;

  /** Files in the tree. */
  get files(): number {
    return this.#files;
  }

  /** Bytes of all of them. */
  get bytes(): number {
    return this.#bytes;
  }

  /** True when the folder has a node by now. */
  hasFolder(name: string): boolean {
    return this.#folders.has(name);
  }

  /** What is known of a folder itself, from its last listing. A folder without files is not in the tree. */
  setFolder(node: TreeNode): void {
    const folder = this.#folders.get(node.name);
    if (folder === undefined) {
      this.#folders.set(node.name, {
        node,
        packed: undefined,
        fresh: new Map(),
        tree: undefined,
      });
    } else folder.node = node;
  }

  /** Adds a file to a folder that has a node. A name that is there already is not replaced by the caller. */
  add(folder: string, node: TreeNode): void {
    const found = this.#folders.get(folder)!;
    found.fresh.set(node.name, encodeNode(node));
    found.tree = undefined;
    this.#files++;
    this.#bytes += Number(node.size);
  }

  /** The nodes of the folders, ascending by name, each with its tree stored. */
  async *nodes(addTree: AddTree): AsyncGenerator<TreeNode> {
    for (const name of [...this.#folders.keys()].sort()) {
      const folder = this.#folders.get(name)!;
      if (folder.packed === undefined && folder.fresh.size === 0) continue;
      if (folder.tree === undefined) {
        const json = mergeListing(folder);
        folder.tree = await addTree(json);
        // A copy: what comes out of compression holds on to memory for what went in.
        folder.packed = new Uint8Array(compressZstd(json, LEVEL));
        folder.fresh.clear();
      }
      yield { ...folder.node, subtree: folder.tree };
    }
  }

  /** All files with their folders, in no particular order. */
  *entries(): Generator<{ readonly folder: string; readonly node: TreeNode }> {
    for (const [folder, { packed, fresh }] of this.#folders) {
      const listings = [
        ...(packed ? [decompressZstd(packed)] : []),
        ...(fresh.size > 0 ? [listingOf(fresh)] : []),
      ];
      for (const json of listings) {
        for (const node of iterateTree(json)) yield { folder, node };
      }
    }
  }
}

/** The listing with what is fresh in it. */
function mergeListing({ packed, fresh }: Folder): Buffer {
  if (packed === undefined) return listingOf(fresh);
  const merged = new Map(fresh);
  for (const node of iterateTree(decompressZstd(packed))) {
    if (!merged.has(node.name)) merged.set(node.name, encodeNode(node));
  }
  return listingOf(merged);
}

function listingOf(encoded: ReadonlyMap<string, string>): Buffer {
  const builder = new TreeBuilder();
  for (const name of [...encoded.keys()].sort()) builder.addEncoded(name, encoded.get(name)!);
  return builder.finish();
}
