// Restores a snapshot, or a directory of it, into a directory.
//
// Trees are walked one directory at a time; files are restored in windows (restore-window.ts); links to restored files,
// removals and the metadata of directories come last. A name that would leave the target ends the restore. No file of
// several blobs has its own name before it is complete.

import type { Stats } from "node:fs";
import type { Id } from "../base/bytes.ts";
import { toHex } from "../base/bytes.ts";
import { throwIfCancelled } from "../base/cancellation.ts";
import { HoldfastError, isHoldfastError } from "../base/errors.ts";
import type { BlobReader } from "../repository/blob-reader.ts";
import type { Repository } from "../repository/repository.ts";
import { byteStringToText } from "../restic/byte-string.ts";
import type { TreeNode } from "../restic/tree-node.ts";
import { joinPath } from "./entry-table.ts";
import { readListing } from "./listing.ts";
import { ExistingEntries, removeLeftovers } from "./restore-existing.ts";
import type { ExistingDirectory, Overwrite } from "./restore-existing.ts";
import { targetFailure } from "./restore-failure.ts";
import type { RestorePool } from "./restore-pool.ts";
import {
  applyMetadata,
  completeFile,
  createFile,
  ensureDirectory,
  isDirectory,
  lookAt,
  makeHardlink,
  makeSpecial,
  makeTarget,
  moveIntoPlace,
  removeEntry,
  temporaryPath,
} from "./restore-target.ts";
import { WINDOW_BLOBS, WINDOW_FILES, removeTemporary, restoreWindow } from "./restore-window.ts";
import type { RestoreFile, WindowOptions } from "./restore-window.ts";
import type { Selector } from "./selection.ts";

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
  /** Remove what is selected and the snapshot does not have, also below a directory that is in the way of a file. */
  delete: boolean;
  dryRun: boolean;
  /** Set owners: only root can. */
  setOwner: boolean;
  /** Workers of this restore alone, started or not. Whoever made the pool terminates it. */
  pool: RestorePool;
  events: RestoreEvents;
  signal: AbortSignal | undefined;
}

const FIRST_WINDOW_FILES = 256;

interface Directory extends ExistingDirectory {
  node: TreeNode | undefined;
  parent: Directory | undefined;
  /** Exists; undefined until something in it is wanted. */
  made: "fresh" | "existing" | undefined;
}

export interface RestoreResult {
  failures: number;
  /** Paths in the snapshot of files that were left as they are, whatever they hold, because the mode says so. */
  kept: ReadonlySet<string>;
  /** Entries whose extended attributes (ACLs are such) are in the snapshot and could not be set: Node has no call. */
  withoutAttributes: number;
}

/** Restores everything selected; failures of single files are reported and counted. */
export async function restore(options: RestoreOptions): Promise<RestoreResult> {
  const run = new Restore(options);
  return run.run();
}

class Restore {
  readonly #options: RestoreOptions;
  #window: RestoreFile[] = [];
  #withoutAttributes = 0;
  #windowBlobs = 0;
  /** Files of the window that is collected: few at first, so that the workers do not wait for a large one. */
  #windowFiles = FIRST_WINDOW_FILES;
  #previousWindow: Promise<void> = Promise.resolve();
  readonly #directories: Directory[] = [];
  /** Where each file with several names has its first one. */
  readonly #hardlinks = new Map<string, string>();
  readonly #links: { existing: string; path: string }[] = [];
  /** Files that could not be restored; where they should be may be what was there before. */
  readonly #missing = new Set<string>();
  readonly #existing: ExistingEntries;
  readonly #kept = new Set<string>();
  #failures = 0;

  constructor(options: RestoreOptions) {
    this.#options = options;
    this.#existing = new ExistingEntries({
      ...options,
      pool: async () => {
        await this.#ready();
        return options.pool;
      },
      failed: (path, error) => this.#fail(path, targetFailure(path, error)),
      deleted: (snapshotPath) => options.events.deleted(snapshotPath),
    });
  }

  async run(): Promise<RestoreResult> {
    const { tree, target, dryRun } = this.#options;
    try {
      if (!dryRun) makeTarget(target);
      const root: Directory = {
        path: target,
        snapshotPath: "/",
        node: undefined,
        parent: undefined,
        made: "existing",
        real: this.#options.delete && (!dryRun || lookAt(target) !== undefined),
        names: new Set(),
      };
      await this.#restoreTree(tree, root);
      await this.#runWindow();
      await this.#previousWindow;
    } finally {
      await this.#previousWindow.catch(() => {});
      for (const file of this.#window) removeTemporary(file);
    }
    this.#makeLinks();
    // A restore that failed must not take anything away.
    if (this.#failures === 0) this.#existing.removeSurplus();
    this.#finishDirectories();
    return {
      failures: this.#failures,
      kept: this.#kept,
      withoutAttributes: this.#withoutAttributes,
    };
  }

  async #restoreTree(id: Id, directory: Directory): Promise<void> {
    const { reader, signal, select } = this.#options;
    throwIfCancelled(signal);
    const nodes = await readListing(reader, { path: directory.snapshotPath, tree: id }, signal);
    directory.names = new Set(nodes.map((node) => node.name));
    this.#existing.lookAround(directory);
    for (const node of nodes) {
      const snapshotPath = joinPath(directory.snapshotPath, node.name);
      const { selected, childMayBeSelected } = select(snapshotPath, node.type === "dir");
      if (node.type === "dir") {
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
    const real = parent.real && isDirectory(path);
    const names = new Set<string>();
    const directory: Directory = { path, snapshotPath, node, parent, made: undefined, real, names };
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
      // With no names known yet, this follows once its tree is read.
      if (directory.made === "existing" && directory.names.size > 0) {
        removeLeftovers(directory.path, directory.names);
      }
    } catch (error) {
      this.#fail(directory.path, targetFailure(directory.path, error));
      return false;
    }
    this.#directories.push(directory);
    this.#options.events.restored(directory.snapshotPath, "dir", 0);
    return true;
  }

  async #restoreEntry(node: TreeNode, directory: Directory, snapshotPath: string): Promise<void> {
    if (!this.#make(directory)) return;
    const { events, dryRun, setOwner } = this.#options;
    const path = joinPath(directory.path, node.name);
    const size = node.type === "file" ? Number(node.size) : 0;
    events.found(1, size);
    if (node.extendedAttributes !== null) this.#withoutAttributes++;
    try {
      if (node.type === "socket" || node.type === "irregular") {
        events.skipped(snapshotPath, 0);
        return;
      }
      const there = directory.made === "fresh" ? undefined : lookAt(path);
      if (there !== undefined && (await this.#stays(node, path, there, snapshotPath))) {
        events.skipped(snapshotPath, size);
      } else if (dryRun) {
        events.restored(snapshotPath, node.type, size);
      } else if (node.type === "file") {
        await this.#restoreFile(node, directory, path, there);
      } else {
        if (there?.isDirectory() === true) this.#clear(path);
        makeSpecial({ node, path, temporary: this.#temporary(directory), setOwner });
        events.restored(snapshotPath, node.type, 0);
      }
    } catch (error) {
      if (isHoldfastError(error)) throw error;
      this.#missing.add(path);
      this.#fail(path, targetFailure(path, error));
    }
  }

  async #stays(node: TreeNode, path: string, there: Stats, snapshotPath: string): Promise<boolean> {
    const verdict = await this.#existing.judge(node, path, there);
    if (verdict === "kept") this.#kept.add(snapshotPath);
    if (verdict === undefined || BigInt(node.links) <= 1n) return verdict !== undefined;
    const existing = this.#hardlinks.get(linkKey(node));
    // The first of its names that is met; the others become links to it.
    if (existing === undefined) {
      const isEqual = verdict === "equal" || (await this.#existing.isEqual(node, path, there));
      if (isEqual) this.#hardlinks.set(linkKey(node), path);
    } else if (verdict === "equal") return lookAt(existing)?.ino === there.ino;
    return true;
  }

  async #restoreFile(
    node: TreeNode,
    directory: Directory,
    path: string,
    there: Stats | undefined,
  ): Promise<void> {
    const { events, setOwner, overwrite } = this.#options;
    if (BigInt(node.links) > 1n) {
      const key = linkKey(node);
      const existing = this.#hardlinks.get(key);
      if (existing !== undefined) {
        this.#links.push({ existing, path });
        // A link has no bytes of its own to restore.
        events.found(0, -Number(node.size));
        return;
      }
      this.#hardlinks.set(key, path);
    }
    if (there?.isDirectory() === true) this.#clear(path);
    const content = node.content ?? [];
    // These modes would take half a file for one to keep, so there must be none, whenever the run is killed.
    const careful = overwrite === "never" || overwrite === "if-newer";
    const isDirect = there === undefined && content.length === 1 && !careful;
    const writePath = isDirect ? path : this.#temporary(directory);
    if (content.length !== 1) createFile(writePath);
    if (content.length === 0) {
      completeFile(writePath, node, { length: 0, setOwner });
      moveIntoPlace(writePath, path);
      events.restored(this.#snapshotPath(path), "file", 0);
      return;
    }
    this.#window.push({ node, path, writePath });
    this.#windowBlobs += content.length;
    if (this.#window.length >= this.#windowFiles || this.#windowBlobs >= WINDOW_BLOBS) {
      await this.#runWindow();
      this.#windowFiles = Math.min(WINDOW_FILES, this.#windowFiles * 4);
    }
  }

  /** A path for a file that is not complete yet; nothing is there, and the snapshot has no such name. */
  #temporary(directory: Directory): string {
    for (;;) {
      const token = toHex(this.#options.repository.machine.random(8));
      const path = temporaryPath(directory.path, token);
      if (!directory.names.has(path.slice(path.lastIndexOf("/") + 1))) return path;
    }
  }

  /** Takes what is in the way of an entry away: a directory with something in it only when that may be deleted. */
  #clear(path: string): void {
    removeEntry(path, { recursive: this.#options.delete });
  }

  #ready(): Promise<void> {
    return this.#options.pool.ready(this.#options.repository.key);
  }

  /** Hands the collected files over; at most two windows are under way. */
  async #runWindow(): Promise<void> {
    if (this.#window.length === 0) return;
    await this.#ready();
    await this.#previousWindow;
    const files = this.#window;
    this.#window = [];
    this.#windowBlobs = 0;
    const { repository, reader, pool, setOwner, signal, events } = this.#options;
    const options: WindowOptions = {
      storage: repository.storage,
      reader,
      pool,
      setOwner,
      signal,
      onBytes: (bytes) => events.bytes(bytes),
      onComplete: ({ path, node }) =>
        events.restored(this.#snapshotPath(path), "file", Number(node.size)),
      onFailure: ({ path, node }, error) => {
        if (BigInt(node.links) > 1n) this.#missing.add(path);
        this.#fail(path, error);
      },
    };
    this.#previousWindow = restoreWindow(files, options);
    // Seen when it is awaited next; until then it must not count as unhandled.
    this.#previousWindow.catch(() => {});
  }

  #makeLinks(): void {
    for (const { existing, path } of this.#links) {
      try {
        if (this.#missing.has(existing)) {
          throw new Error(`${byteStringToText(existing)}, the same file, could not be restored`);
        }
        this.#clear(path);
        makeHardlink(existing, path);
        this.#options.events.restored(this.#snapshotPath(path), "file", 0);
      } catch (error) {
        this.#fail(path, targetFailure(path, error));
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
        this.#fail(path, targetFailure(path, error));
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

function linkKey(node: TreeNode): string {
  return `${node.deviceId}/${node.inode}`;
}
