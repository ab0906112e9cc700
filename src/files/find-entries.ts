// Searching a snapshot: entries by patterns on their paths and by their times of change, as restic's `find` means them.

import type { Id } from "../base/bytes.ts";
import type { HoldfastError } from "../base/errors.ts";
import type { BlobReader } from "../repository/blob-reader.ts";
import { parseTime } from "../restic/go-time.ts";
import { compilePatterns, matches } from "./patterns.ts";
import { walkSnapshot } from "./snapshot-walk.ts";
import type { WalkedEntry } from "./snapshot-walk.ts";

export interface EntrySearch {
  patterns: readonly string[];
  ignoreCase: boolean;
  /** Nanoseconds since 1970: only what was changed from then on, or until then. */
  oldest: bigint | undefined;
  newest: bigint | undefined;
}

export interface SearchedTree {
  reader: Pick<BlobReader, "read">;
  tree: Id;
  onDamage: (tree: Id, error: HoldfastError) => void;
  signal?: AbortSignal | undefined;
}

/** A search that can be run over many trees. Throws USAGE for a malformed pattern. */
export function compileSearch(
  search: EntrySearch,
): (searched: SearchedTree) => AsyncGenerator<WalkedEntry> {
  const list = compilePatterns(search.patterns, { ignoreCase: search.ignoreCase });
  const findsAll = search.patterns.includes("");
  return async function* (searched) {
    let enters = true;
    for await (const entry of walkSnapshot({ ...searched, enters: () => enters })) {
      const match = matches(list, entry.path);
      const found = (findsAll || match.matched) && isBetween(entry.node.mtime, search);
      enters = findsAll || found || match.childMayMatch;
      if (found) yield entry;
    }
  };
}

function isBetween(mtime: string, { oldest, newest }: EntrySearch): boolean {
  if (oldest === undefined && newest === undefined) return true;
  const time = parseTime(mtime);
  return (oldest === undefined || time >= oldest) && (newest === undefined || time <= newest);
}

/** Where something that was searched for lies. */
export interface FoundObject {
  kind: "blob" | "tree";
  id: Id;
  /** Path in the snapshot, a byte string. */
  path: string;
  /** For a blob: the listing that names the file. */
  parentTree: Id | undefined;
}

export interface ObjectSearch {
  /** Ids, whole or their first eight digits. */
  blobs: ReadonlySet<string>;
  trees: ReadonlySet<string>;
}

/** Each place of the wanted blobs in a snapshot, and a first place of each wanted tree. */
export async function* findObjects(
  { blobs, trees }: ObjectSearch,
  searched: SearchedTree,
): AsyncGenerator<FoundObject> {
  const wants = (wanted: ReadonlySet<string>, id: Id): boolean =>
    wanted.has(id) || wanted.has(id.slice(0, SHORT_DIGITS));
  let seen = 0;
  const met = new Set<Id>();
  const isNewTree = (id: Id): boolean => {
    if (!wants(trees, id) || met.has(id)) return false;
    met.add(id);
    seen++;
    return true;
  };
  const isDone = (): boolean => blobs.size === 0 && seen >= trees.size;
  if (isNewTree(searched.tree)) {
    yield { kind: "tree", id: searched.tree, path: "/", parentTree: undefined };
  }
  if (isDone()) return;
  for await (const { path, node, tree } of walkSnapshot(searched)) {
    if (node.subtree !== null && isNewTree(node.subtree)) {
      yield { kind: "tree", id: node.subtree, path, parentTree: undefined };
      if (isDone()) return;
    }
    if (blobs.size === 0) continue;
    for (const id of node.content ?? []) {
      if (wants(blobs, id)) yield { kind: "blob", id, path, parentTree: tree };
    }
  }
}

const SHORT_DIGITS = 8;
