// A snapshot made anew: without what is not wanted, or under another host or time. The new one is durable, with all that it
// refers to, before the old one goes, if it goes at all.

import type { Id } from "../base/bytes.ts";
import type { BlobReader } from "../repository/blob-reader.ts";
import type { Repository } from "../repository/repository.ts";
import type { FoundSnapshot } from "../repository/snapshots.ts";
import type { RepositoryWriter } from "../repository/writer.ts";
import { GO_ZERO_TIME } from "../restic/go-time.ts";
import { encodeSnapshot } from "../restic/snapshot.ts";
import type { Snapshot, SnapshotSummary } from "../restic/snapshot.ts";
import { rewriteTree } from "./rewrite-tree.ts";
import type { RewriteOptions } from "./rewrite-tree.ts";
import type { Selector } from "./selection.ts";

export interface Relabelling {
  hostname: string | undefined;
  /** RFC 3339. */
  time: string | undefined;
}

export interface SnapshotRewriteOptions extends Pick<
  RewriteOptions,
  "onEntry" | "onEmptyDirectory"
> {
  repository: Repository;
  /** Where to read and store trees. */
  reader: BlobReader;
  writer: RepositoryWriter;
  /** What stays; undefined where trees stay as they are. */
  select: Selector | undefined;
  /** What is selected was asked for, as against what was not excluded. */
  includes: boolean;
  relabelling: Relabelling;
  /** Remove the old snapshot, for which the caller holds an exclusive lock. Otherwise the new one gets a tag. */
  forget: boolean;
  /** Only find out what would change. */
  dryRun: boolean;
  signal?: AbortSignal | undefined;
}

/** Of new snapshots beside which the old ones stay. */
const TAG = "rewrite";

/** The new snapshot's id, "" for a dry run; undefined when nothing is to change. */
export async function rewriteSnapshot(
  found: FoundSnapshot,
  options: SnapshotRewriteOptions,
): Promise<Id | undefined> {
  const { repository, writer, forget, dryRun, signal } = options;
  const changed = await changedSnapshot(found, options);
  if (changed === undefined || dryRun) return changed && "";
  await writer.finish();
  const { tags } = changed;
  // Whatever it was a copy of, it is now one of this snapshot.
  const fresh: Snapshot = {
    ...changed,
    original: found.id,
    tags: forget || tags.includes(TAG) ? tags : [...tags, TAG],
  };
  const id = await repository.save("snapshot", encodeSnapshot(fresh), signal);
  if (forget) await repository.remove("snapshot", found.id, signal);
  return id;
}

/** The snapshot as it is to be, or undefined when that is how it is. */
async function changedSnapshot(
  { snapshot }: FoundSnapshot,
  options: SnapshotRewriteOptions,
): Promise<Snapshot | undefined> {
  const { select, includes, relabelling } = options;
  const { hostname = snapshot.hostname, time = snapshot.time } = relabelling;
  const isRelabelled = relabelling.hostname !== undefined || relabelling.time !== undefined;
  const relabelled = { ...snapshot, hostname, time };
  if (select === undefined) return isRelabelled ? relabelled : undefined;
  const { tree, files, bytes } = await rewriteTree({
    ...options,
    tree: snapshot.tree,
    select,
    // What was excluded leaves an empty directory; what was not included leaves nothing.
    keepsEmpty: (path) => !includes || select(path, true).selected,
  });
  // Nothing was included: an empty snapshot is nobody's wish.
  if (tree === undefined) return undefined;
  const summary: SnapshotSummary = {
    ...(snapshot.summary ?? NO_SUMMARY),
    totalFilesProcessed: files,
    totalBytesProcessed: bytes,
  };
  const sameSummary =
    snapshot.summary?.totalFilesProcessed === files &&
    snapshot.summary.totalBytesProcessed === bytes;
  if (tree === snapshot.tree && sameSummary && !isRelabelled) return undefined;
  return { ...relabelled, tree, summary };
}

const NO_SUMMARY: SnapshotSummary = {
  backupStart: GO_ZERO_TIME,
  backupEnd: GO_ZERO_TIME,
  filesNew: 0,
  filesChanged: 0,
  filesUnmodified: 0,
  dirsNew: 0,
  dirsChanged: 0,
  dirsUnmodified: 0,
  dataBlobs: 0,
  treeBlobs: 0,
  dataAdded: 0,
  dataAddedPacked: 0,
  totalFilesProcessed: 0,
  totalBytesProcessed: 0,
  extra: {},
};
