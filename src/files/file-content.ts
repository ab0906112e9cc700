// Reads the content of a file of a snapshot from its beginning to its end.

import type { BlobReader } from "../repository/blob-reader.ts";
import type { TreeNode } from "../restic/tree-node.ts";

export interface FileContentOptions {
  reader: Pick<BlobReader, "read">;
  /** A file. */
  node: TreeNode;
  /** Blobs to fetch at once, which is also how many are in memory: at most 8 MiB each. */
  ahead: number;
  signal?: AbortSignal | undefined;
}

/** The pieces of a file's content in order, each proved to match its id. BLOB_MISSING or BLOB_DAMAGED. */
export async function* readFileContent(options: FileContentOptions): AsyncGenerator<Uint8Array> {
  const { reader, node, ahead, signal } = options;
  const content = node.content ?? [];
  const fetching: Promise<Uint8Array>[] = [];
  let next = 0;
  try {
    while (next < content.length || fetching.length > 0) {
      while (next < content.length && fetching.length < ahead) {
        const blob = reader.read("data", content[next++]!, signal);
        // Told when its turn comes.
        blob.catch(() => {});
        fetching.push(blob);
      }
      yield await fetching.shift()!;
    }
  } finally {
    await Promise.allSettled(fetching);
  }
}
