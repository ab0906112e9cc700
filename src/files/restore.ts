// Restores a snapshot, or a directory of it, into a directory.
//
// Trees are walked one directory at a time; files are restored in windows (restore-window.ts); links to restored files,
// removals and the metadata of directories come last. A name that would leave the target ends the restore.

import { readdirSync } from "node:fs";
import type { Id } from "../base/bytes.ts";
import { fromHex } from "../base/bytes.ts";
import { throwIfCancelled } from "../base/cancellation.ts";
import { HoldfastError, isHoldfastError, messageOf } from "../base/errors.ts";
import type { BlobReader } from "../repository/blob-reader.ts";
import type { Repository } from "../repository/repository.ts";
import { byteStringToText } from "../restic/byte-string.ts";
import { decodeTree } from "../restic/tree.ts";
import type { TreeNode } from "../restic/tree-node.ts";
import { joinPath, nativePath } from "./entry-table.ts";
import { RestorePool } from "./restore-pool.ts";
import {
  applyMetadata,
  ensureDirectory,
  lookAt,
  makeEmptyFile,
  makeHardlink,
  makeSpecial,
  removeEntry,
  seconds,
  temporaryName,
} from "./restore-target.ts";
import { WINDOW_BLOBS, WINDOW_FILES, restoreWindow } from "./restore-window.ts";
import type { RestoreFile, WindowOptions } from "./restore-window.ts";
import type { Selector } from "./selection.ts";

/** What to do with a file that is there already. */
export type Overwrite = "always" | "if-changed" | "if-newer" | "never";

/** Paths are those of the snapshot: byte strings, and text for `failed`. */
export interface RestoreEvents {
  found(files: number, bytes: number): void;
  bytes(bytes: number): void;
  restored(path: string, type: TreeNode["type"], bytes: number): void;
  skipped(path: string, bytes: number): void;
  deleted(path: string): void;
  failed(path: string, error: HoldfastError): void;
}

export interface RestoreOptions {
  repository: Repository;
  reader: BlobReader;
  tree: Id;
  /** Byte string. */
  target: string;
  select: Selector;
  overwrite: Overwrite;
  /** Remove what the snapshot does not have. */
  delete: boolean;
  sparse: boolean;
  dryRun: boolean;
  /** Set owners: only root can. */
  setOwner: boolean;
  workers: number;
  events: RestoreEvents;
  signal: AbortSignal | undefined;
}

/** Sealed bytes that go to a worker at once: the largest chunk restic makes, and a little more. */
const SLOT_BYTES = (8 << 20) + (64 << 10);
const SLOTS = 2;

interface Directory {
  path: string;
  snapshotPath: string;
  node: TreeNode | undefined;
  parent: Directory | undefined;
  /** Exists; undefined until something in it is wanted. */
  made: "fresh" | "existing" | undefined;
}

/** Restores everything selected; failures of single files are reported and counted. */
export async function restore(options: RestoreOptions): Promise<{ failures: number }> {
  const run = new Restore(options);
  return run.run();
}

class Restore {
  readonly #options: RestoreOptions;
  readonly #pool: RestorePool;
  #window: RestoreFile[] = [];
  #windowBlobs = 0;
  #previousWindow: Promise<void> = Promise.resolve();
  #started: Promise<void> | undefined;
  readonly #directories: Directory[] = [];
  readonly #hardlinks = new Map<string, string>();
  readonly #links: { existing: string; path: string; node: TreeNode }[] = [];
  readonly #removals: string[] = [];
  #failures = 0;

  constructor(options: RestoreOptions) {
    this.#options = options;
    const { repository, sparse, setOwner } = options;
    const { key } = repository;
    this.#pool = new RestorePool({ key, slots: SLOTS, slotBytes: SLOT_BYTES, sparse, setOwner });
  }

  async run(): Promise<{ failures: number }> {
    const { tree, target, dryRun } = this.#options;
    try {
      const root: Directory = {
        path: target,
        snapshotPath: "/",
        node: undefined,
        parent: undefined,
        made: undefined,
      };
      if (!dryRun) this.#makeTarget(root);
      await this.#restoreTree(tree, root);
      await this.#runWindow();
      await this.#previousWindow;
    } finally {
      await this.#previousWindow.catch(() => {});
      await this.#pool.terminate();
    }
    this.#makeLinks();
    this.#removeOthers();
    this.#finishDirectories();
    return { failures: this.#failures };
  }

  #makeTarget(root: Directory): void {
    try {
      let path = root.path.startsWith("/") ? "/" : "";
      for (const part of root.path.split("/")) {
        if (part === "" || part === ".") continue;
        path = joinPath(path, part);
        if (lookAt(path) === undefined) ensureDirectory(path);
      }
    } catch (error) {
      throw new HoldfastError(
        "TARGET_UNWRITABLE",
        `cannot make ${byteStringToText(root.path)}: ${messageOf(error)}`,
        { hint: "Choose a target that this user may write.", cause: error },
      );
    }
    root.made = "existing";
  }

  async #restoreTree(id: Id, directory: Directory): Promise<void> {
    const { reader, signal, select, dryRun } = this.#options;
    throwIfCancelled(signal);
    const nodes = decodeTree(await reader.read("tree", id, signal));
    if (this.#options.delete && !dryRun) this.#planRemovals(directory, nodes);
    for (const node of nodes) {
      const snapshotPath = joinPath(directory.snapshotPath, node.name);
      const isDirectory = node.type === "dir";
      const { selected, childMayBeSelected } = select(snapshotPath, isDirectory);
      if (isDirectory) {
        if (selected || childMayBeSelected) {
          await this.#restoreDirectory(node, directory, snapshotPath, selected);
        }
      } else if (selected) await this.#restoreEntry(node, directory, snapshotPath);
    }
  }

  async #restoreDirectory(
    node: TreeNode,
    parent: Directory,
    snapshotPath: string,
    selected: boolean,
  ): Promise<void> {
    const path = joinPath(parent.path, node.name);
    const directory: Directory = { path, snapshotPath, node, parent, made: undefined };
    if (selected && !this.#make(directory)) return;
    if (node.subtree === null) {
      const error = new HoldfastError(
        "TREE_DAMAGED",
        `${byteStringToText(snapshotPath)} has no tree`,
      );
      return this.#fail(path, error);
    }
    try {
      await this.#restoreTree(node.subtree, directory);
    } catch (error) {
      const local = ["BLOB_MISSING", "BLOB_DAMAGED", "TREE_DAMAGED"] as const;
      if (!isHoldfastError(error, ...local)) throw error;
      this.#fail(path, error);
    }
  }

  /** Makes a directory and those above it, once; false when that failed. */
  #make(directory: Directory): boolean {
    if (directory.made !== undefined) return true;
    if (this.#options.dryRun) {
      directory.made = "existing";
      this.#options.events.restored(directory.snapshotPath, "dir", 0);
      return true;
    }
    if (directory.parent !== undefined && !this.#make(directory.parent)) return false;
    try {
      directory.made = ensureDirectory(directory.path) ? "fresh" : "existing";
    } catch (error) {
      this.#fail(directory.path, unwritable(directory.path, error));
      return false;
    }
    this.#directories.push(directory);
    this.#options.events.restored(directory.snapshotPath, "dir", 0);
    return true;
  }

  async #restoreEntry(node: TreeNode, directory: Directory, snapshotPath: string): Promise<void> {
    if (!this.#make(directory)) return;
    const path = joinPath(directory.path, node.name);
    const size = node.type === "file" ? Number(node.size) : 0;
    this.#options.events.found(1, size);
    try {
      const there = directory.made === "fresh" ? undefined : lookAt(path);
      if (there !== undefined && (await this.#isKept(node, path, there))) {
        this.#options.events.skipped(snapshotPath, size);
        return;
      }
      if (this.#options.dryRun) {
        this.#options.events.restored(snapshotPath, node.type, size);
        return;
      }
      if (node.type === "file") await this.#restoreFile(node, directory, path, there !== undefined);
      else this.#restoreSpecial(node, path, snapshotPath, there !== undefined);
    } catch (error) {
      if (isHoldfastError(error)) throw error;
      this.#fail(path, unwritable(path, error));
    }
  }

  /** True when what is there stays, or already is what would be restored. */
  async #isKept(node: TreeNode, path: string, there: import("node:fs").Stats): Promise<boolean> {
    const { overwrite } = this.#options;
    if (overwrite === "never") return true;
    const mtime = seconds(node.mtime) * 1000;
    if (overwrite === "if-newer" && there.mtimeMs >= mtime) return true;
    if (!there.isFile() || node.type !== "file" || there.size !== Number(node.size)) return false;
    if (overwrite === "if-changed" && Math.abs(there.mtimeMs - mtime) < 0.001) return true;
    if (there.nlink > 1 || this.#options.dryRun || !(await this.#hasContent(node, path)))
      return false;
    applyMetadata(path, node, this.#options.setOwner);
    return true;
  }

  /** True when the file's bytes are those of the node. */
  async #hasContent(node: TreeNode, path: string): Promise<boolean> {
    const { index } = this.#options.reader;
    const content = node.content ?? [];
    const lengths = new Uint32Array(content.length);
    const ids = new Uint8Array(content.length * 32);
    for (const [i, id] of content.entries()) {
      const bytes = fromHex(id);
      const entry = index.find("data", bytes);
      if (entry < 0) return false;
      lengths[i] = index.plainLength(entry);
      ids.set(bytes, i * 32);
    }
    await this.#start();
    const counts = Uint32Array.of(content.length);
    const equal = await this.#pool.compare({ paths: [path], counts, lengths, ids });
    return equal[0] === 1;
  }

  async #restoreFile(
    node: TreeNode,
    directory: Directory,
    path: string,
    replaces: boolean,
  ): Promise<void> {
    const { events, setOwner } = this.#options;
    if (BigInt(node.links) > 1n) {
      const key = `${node.deviceId}/${node.inode}`;
      const existing = this.#hardlinks.get(key);
      if (existing !== undefined) {
        this.#links.push({ existing, path, node });
        return;
      }
      this.#hardlinks.set(key, path);
    }
    const content = node.content ?? [];
    if (content.length === 0) {
      if (replaces) removeEntry(path);
      makeEmptyFile(path, node, setOwner);
      events.restored(this.#snapshotPath(path), "file", 0);
      return;
    }
    let writePath = path;
    if (replaces) {
      writePath = temporaryName(directory.path, node.name);
      removeEntry(writePath);
      if (lookAt(path)?.isDirectory() === true) removeEntry(path);
    }
    this.#window.push({ node, path, writePath });
    this.#windowBlobs += content.length;
    if (this.#window.length >= WINDOW_FILES || this.#windowBlobs >= WINDOW_BLOBS) {
      await this.#runWindow();
    }
  }

  #restoreSpecial(node: TreeNode, path: string, snapshotPath: string, replaces: boolean): void {
    if (replaces) removeEntry(path);
    if (!makeSpecial(path, node)) {
      this.#options.events.skipped(snapshotPath, 0);
      return;
    }
    applyMetadata(path, node, this.#options.setOwner);
    this.#options.events.restored(snapshotPath, node.type, 0);
  }

  #start(): Promise<void> {
    this.#started ??= this.#pool.start(this.#options.workers);
    return this.#started;
  }

  /** Hands the collected files over; at most two windows are under way. */
  async #runWindow(): Promise<void> {
    const files = this.#window;
    if (files.length === 0) return;
    this.#window = [];
    this.#windowBlobs = 0;
    await this.#start();
    await this.#previousWindow;
    const { repository, reader, setOwner, signal, events } = this.#options;
    const options: WindowOptions = {
      storage: repository.storage,
      reader,
      pool: this.#pool,
      slotBytes: SLOT_BYTES,
      setOwner,
      signal,
      onBytes: (bytes) => events.bytes(bytes),
      onComplete: ({ path, node }) =>
        events.restored(this.#snapshotPath(path), "file", Number(node.size)),
      onFailure: ({ path }, error) => this.#fail(path, error),
    };
    this.#previousWindow = restoreWindow(files, options);
    // Seen when it is awaited next; until then it must not count as unhandled.
    this.#previousWindow.catch(() => {});
  }

  #makeLinks(): void {
    for (const { existing, path } of this.#links) {
      try {
        removeEntry(path);
        makeHardlink(existing, path);
        this.#options.events.restored(this.#snapshotPath(path), "file", 0);
      } catch (error) {
        this.#fail(path, unwritable(path, error));
      }
    }
  }

  /** Finds what the snapshot does not have; it is removed at the end, and only when all went well. */
  #planRemovals(directory: Directory, nodes: readonly TreeNode[]): void {
    if (lookAt(directory.path) === undefined) return;
    const known = new Set(nodes.map((node) => node.name));
    for (const name of readdirSync(nativePath(directory.path), { encoding: "latin1" })) {
      if (known.has(name)) continue;
      const path = joinPath(directory.path, name);
      const snapshotPath = joinPath(directory.snapshotPath, name);
      const isDirectory = lookAt(path)?.isDirectory() === true;
      if (this.#options.select(snapshotPath, isDirectory).selected) this.#removals.push(path);
    }
  }

  #removeOthers(): void {
    if (this.#failures > 0) return;
    for (const path of this.#removals) {
      try {
        if (removeEntry(path)) this.#options.events.deleted(this.#snapshotPath(path));
      } catch (error) {
        this.#fail(path, unwritable(path, error));
      }
    }
  }

  /** Deepest first, because every change below alters a directory's times. */
  #finishDirectories(): void {
    for (const { path, node } of this.#directories.reverse()) {
      if (node === undefined) continue;
      try {
        applyMetadata(path, node, this.#options.setOwner);
      } catch (error) {
        this.#fail(path, unwritable(path, error));
      }
    }
  }

  #fail(path: string, error: HoldfastError): void {
    this.#failures++;
    this.#options.events.failed(byteStringToText(this.#snapshotPath(path)), error);
  }

  /** What the snapshot calls a path of the target. */
  #snapshotPath(path: string): string {
    const below = path.slice(this.#options.target.length);
    return below.startsWith("/") ? below : `/${below}`;
  }
}

function unwritable(path: string, error: unknown): HoldfastError {
  return new HoldfastError("TARGET_UNWRITABLE", `${byteStringToText(path)}: ${messageOf(error)}`, {
    cause: error,
  });
}
