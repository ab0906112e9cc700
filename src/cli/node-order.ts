// The orders in which `ls` can list entries.

import type { WalkedEntry } from "../files/snapshot-walk.ts";
import { parseTime } from "../restic/go-time.ts";

type ComparedEntry = Pick<WalkedEntry, "path" | "node">;

export type EntryOrder = "name" | "size" | "mtime" | "atime" | "ctime" | "extension";

/** The values of --sort. By name is the order of the walk, which costs nothing. */
export const ENTRY_ORDERS: Readonly<Record<string, EntryOrder>> = {
  name: "name",
  size: "size",
  time: "mtime",
  mtime: "mtime",
  atime: "atime",
  ctime: "ctime",
  extension: "extension",
};

/** Compares two entries, by their paths where the order makes no difference. */
export function compareEntries(
  order: Exclude<EntryOrder, "name">,
): (a: ComparedEntry, b: ComparedEntry) => number {
  return (a, b) => compare(keyOf(order, a), keyOf(order, b)) || compare(a.path, b.path);
}

function keyOf(order: Exclude<EntryOrder, "name">, { path, node }: ComparedEntry): string | bigint {
  // Only a file has a size worth the name.
  if (order === "size") return node.type === "file" ? BigInt(node.size) : 0n;
  if (order === "extension") return /\.[^./]*$/.exec(path)?.[0] ?? "";
  return parseTime(node[order]);
}

function compare<T extends string | bigint>(a: T, b: T): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
