// The newest full snapshot that has a filestore in it, and what it may be trusted for.
//
// Whoever made it may have mounted the volume somewhere else, and with other databases beside: so the filestore is looked for
// by its path, then by the name of its database, then by its form. A file that was young when the scan began may have been
// caught half-written; such names, and those of empty files, are listed but not trusted.

import type { Id } from "../../base/bytes.ts";
import type { HoldfastError } from "../../base/errors.ts";
import { BlobReader } from "../../repository/blob-reader.ts";
import { isListingDamage } from "../../repository/listing-damage.ts";
import { loadIndex } from "../../repository/index-loader.ts";
import type { Repository } from "../../repository/repository.ts";
import { listSnapshots } from "../../repository/snapshots.ts";
import { parseTime } from "../../restic/go-time.ts";
import type { Snapshot } from "../../restic/snapshot.ts";
import { iterateTree } from "../../restic/tree.ts";
import type { TreeNode } from "../../restic/tree-node.ts";
import { eachPoolFile } from "../pool-files.ts";
import { Sha1Set } from "../sha1-set.ts";
import { EMPTY_SHA1, isSha1, isStoreFolder } from "../store-name.ts";
import { KnownFiles } from "./known-files.ts";
import { partsOf } from "./path-tree.ts";

/** A file that changed less than this before the scan began may have been caught half-written. */
const YOUNG_MS = 60_000;
/** How deep below the root of a snapshot a filestore is looked for, and in how many folders. */
const DEPTH_MAX = 10;
const FOLDERS_MAX = 5000;

export interface FullSnapshot {
  readonly id: Id;
  /** When its scan began, in milliseconds since 1970. */
  readonly begin: number;
  /** The filestore's folder in it. */
  readonly tree: Id;
}

export interface FullSnapshotOptions {
  readonly repository: Repository;
  /** Absolute path of the filestore, as text. */
  readonly folder: string;
  readonly database: string;
  /** Told what could not be read; what it names is read from the source again. */
  readonly onDamage: (error: HoldfastError) => void;
  readonly signal?: AbortSignal | undefined;
}

/** The names that a full snapshot has. */
export interface FullNames {
  /** Content is safe in the snapshot, as far as one can tell without reading it. */
  readonly trusted: KnownFiles;
  /** Listed, but the content may not be that of the name. */
  readonly doubtful: Sha1Set;
}

/** Finds the newest one; undefined when no snapshot has this filestore in it. */
export async function newestFullSnapshot(
  options: FullSnapshotOptions,
): Promise<{ readonly snapshot: FullSnapshot; readonly reader: BlobReader } | undefined> {
  const { repository, onDamage, signal } = options;
  const snapshots = await listSnapshots(repository, {
    signal,
    onDamage: (_, error) => onDamage(error),
  });
  if (snapshots.length === 0) return undefined;
  const { index } = await loadIndex(repository, {
    signal,
    onDamage: (_, error) => onDamage(error),
  });
  const reader = new BlobReader(repository, index);
  for (const { id, snapshot } of snapshots.toReversed()) {
    const tree = await tolerant(onDamage, () => filestoreIn(snapshot, { ...options, reader }));
    if (tree !== undefined) return { snapshot: { id, begin: beginOf(snapshot), tree }, reader };
  }
  return undefined;
}

/** All names of a full snapshot's filestore. */
export async function fullNames(
  { begin, tree }: FullSnapshot,
  reader: BlobReader,
  { onDamage, signal }: Pick<FullSnapshotOptions, "onDamage" | "signal">,
): Promise<FullNames> {
  const trusted = new KnownFiles();
  const doubtful = new Sha1Set(100);
  const youngFrom = BigInt(begin - YOUNG_MS) * 1_000_000n;
  await eachPoolFile({
    reader,
    trees: [tree],
    walked: new Set(),
    visit: (node) => {
      if (isSafe(node, youngFrom)) trusted.addListed(node.name, Number(node.size));
      else doubtful.add(node.name);
    },
    onDamage: (_, error) => onDamage(error),
    signal,
  });
  return { trusted, doubtful };
}

/** Also not the markers of `checklist/`, which are empty files. */
function isSafe(node: TreeNode, youngFrom: bigint): boolean {
  if (Number(node.size) === 0 && node.name !== EMPTY_SHA1) return false;
  return parseTime(node.mtime) < youngFrom;
}

function beginOf(snapshot: Snapshot): number {
  const text = snapshot.summary?.backupStart || snapshot.time;
  return Number(parseTime(text) / 1_000_000n);
}

interface Search extends FullSnapshotOptions {
  readonly reader: BlobReader;
}

async function filestoreIn(snapshot: Snapshot, search: Search): Promise<Id | undefined> {
  const { reader, folder, signal } = search;
  let at: Id | undefined = snapshot.tree;
  for (const part of partsOf(folder)) {
    let next: Id | undefined;
    for (const node of iterateTree(await reader.read("tree", at, signal))) {
      if (node.name === part && node.subtree !== null) next = node.subtree;
    }
    at = next;
    if (at === undefined) break;
  }
  return at ?? (await searchByForm(snapshot, search));
}

/** Looks for a folder of folders of SHA-1s: one with the database's name, or else the only one that there is. */
async function searchByForm(
  snapshot: Snapshot,
  { reader, database, signal }: Search,
): Promise<Id | undefined> {
  let waiting: { name: string; tree: Id }[] = [{ name: "", tree: snapshot.tree }];
  const others: Id[] = [];
  let looked = 0;
  for (let depth = 0; depth < DEPTH_MAX && waiting.length > 0; depth++) {
    const next: typeof waiting = [];
    for (const { name, tree } of waiting) {
      if (++looked > FOLDERS_MAX) return undefined;
      const folders = [...iterateTree(await reader.read("tree", tree, signal))].flatMap((node) =>
        node.subtree === null ? [] : [{ name: node.name, tree: node.subtree }],
      );
      const store = folders.find((one) => isStoreFolder(one.name));
      if (store !== undefined && (await hasFiles(store.tree, reader, signal))) {
        if (name === database) return tree;
        others.push(tree);
      } else next.push(...folders);
    }
    waiting = next;
  }
  return others.length === 1 ? others[0] : undefined;
}

async function hasFiles(tree: Id, reader: BlobReader, signal?: AbortSignal): Promise<boolean> {
  for (const node of iterateTree(await reader.read("tree", tree, signal))) {
    if (node.type === "file" && isSha1(node.name)) return true;
  }
  return false;
}

async function tolerant<T>(
  onDamage: FullSnapshotOptions["onDamage"],
  work: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (!isListingDamage(error)) throw error;
    onDamage(error);
    return undefined;
  }
}
