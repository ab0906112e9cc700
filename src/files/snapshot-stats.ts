// How much snapshots hold, counted in one of restic's four ways:
//
//   restore-size       all entries, and the bytes that a restore of each snapshot would write; hard links count once
//   files-by-contents  what has the same content counts once, in all snapshots together
//   blobs-per-file     files by content and path, and the blobs that each is made of
//   raw-data           the blobs themselves, each once, as they are stored
//
// What cannot be read ends the count: a sum that leaves something out is none.

import { fromHex, sha256Hex } from "../base/bytes.ts";
import type { Id } from "../base/bytes.ts";
import { HoldfastError } from "../base/errors.ts";
import type { BlobReader } from "../repository/blob-reader.ts";
import { EntrySet, createEntrySetMemory } from "../repository/entry-set.ts";
import { SEAL_BYTES } from "../restic/crypto.ts";
import type { TreeNode } from "../restic/tree-node.ts";
import { walkSnapshot } from "./snapshot-walk.ts";

export const COUNT_MODES = [
  "restore-size",
  "files-by-contents",
  "blobs-per-file",
  "raw-data",
] as const;
export type CountMode = (typeof COUNT_MODES)[number];

export interface SnapshotStats {
  snapshots: number;
  /** Entries or files, by the mode; 0 where it counts none. */
  files: number;
  blobs: number;
  bytes: number;
  /** Of raw data: what it would take if nothing were compressed; of what is compressed, before and after. */
  uncompressedBytes: number;
  compressedFrom: number;
  compressedTo: number;
}

/** What restic's progress tells: of the last snapshot, but of all for raw data. */
export interface StatsProgress {
  entries: number;
  blobs: number;
  bytes: number;
}

export class StatsCounter {
  progress: StatsProgress = { entries: 0, blobs: 0, bytes: 0 };
  readonly stats: SnapshotStats = {
    snapshots: 0,
    files: 0,
    blobs: 0,
    bytes: 0,
    uncompressedBytes: 0,
    compressedFrom: 0,
    compressedTo: 0,
  };
  readonly #reader: BlobReader;
  readonly #mode: CountMode;
  readonly #signal: AbortSignal | undefined;
  /** Contents that were met, by the hash of their blobs. */
  readonly #contents = new Set<string>();
  /** Blobs of files by path. */
  readonly #blobsOf = new Map<string, Set<Id>>();
  /** First entries of blobs that were met. */
  readonly #met: EntrySet;

  constructor(options: { reader: BlobReader; mode: CountMode; signal?: AbortSignal | undefined }) {
    this.#reader = options.reader;
    this.#mode = options.mode;
    this.#signal = options.signal;
    this.#met = new EntrySet(createEntrySetMemory(options.reader.index.count));
  }

  /** Counts a snapshot's tree. Throws what the walk throws, and BLOB_MISSING. */
  async add(tree: Id): Promise<void> {
    this.stats.snapshots++;
    const isRaw = this.#mode === "raw-data";
    if (!isRaw) this.progress = { entries: 0, blobs: 0, bytes: 0 };
    const count = this.#counting();
    if (isRaw && !this.#meet("tree", tree)) return;
    let enters = true;
    const walk = { reader: this.#reader, tree, enters: () => enters, signal: this.#signal };
    for await (const { path, node } of walkSnapshot(walk)) {
      enters = count(path, node);
      if (isRaw) continue;
      this.progress.entries++;
      this.progress.bytes += Number(node.size);
    }
  }

  /** What to do with an entry; false where nothing new is in it. */
  #counting(): (path: string, node: TreeNode) => boolean {
    if (this.#mode === "raw-data") return (_, node) => this.#addBlobs(node);
    if (this.#mode === "blobs-per-file") return (path, node) => this.#addFileBlobs(path, node);
    if (this.#mode === "files-by-contents") return (_, node) => this.#addContent(node);
    const links = new Set<string>();
    return (_, node) => this.#addRestored(node, links);
  }

  #addRestored(node: TreeNode, links: Set<string>): true {
    this.stats.files++;
    if (node.type !== "dir" && node.links !== 1 && node.inode !== 0) {
      const link = `${node.deviceId}:${node.inode}`;
      if (links.has(link)) return true;
      links.add(link);
    }
    this.stats.bytes += Number(node.size);
    return true;
  }

  #addContent(node: TreeNode): true {
    if (this.#isNewContent(node)) {
      this.stats.files++;
      this.stats.bytes += Number(node.size);
    }
    return true;
  }

  #addFileBlobs(path: string, node: TreeNode): true {
    if (!this.#isNewContent(node)) return true;
    for (const id of node.content ?? []) {
      this.progress.blobs++;
      let blobs = this.#blobsOf.get(path);
      if (blobs === undefined) {
        this.#blobsOf.set(path, (blobs = new Set()));
        this.stats.files++;
      }
      if (blobs.has(id)) continue;
      blobs.add(id);
      this.stats.blobs++;
      this.stats.bytes += this.#reader.index.plainLength(this.#entryOf("data", id));
    }
    return true;
  }

  #addBlobs({ content, subtree }: TreeNode): boolean {
    for (const id of content ?? []) this.#meet("data", id);
    return subtree !== null && this.#meet("tree", subtree);
  }

  /** Counts a blob, unless it was met before: then false. */
  #meet(type: "data" | "tree", id: Id): boolean {
    const { index } = this.#reader;
    const entry = this.#entryOf(type, id);
    if (!this.#met.add(entry)) return false;
    const { stats, progress } = this;
    const stored = index.storedLength(entry);
    const uncompressed = index.plainLength(entry) + SEAL_BYTES;
    stats.blobs++;
    stats.bytes += stored;
    progress.blobs++;
    progress.bytes += stored;
    stats.uncompressedBytes += uncompressed;
    if (index.uncompressedLength(entry) === 0) return true;
    stats.compressedFrom += uncompressed;
    stats.compressedTo += stored;
    return true;
  }

  #entryOf(type: "data" | "tree", id: Id): number {
    const entry = this.#reader.index.find(type, fromHex(id));
    if (entry >= 0) return entry;
    throw new HoldfastError("BLOB_MISSING", `${type} blob ${id} is in no index`, {
      hint: "Run `holdfast check` for the whole picture.",
    });
  }

  #isNewContent({ content }: TreeNode): boolean {
    const ids = content ?? [];
    const key = ids.length > 1 ? sha256Hex(Buffer.from(ids.join(""), "hex")) : (ids[0] ?? "");
    if (this.#contents.has(key)) return false;
    this.#contents.add(key);
    return true;
  }
}
