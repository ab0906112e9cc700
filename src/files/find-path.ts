// Finding a place inside a snapshot by its path.

import type { Id } from "../base/bytes.ts";
import { HoldfastError } from "../base/errors.ts";
import type { BlobReader } from "../repository/blob-reader.ts";
import { byteStringToText } from "../restic/byte-string.ts";
import { iterateTree } from "../restic/tree.ts";
import type { TreeNode } from "../restic/tree-node.ts";

/** The node at `path` (a byte string), undefined for the root. PATH_NOT_FOUND when there is none. */
export async function findNode(
  reader: BlobReader,
  tree: Id,
  path: string,
  signal?: AbortSignal,
): Promise<TreeNode | undefined> {
  let node: TreeNode | undefined;
  let at: Id | null = tree;
  for (const name of path.split("/").filter((part) => part !== "" && part !== ".")) {
    if (at === null) throw missing(path);
    node = await entry(reader, at, name, signal);
    if (node === undefined) throw missing(path);
    at = node.subtree;
  }
  return node;
}

/** The tree of the directory at `path`; PATH_NOT_FOUND when that is no directory. */
export async function findDirectory(
  reader: BlobReader,
  tree: Id,
  path: string,
  signal?: AbortSignal,
): Promise<Id> {
  const node = await findNode(reader, tree, path, signal);
  if (node === undefined) return tree;
  if (node.type === "dir" && node.subtree !== null) return node.subtree;
  throw new HoldfastError("PATH_NOT_FOUND", `${byteStringToText(path)} is not a directory`, {
    hint: "Name the directory that holds it, and --include the file.",
  });
}

async function entry(
  reader: BlobReader,
  tree: Id,
  name: string,
  signal?: AbortSignal,
): Promise<TreeNode | undefined> {
  for (const node of iterateTree(await reader.read("tree", tree, signal))) {
    if (node.name === name) return node;
  }
  return undefined;
}

function missing(path: string): HoldfastError {
  return new HoldfastError("PATH_NOT_FOUND", `path ${byteStringToText(path)} not found`, {
    hint: "See what is there with `ls`.",
  });
}
