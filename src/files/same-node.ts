// Whether two entries of listings are the same in all that restic compares: everything but how their times are spelled.

import { parseTime } from "../restic/go-time.ts";
import type { ExtendedAttribute, TreeNode } from "../restic/tree-node.ts";

const PLAIN = [
  "name",
  "type",
  "mode",
  "uid",
  "gid",
  "user",
  "group",
  "inode",
  "deviceId",
  "size",
  "links",
  "linkTarget",
  "device",
  "subtree",
  "error",
  "genericAttributes",
] as const;

const TIMES = ["mtime", "atime", "ctime"] as const;

/** True when nothing differs. */
export function sameNode(a: TreeNode, b: TreeNode): boolean {
  return (
    PLAIN.every((field) => a[field] === b[field]) &&
    TIMES.every((field) => a[field] === b[field] || parseTime(a[field]) === parseTime(b[field])) &&
    sameContent(a.content, b.content) &&
    sameAttributes(a.extendedAttributes ?? [], b.extendedAttributes ?? [])
  );
}

/** No list differs from an empty one, as restic sees it: a file without blobs is not a thing without content. */
function sameContent(a: TreeNode["content"], b: TreeNode["content"]): boolean {
  if (a === null || b === null) return a === b;
  return a.length === b.length && a.every((id, i) => id === b[i]);
}

/** In any order. */
function sameAttributes(a: readonly ExtendedAttribute[], b: readonly ExtendedAttribute[]): boolean {
  if (a.length !== b.length) return false;
  const valueOf = ({ value }: ExtendedAttribute): Buffer => Buffer.from(value ?? []);
  return a.every((one) =>
    b.some((two) => one.name === two.name && valueOf(one).equals(valueOf(two))),
  );
}
