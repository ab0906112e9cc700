// Walks the sources of a backup and turns every directory into a tree (docs/decisions/scan-cache.md).
//
// One directory at a time: list, lstat all entries, compare their fingerprint with the scan cache. Equal: its files are
// not looked at again. Otherwise its tree of the parent snapshot tells which files are unchanged; the others go to
// the workers. A directory's tree is made once all its entries are known, so memory holds the open directories only.
// The repository may still be opening: the walk waits for it only where it needs it.

import { setImmediate as yieldOnce } from "node:timers/promises";
import type { Id } from "../base/bytes.ts";
import type { Clock } from "../base/clock.ts";
import { throwIfCancelled } from "../base/cancellation.ts";
import { HoldfastError, messageOf } from "../base/errors.ts";
import { byteStringToText } from "../restic/byte-string.ts";
import { decodeTree } from "../restic/tree.ts";
import { encodeNode } from "../restic/tree-node.ts";
import type { TreeNode } from "../restic/tree-node.ts";
import { createFrame, identityOf, isNamed, pathOf, settleNode } from "./backup-frame.ts";
import type { Change, Frame } from "./backup-frame.ts";
import { addEntry, addListing, isStillThere, listNames } from "./backup-listing.ts";
import type { ListingOptions } from "./backup-listing.ts";
import { FileQueue } from "./backup-queue.ts";
import type { QueuedFile, ReadFile } from "./backup-queue.ts";
import { StaleScanCache } from "./backup-store.ts";
import type { BackupStore } from "./backup-store.ts";
import type { Target } from "./backup-targets.ts";
import { joinPath } from "./entry-table.ts";
import { isUnchanged } from "./change-detection.ts";
import { ListingAhead } from "./listing-ahead.ts";
import { nodeOf } from "./metadata.ts";
import type { ScanCache } from "./scan-cache.ts";
import { ScanCacheBuilder, hashEntries, hashSubtrees } from "./scan-cache.ts";

/** How long the walk may keep the thread before messages are handled. */
const SLICE_MS = 3;
const SLICE_ENTRIES = 32;

export interface WalkCounts {
  files: Record<Change, number>;
  dirs: Record<Change, number>;
  totalFiles: number;
  totalBytes: number;
}

export interface WalkEvents {
  /** Entries found: files and their bytes. */
  found(files: number, bytes: number): void;
  /** Everything was found: nothing more will be. */
  foundAll(): void;
  /** Files dealt with. */
  done(files: number, bytes: number): void;
  current(path: string): void;
  /** A file or directory that is left out because it cannot be read. */
  failed(path: string, error: HoldfastError): void;
  /** One file or directory that is settled; only for those who asked for every item. */
  item?(change: Change, kind: "file" | "dir", path: string, bytes: number): void;
}

export interface WalkOptions extends ListingOptions {
  root: Target;
  ignoreCtime: boolean;
  ignoreInode: boolean;
  cache: ScanCache | undefined;
  clock: Clock;
  store: BackupStore;
  events: WalkEvents;
  signal: AbortSignal | undefined;
}

/** The tree of the whole snapshot, and what was seen on the way. */
export interface WalkResult {
  tree: Id;
  counts: WalkCounts;
  cache: ScanCacheBuilder;
}

export class BackupWalk {
  readonly #options: WalkOptions;
  readonly #cacheBuilder = new ScanCacheBuilder();
  readonly #counts: WalkCounts = {
    files: { new: 0, changed: 0, unmodified: 0 },
    dirs: { new: 0, changed: 0, unmodified: 0 },
    totalFiles: 0,
    totalBytes: 0,
  };
  readonly #queue: FileQueue;
  #sliceEnd = 0;
  #entriesInSlice = 0;
  #failure: unknown;
  readonly #ahead: ListingAhead;

  constructor(options: WalkOptions) {
    this.#options = options;
    this.#ahead = new ListingAhead(options.metadata.withAtime);
    const { store, events } = options;
    this.#queue = new FileQueue(store, (file, read) => this.#onRead(file, read), events.current);
  }

  async run(): Promise<WalkResult> {
    try {
      return await this.#run();
    } finally {
      await this.#ahead.close();
    }
  }

  async #run(): Promise<WalkResult> {
    const { root, store } = this.#options;
    let tree: Id | undefined;
    await new Promise<void>((resolve, reject) => {
      const frame = createFrame({
        snapshotPath: "/",
        path: root.path,
        targets: root.children,
        device: undefined,
        isNamed: false,
        identity: undefined,
        record: this.#options.cache?.get("/"),
        finish: (id) => {
          tree = id;
          // The tree of the root is known before the workers have handed over their last packs.
          visiting.then(resolve, reject);
        },
      });
      const visiting = this.#visitRoot(frame);
      visiting.catch(reject);
    });
    if (this.#failure !== undefined) throw this.#failure;
    await store.settle();
    return { tree: tree!, counts: this.#counts, cache: this.#cacheBuilder };
  }

  async #visitRoot(frame: Frame): Promise<void> {
    frame.previousTree = frame.record?.tree;
    await this.#visit(frame);
    this.#options.events.foundAll();
    await this.#queue.flush();
    await this.#options.store.finishFiles();
  }

  async #visit(frame: Frame): Promise<void> {
    if (!(await this.#list(frame))) return frame.finish(undefined, "new");
    frame.entriesHash = hashEntries(frame.table);
    frame.same = frame.record !== undefined && frame.record.entries === frame.entriesHash;
    this.#count(frame);
    if (!frame.same) await this.#loadPrevious(frame);
    const { table } = frame;
    let directories = 0;
    for (let entry = 0; entry < table.length; entry++) {
      const kind = table.kind(entry);
      if (kind === "dir") {
        if (directories++ % 2 === 0) this.#requestAhead(frame, entry);
        await this.#visitChild(frame, entry);
      } else if (frame.same) continue;
      else if (kind === "file") await this.#visitFile(frame, entry);
      else if (kind === "socket") settleNode(frame, entry, "");
      else this.#encode(frame, entry, {});
      if (this.#isDue()) await this.#breathe();
    }
    if (frame.same) {
      this.#counts.files.unmodified += frame.files;
      this.#options.events.done(frame.files, frame.bytes);
    }
    frame.scanned = true;
    await this.#finishIfComplete(frame);
  }

  /** Reads names and numbers of all entries, without the excluded ones. False when it cannot be listed. */
  async #list(frame: Frame): Promise<boolean> {
    const report = (path: string, error: unknown): void => this.#fail(frame, path, error);
    const ahead = frame.targets === undefined ? await this.#ahead.take(frame.path!) : undefined;
    if (ahead !== undefined) return addListing(frame, ahead, this.#options, report);
    const names = listNames(frame, report);
    for (const name of names ?? []) {
      if (this.#isDue()) await this.#breathe();
      addEntry(frame, name, this.#options, report);
    }
    this.#ahead.seen(frame.table.length);
    return names !== undefined;
  }

  /** While the walk looks at the directory `entry`, the other thread lists the second and fourth one from there. */
  #requestAhead(frame: Frame, entry: number): void {
    const { table, targets } = frame;
    for (let next = entry + 1, found = 0; next < table.length && found < 3; next++) {
      if (table.kind(next) !== "dir") continue;
      // What is in it was named, not listed.
      if (targets?.get(table.names[next]!)?.children !== undefined) continue;
      if (found !== 1) this.#ahead.request(pathOf(frame, next));
      found++;
    }
  }

  #count(frame: Frame): void {
    const { table } = frame;
    for (let entry = 0; entry < table.length; entry++) {
      if (table.kind(entry) !== "file") continue;
      frame.files++;
      frame.bytes += table.size(entry);
    }
    this.#options.events.found(frame.files, frame.bytes);
  }

  async #visitChild(parent: Frame, entry: number): Promise<void> {
    const { table } = parent;
    const name = table.names[entry]!;
    const target = parent.targets?.get(name);
    const path = target === undefined ? joinPath(parent.path ?? "", name) : target.path;
    const snapshotPath = joinPath(parent.snapshotPath, name);
    const isSource = parent.targets !== undefined && target?.children === undefined;
    const device = isSource ? (target?.device ?? table.deviceId(entry)) : parent.device;
    parent.pending++;
    const finish: Frame["finish"] = (tree, change) => {
      parent.pending--;
      if (tree === undefined) {
        parent.uncertain = true;
        settleNode(parent, entry, "");
      } else {
        parent.subtrees.set(entry, tree);
        this.#counts.dirs[change]++;
        this.#options.events.item?.(change, "dir", snapshotPath, 0);
        if (!parent.same) this.#encode(parent, entry, { subtree: tree });
      }
      void this.#finishIfComplete(parent);
    };
    const targets = target?.children;
    const identity = identityOf(table, entry);
    const record = this.#options.cache?.get(snapshotPath);
    const known = { snapshotPath, path, targets, device, identity, record, finish };
    const frame = createFrame({ ...known, isNamed: isNamed(parent, entry) });
    const { oneFileSystem } = this.#options;
    // Another file system is mounted here: its mount point is kept, empty.
    if (oneFileSystem && device !== undefined && table.deviceId(entry) !== device) {
      frame.targets = new Map();
    }
    // Not remembered, though its parent is: the parent's tree knows it.
    if (record === undefined && parent.same) {
      parent.previous ??= await this.#readTree(parent.record!.tree);
    }
    frame.previousTree = parent.previous?.get(name)?.subtree ?? record?.tree;
    await this.#visit(frame);
  }

  async #visitFile(frame: Frame, entry: number): Promise<void> {
    const { table } = frame;
    const previous = frame.previous?.get(table.names[entry]!);
    const size = table.size(entry);
    if (previous !== undefined && isUnchanged(table, entry, previous, this.#options)) {
      this.#encode(frame, entry, { content: previous.content!, size: Number(previous.size) });
      this.#settled(frame, entry, "unmodified", size);
      return;
    }
    const change = previous?.type === "file" ? "changed" : "new";
    frame.pending++;
    await this.#queue.add({ frame, entry, change, path: pathOf(frame, entry), size });
  }

  #onRead({ frame, entry, change }: QueuedFile, read: ReadFile): void {
    if ("content" in read) {
      this.#encode(frame, entry, read);
      this.#settled(frame, entry, change, read.size);
    } else {
      if (read.failure.code === "ENOENT" && !isNamed(frame, entry)) frame.uncertain = true;
      else this.#fail(frame, pathOf(frame, entry), new Error(read.failure.message));
      settleNode(frame, entry, "");
      frame.files--;
      frame.bytes -= frame.table.size(entry);
    }
    frame.pending--;
    void this.#finishIfComplete(frame);
  }

  #settled(frame: Frame, entry: number, change: Change, bytes: number): void {
    const { events } = this.#options;
    this.#counts.files[change]++;
    events.done(1, bytes);
    if (events.item === undefined) return;
    events.item(change, "file", joinPath(frame.snapshotPath, frame.table.names[entry]!), bytes);
  }

  #encode(
    frame: Frame,
    entry: number,
    has: { content?: readonly Id[]; subtree?: Id; size?: number },
  ): void {
    const path = pathOf(frame, entry);
    try {
      const node = nodeOf(this.#options.metadata, frame.table, entry, path, has);
      settleNode(frame, entry, encodeNode(node));
    } catch (error) {
      if (error instanceof HoldfastError && error.code === "BUG") throw error;
      this.#fail(frame, path, error);
      settleNode(frame, entry, "");
    }
  }

  async #loadPrevious(frame: Frame): Promise<void> {
    if (frame.previous !== undefined) return;
    if (frame.snapshotPath === "/") frame.previousTree ??= await this.#options.store.parentTree();
    if (frame.previousTree === undefined) return;
    frame.previous = await this.#readTree(frame.previousTree);
  }

  /** A tree of an earlier snapshot; unreadable is as if there were none: its files are read again. */
  async #readTree(id: Id): Promise<Map<string, TreeNode> | undefined> {
    try {
      const bytes = await this.#options.store.readTree(id);
      return new Map(decodeTree(bytes).map((node) => [node.name, node]));
    } catch (error) {
      const passing = ["BLOB_MISSING", "BLOB_DAMAGED", "TREE_DAMAGED", "TREE_HOSTILE"];
      if (error instanceof HoldfastError && passing.includes(error.code)) return undefined;
      throw error;
    }
  }

  async #finishIfComplete(frame: Frame): Promise<void> {
    if (!frame.scanned || frame.pending > 0) return;
    frame.scanned = false;
    try {
      await this.#finish(frame);
    } catch (error) {
      this.#failure ??= error;
      this.#options.store.abort(error);
      frame.finish(undefined, "new");
    }
  }

  /** Makes the tree, or takes the known one when nothing in or below the directory changed. */
  async #finish(frame: Frame): Promise<void> {
    const { record, table } = frame;
    const report = (path: string, error: unknown): void => this.#fail(frame, path, error);
    if (!isStillThere(frame, report)) return frame.finish(undefined, "new");
    const ordered = [...frame.subtrees.keys()].sort((a, b) => a - b);
    const subtrees = hashSubtrees(ordered.map((entry) => frame.subtrees.get(entry)!));
    let tree: Id;
    if (frame.same && record !== undefined && record.subtrees === subtrees) tree = record.tree;
    else {
      if (frame.same) await this.#reuseFiles(frame);
      if (frame.next !== table.length) {
        throw new HoldfastError("BUG", `${frame.snapshotPath}: entry ${frame.next} was forgotten`);
      }
      tree = await this.#options.store.addTree(frame.tree.finish());
    }
    const previousTree = frame.previousTree ?? record?.tree;
    const change =
      previousTree === undefined ? "new" : previousTree === tree ? "unmodified" : "changed";
    this.#counts.totalFiles += frame.files;
    this.#counts.totalBytes += frame.bytes;
    if (!frame.uncertain) {
      const { files, bytes, entriesHash: entries } = frame;
      this.#cacheBuilder.add(frame.snapshotPath, { entries, subtrees, tree, files, bytes });
    }
    frame.finish(tree, change);
  }

  /** A sub-directory changed but none of the files did: their contents are in the tree of then. */
  async #reuseFiles(frame: Frame): Promise<void> {
    const { table } = frame;
    const previous = await this.#readTree(frame.record!.tree);
    for (let entry = 0; entry < table.length; entry++) {
      const kind = table.kind(entry);
      const subtree = frame.subtrees.get(entry);
      const node = previous?.get(table.names[entry]!);
      if (kind === "dir") {
        if (subtree === undefined) settleNode(frame, entry, "");
        else this.#encode(frame, entry, { subtree });
      } else if (kind === "file") {
        // That tree is damaged: all is read again.
        if (node?.content == null) throw new StaleScanCache();
        this.#encode(frame, entry, { content: node.content, size: Number(node.size) });
      } else if (kind === "socket") settleNode(frame, entry, "");
      else this.#encode(frame, entry, {});
    }
  }

  #fail(frame: Frame, path: string, error: unknown): void {
    frame.uncertain = true;
    const shown = byteStringToText(path);
    const why = messageOf(error);
    this.#options.events.failed(
      shown,
      new HoldfastError("SOURCE_UNREADABLE", `${shown}: ${why}`, { cause: error }),
    );
  }

  /** True now and then: when messages should be handled. */
  #isDue(): boolean {
    if (++this.#entriesInSlice < SLICE_ENTRIES) return false;
    this.#entriesInSlice = 0;
    return this.#options.clock.monotonic() >= this.#sliceEnd;
  }

  /** Lets messages be handled. */
  async #breathe(): Promise<void> {
    await yieldOnce();
    throwIfCancelled(this.#options.signal);
    this.#sliceEnd = this.#options.clock.monotonic() + SLICE_MS;
    this.#options.store.check();
  }
}
