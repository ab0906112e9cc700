// A tree without what is not wanted: every listing is read, and written anew where something left it. Content is never
// touched. A listing that could not be written again as it was is refused: it holds something that would be lost.

import { sha256Hex } from "../base/bytes.ts";
import type { Id } from "../base/bytes.ts";
import { throwIfCancelled } from "../base/cancellation.ts";
import { HoldfastError } from "../base/errors.ts";
import type { BlobReader } from "../repository/blob-reader.ts";
import type { RepositoryWriter } from "../repository/writer.ts";
import { byteStringToText } from "../restic/byte-string.ts";
import { TreeBuilder, encodeTree } from "../restic/tree.ts";
import { joinPath } from "./entry-table.ts";
import { readListing } from "./listing.ts";
import type { Selector } from "./selection.ts";

export interface RewriteOptions {
  reader: BlobReader;
  writer: RepositoryWriter;
  tree: Id;
  /** What stays. A directory stays as well when something in it may. */
  select: Selector;
  /** Whether a directory stays, the root as well, when nothing is left in it. */
  keepsEmpty: (path: string) => boolean;
  /** Called for each entry, with whether it stays. Paths are byte strings. */
  onEntry?: (path: string, stays: boolean, isDirectory: boolean) => void;
  /** Called for a directory that stays with nothing in it. */
  onEmptyDirectory?: (path: string) => void;
  signal?: AbortSignal | undefined;
}

export interface RewrittenTree {
  /** Undefined when nothing stays. */
  tree: Id | undefined;
  /** Files that stay, and their bytes. */
  files: number;
  bytes: number;
}

/** Bytes of listings that may wait to be stored. */
const WAITING_MAX = 16 << 20;

/** The tree's id is final when this resolves; its listings are durable after `writer.finish()`. */
export async function rewriteTree(options: RewriteOptions): Promise<RewrittenTree> {
  const { reader, writer, select, keepsEmpty, onEntry, onEmptyDirectory, signal } = options;
  const result: RewrittenTree = { tree: undefined, files: 0, bytes: 0 };
  const rewrite = async (path: string, id: Id): Promise<Id | undefined> => {
    throwIfCancelled(signal);
    const nodes = await readListing(reader, { path, tree: id }, signal);
    if (sha256Hex(encodeTree(nodes)) !== id) throw unstable(path);
    const builder = new TreeBuilder();
    for (const node of nodes) {
      const child = joinPath(path, node.name);
      const isDirectory = node.type === "dir";
      const { selected, childMayBeSelected } = select(child, isDirectory);
      const stays = selected || (isDirectory && childMayBeSelected);
      onEntry?.(child, stays, isDirectory);
      if (!stays) continue;
      if (node.type === "file") {
        result.files++;
        result.bytes += Number(node.size);
      }
      if (node.subtree === null) {
        builder.add(node);
        continue;
      }
      const subtree = await rewrite(child, node.subtree);
      if (subtree !== undefined) builder.add({ ...node, subtree });
    }
    if (builder.count === 0) {
      if (!keepsEmpty(path)) return undefined;
      onEmptyDirectory?.(path);
    }
    const json = builder.finish();
    const rewritten = writer.addTree(json);
    while (writer.waitingTreeBytes > WAITING_MAX) await writer.settleOne();
    return rewritten;
  };
  result.tree = await rewrite("/", options.tree);
  return result;
}

function unstable(path: string): HoldfastError {
  const what = `the listing of ${byteStringToText(path)} cannot be written again without losing information`;
  return new HoldfastError("REPO_UNSUPPORTED", what, {
    hint: "Another program wrote it in its own way; leave this snapshot as it is.",
  });
}
