// The folders from the root of a snapshot down to what is in it: those above the filestore, and those of the files that lie
// beside it in a capture. Two paths may share folders, or be the same.

import type { Id } from "../../base/bytes.ts";
import { textToByteString } from "../../restic/byte-string.ts";
import { GO_MODE } from "../../restic/file-mode.ts";
import { createNode } from "../../restic/tree-node.ts";
import type { TreeNode } from "../../restic/tree-node.ts";
import { encodeTree } from "../../restic/tree.ts";
import type { AddTree } from "./store-tree.ts";

interface Directory {
  node: TreeNode;
  readonly directories: Map<string, Directory>;
  /** Nodes with everything below them. */
  readonly nodes: Map<string, TreeNode>;
}

/** Mode of a folder of which nothing is known. */
const PRIVATE_DIRECTORY: number = GO_MODE.directory + 0o700;

export class PathTree {
  readonly #root: Directory = directoryOf("");

  /** Sets what is known of the folder itself at `path`, an absolute path as text. */
  describe(path: string, node: TreeNode): void {
    this.#directory(path).node = node;
  }

  /** Puts a node, with what is below it, into the folder at `path`. */
  put(path: string, node: TreeNode): void {
    this.#directory(path).nodes.set(node.name, node);
  }

  /** Stores all trees; the id of the root's. */
  async store(addTree: AddTree): Promise<Id> {
    return await storeDirectory(this.#root, addTree);
  }

  #directory(path: string): Directory {
    let at = this.#root;
    for (const name of partsOf(path)) {
      let next = at.directories.get(name);
      if (next === undefined) {
        next = directoryOf(name);
        at.directories.set(name, next);
      }
      at = next;
    }
    return at;
  }
}

/** The names along a path, as byte strings. */
export function partsOf(path: string): string[] {
  return textToByteString(path)
    .split("/")
    .filter((part) => part !== "");
}

function directoryOf(name: string): Directory {
  const node = createNode({ name, type: "dir", mode: PRIVATE_DIRECTORY });
  return { node, directories: new Map(), nodes: new Map() };
}

async function storeDirectory(directory: Directory, addTree: AddTree): Promise<Id> {
  const nodes = new Map(directory.nodes);
  for (const [name, below] of directory.directories) {
    nodes.set(name, { ...below.node, name, subtree: await storeDirectory(below, addTree) });
  }
  const sorted = [...nodes.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  return await addTree(encodeTree(sorted));
}
