// Whether a file is as an earlier snapshot has it, by restic's rules: type, size, times, inode, and all its content
// still in the repository.

import { fromHex } from "../base/bytes.ts";
import { parseTime } from "../restic/go-time.ts";
import type { TreeNode } from "../restic/tree-node.ts";
import type { EntryTable } from "./entry-table.ts";
import type { MetadataContext } from "./metadata.ts";
import { timeText } from "./metadata.ts";

export interface ChangeRules {
  ignoreCtime: boolean;
  ignoreInode: boolean;
  metadata: MetadataContext;
  /** Knows which data blobs the repository has. */
  store: { hasData(id: Uint8Array): boolean };
}

/** True when the entry need not be read again; `node` is what the earlier snapshot has under its name. */
export function isUnchanged(
  table: EntryTable,
  entry: number,
  node: TreeNode,
  rules: ChangeRules,
): boolean {
  if (node.type !== "file" || node.content === null) return false;
  if (BigInt(node.size) !== BigInt(table.size(entry))) return false;
  // Mostly the text is the same; another zone writes the same instant differently.
  const sameTime = (text: string, time: bigint): boolean =>
    text === timeText(rules.metadata, time) || parseTime(text) === time;
  if (!sameTime(node.mtime, table.mtime(entry))) return false;
  if (!rules.ignoreCtime && !sameTime(node.ctime, table.ctime(entry))) return false;
  if (!rules.ignoreInode && node.inode !== table.inode(entry)) return false;
  return node.content.every((id) => rules.store.hasData(fromHex(id)));
}
