// Makes a directory tree durable: every file, then the names in every directory. Follows no links.

import { open, readdir } from "node:fs/promises";
import { join } from "node:path";
import { eachLimit } from "../../base/concurrency.ts";
import { syncFolder } from "./target-folders.ts";

/** Files under way at once: a disk that is asked for several together takes less time. */
const PARALLEL = 16;

/** Resolves when all of `root` is on disk. */
export async function syncTree(root: string, signal: AbortSignal | undefined): Promise<void> {
  const folders: string[] = [];
  await eachLimit(filesBelow(root, folders), PARALLEL, syncFile, { signal });
  await eachLimit(folders, PARALLEL, syncFolder, { signal });
}

async function* filesBelow(folder: string, folders: string[]): AsyncGenerator<string, void> {
  folders.push(folder);
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* filesBelow(path, folders);
    else if (entry.isFile()) yield path;
  }
}

async function syncFile(path: string): Promise<void> {
  // For reading: a file may be one that its owner cannot write.
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
