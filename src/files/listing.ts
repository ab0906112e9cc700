// The listing of one directory of a snapshot, read such that an error tells whose it is. Must never say where a listing is that
// nobody can find again: both the path and the id of the tree are named.

import type { Id } from "../base/bytes.ts";
import { HoldfastError, isHoldfastError } from "../base/errors.ts";
import type { BlobReader } from "../repository/blob-reader.ts";
import { byteStringToText } from "../restic/byte-string.ts";
import { quoteName } from "../restic/go-quote.ts";
import { iterateTree } from "../restic/tree.ts";
import type { TreeNode } from "../restic/tree-node.ts";

/** Which listing is meant. */
export interface ListingPlace {
  /** Of the directory in the snapshot, a byte string. */
  readonly path: string;
  readonly tree: Id;
}

/** All entries. BLOB_MISSING, BLOB_DAMAGED; TREE_DAMAGED or TREE_HOSTILE with the names of the place. */
export async function readListing(
  reader: Pick<BlobReader, "read">,
  place: ListingPlace,
  signal?: AbortSignal,
): Promise<TreeNode[]> {
  return [...iterateListing(await reader.read("tree", place.tree, signal), place)];
}

/** The entries in the bytes of a listing, one by one. TREE_DAMAGED or TREE_HOSTILE with the names of the place. */
export function* iterateListing(
  bytes: Uint8Array,
  place: ListingPlace,
): Generator<TreeNode, void, undefined> {
  try {
    yield* iterateTree(bytes);
  } catch (error) {
    throw namedListingError(error, place);
  }
}

/** An error with the names of the place in front when it is about what a listing says; any other as it is. */
export function namedListingError(error: unknown, { path, tree }: ListingPlace): unknown {
  if (!isHoldfastError(error, "TREE_DAMAGED", "TREE_HOSTILE")) return error;
  const message = `"${byteStringToText(quoteName(path))}", tree ${tree}: ${error.message}`;
  const hint =
    error.hint ?? "`check` gives the whole picture; `repair snapshots` makes copies without it.";
  return new HoldfastError(error.code, message, { hint, cause: error });
}
