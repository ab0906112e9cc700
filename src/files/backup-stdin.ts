// Backs up what arrives on a descriptor, such as the output of pg_dump on standard input, as one file.

import { toHex } from "../base/bytes.ts";
import type { Id } from "../base/bytes.ts";
import { HoldfastError } from "../base/errors.ts";
import { GO_MODE } from "../restic/file-mode.ts";
import { encodeTree } from "../restic/tree.ts";
import { createNode } from "../restic/tree-node.ts";
import type { BatchResult } from "./backup-messages.ts";
import type { BackupStore } from "./backup-store.ts";
import type { WalkResult } from "./backup-walk.ts";
import type { MetadataContext } from "./metadata.ts";
import { timeText } from "./metadata.ts";
import { ScanCacheBuilder } from "./scan-cache.ts";

const STDIN = 0;
/** Permission bits 0644. */
const MODE = 0o644;

/** Permission bits of directories, 0755. */
const DIRECTORY_MODE = 0o755;

/** Reads standard input to its end and makes a tree with one file of it. */
export async function backUpStdin(options: {
  store: BackupStore;
  /** Path of the file in the snapshot, a byte string: "dump.sql" or "db/dump.sql". */
  name: string;
  metadata: MetadataContext;
  uid: number;
  gid: number;
  /** ns since 1970. */
  time: bigint;
}): Promise<WalkResult> {
  const { store, metadata, uid, gid } = options;
  const directories = options.name.split("/").filter((part) => part !== "");
  const name = directories.pop()!;
  let result: BatchResult | undefined;
  const request = { type: "files" as const, batch: 0, paths: [name], descriptor: STDIN };
  await store.readFiles(request, (read) => (result = read));
  await store.finishFiles();
  const failure = result!.failures[0];
  if (failure !== undefined) {
    throw new HoldfastError("SOURCE_UNREADABLE", `standard input: ${failure.message}`);
  }
  const content: Id[] = [];
  for (let at = 0; at < result!.ids.length; at += 32) {
    content.push(toHex(result!.ids.subarray(at, at + 32)));
  }
  const bytes = result!.sizes[0]!;
  const time = timeText(metadata, options.time);
  const common = {
    mtime: time,
    atime: time,
    ctime: time,
    uid,
    gid,
    user: metadata.owners.user(uid),
    group: metadata.owners.group(gid),
  };
  const file = createNode({ name, type: "file", mode: MODE, ...common, size: bytes, content });
  let tree = await store.addTree(encodeTree([file]));
  for (const directory of directories.reverse()) {
    const mode = (GO_MODE.directory | DIRECTORY_MODE) >>> 0;
    const node = createNode({ name: directory, type: "dir", mode, ...common, subtree: tree });
    tree = await store.addTree(encodeTree([node]));
  }
  return {
    tree,
    counts: {
      files: { new: 1, changed: 0, unmodified: 0 },
      dirs: { new: directories.length, changed: 0, unmodified: 0 },
      totalFiles: 1,
      totalBytes: bytes,
    },
    cache: new ScanCacheBuilder(),
  };
}
