// Reads restored files once more and compares them with the snapshot: restic's `restore --verify`.

import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import type { Id } from "../base/bytes.ts";
import { fromHex, sha256Hex } from "../base/bytes.ts";
import { throwIfCancelled } from "../base/cancellation.ts";
import { HoldfastError, messageOf } from "../base/errors.ts";
import type { BlobReader } from "../repository/blob-reader.ts";
import { byteStringToText } from "../restic/byte-string.ts";
import { decodeTree } from "../restic/tree.ts";
import type { TreeNode } from "../restic/tree-node.ts";
import { joinPath, nativePath } from "./entry-table.ts";
import type { Selector } from "./selection.ts";

export interface VerifyOptions {
  reader: BlobReader;
  tree: Id;
  target: string;
  select: Selector;
  /** Paths in the snapshot of files that were not restored because another one was to be kept. */
  kept: ReadonlySet<string>;
  events: { failed(path: string, error: HoldfastError): void };
  signal: AbortSignal | undefined;
}

const FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** Compares every selected file that was not kept as it was; how many were compared and how many differ. */
export async function verifyRestored(
  options: VerifyOptions,
): Promise<{ files: number; failures: number }> {
  const counts = { files: 0, failures: 0 };
  await verifyTree(options, options.tree, options.target, "/", counts);
  return counts;
}

async function verifyTree(
  options: VerifyOptions,
  tree: Id,
  directory: string,
  snapshotPath: string,
  counts: { files: number; failures: number },
): Promise<void> {
  const { reader, select, kept, signal, events } = options;
  throwIfCancelled(signal);
  for (const node of decodeTree(await reader.read("tree", tree, signal))) {
    const path = joinPath(directory, node.name);
    const shown = joinPath(snapshotPath, node.name);
    const { selected, childMayBeSelected } = select(shown, node.type === "dir");
    if (node.type === "dir" && node.subtree !== null && (selected || childMayBeSelected)) {
      await verifyTree(options, node.subtree, path, shown, counts);
    } else if (node.type === "file" && selected && !kept.has(shown)) {
      counts.files++;
      const difference = differenceOf(node, path, reader);
      if (difference === undefined) continue;
      counts.failures++;
      const text = byteStringToText(shown);
      events.failed(text, new HoldfastError("RESTORE_DIFFERS", `${text}: ${difference}`));
    }
  }
}

/** What is wrong with the file at `path`, undefined when nothing is. */
function differenceOf(node: TreeNode, path: string, reader: BlobReader): string | undefined {
  let descriptor: number;
  try {
    descriptor = openSync(nativePath(path), FLAGS);
  } catch (error) {
    return messageOf(error);
  }
  try {
    const stat = fstatSync(descriptor);
    if (!stat.isFile()) return "it is not a regular file";
    let length = 0;
    for (const id of node.content ?? []) {
      const entry = reader.index.find("data", fromHex(id));
      if (entry < 0) return `blob ${id} is in no index`;
      const bytes = Buffer.allocUnsafe(reader.index.plainLength(entry));
      for (let done = 0; done < bytes.length;) {
        const read = readSync(descriptor, bytes, done, bytes.length - done, null);
        if (read === 0) return "it is cut short";
        done += read;
      }
      if (sha256Hex(bytes) !== id) return "its content differs";
      length += bytes.length;
    }
    return stat.size === length ? undefined : `it has ${stat.size} bytes instead of ${length}`;
  } catch (error) {
    return messageOf(error);
  } finally {
    closeSync(descriptor);
  }
}
