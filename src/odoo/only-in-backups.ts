// Files that are good in the backups alone: rows refer to them, and the source has lost or spoiled them since. What the newest
// capture records of them decides whether old snapshots may go: one of those may have the last good copy.

import { isHoldfastError } from "../base/errors.ts";
import { findNode } from "../files/find-path.ts";
import { readFileContent } from "../files/file-content.ts";
import { BlobReader } from "../repository/blob-reader.ts";
import { loadIndex } from "../repository/index-loader.ts";
import type { Repository } from "../repository/repository.ts";
import type { Snapshot } from "../restic/snapshot.ts";
import { textToByteString } from "../restic/byte-string.ts";
import {
  CORRUPT_FILE,
  decodeLines,
  MISSING_FILE,
  sideFolder,
  type CorruptAtSource,
} from "./capture-side-files.ts";

/** How many there are, by that capture. Throws what the storage throws, and what is wrong with blobs of the lists. */
export async function countOnlyInBackups(
  captures: Repository,
  capture: Pick<Snapshot, "tree">,
  { database, signal }: { readonly database: string; readonly signal?: AbortSignal | undefined },
): Promise<number> {
  const { index } = await loadIndex(captures, { signal });
  const reader = new BlobReader(captures, index);
  const names = new Set<string>();
  for (const file of [MISSING_FILE, CORRUPT_FILE]) {
    const path = textToByteString(`${sideFolder(database)}/${file}`);
    const node = await findNode(reader, capture.tree, path, signal).catch((error: unknown) => {
      if (isHoldfastError(error, "PATH_NOT_FOUND")) return undefined;
      throw error;
    });
    if (node === undefined) continue;
    const pieces: Uint8Array[] = [];
    for await (const piece of readFileContent({ reader, node, ahead: 2, signal }))
      pieces.push(piece);
    for (const line of decodeLines<CorruptAtSource>(Buffer.concat(pieces))) {
      // Nobody needs a spoiled file that no row refers to; where no database was asked, nobody knows.
      if (line.stored && line.referenced !== false) names.add(line.sha1);
    }
  }
  return names.size;
}
