// What a restore finds in its target already: files that stay as they are, leftovers of a run that was killed, things in
// the way, and what --delete removes.
//
// Nothing here looks or reaches through a link: a directory whose way from the target leads over one is left alone.

import { readdirSync } from "node:fs";
import type { Stats } from "node:fs";
import { fromHex } from "../base/bytes.ts";
import type { BlobReader } from "../repository/blob-reader.ts";
import { parseTime } from "../restic/go-time.ts";
import type { TreeNode } from "../restic/tree-node.ts";
import { joinPath, nativePath } from "./entry-table.ts";
import type { RestorePool } from "./restore-pool.ts";
import { LEFTOVER_NAME, applyMetadata, isDirectory, removeEntry } from "./restore-target.ts";
import type { Selector } from "./selection.ts";

/** What to do with a file that is there already. */
export type Overwrite = "always" | "if-changed" | "if-newer" | "never";

export interface ExistingOptions {
  reader: BlobReader;
  /** The workers that compare contents, started. */
  pool: () => Promise<RestorePool>;
  select: Selector;
  overwrite: Overwrite;
  dryRun: boolean;
  setOwner: boolean;
  /** `path` is that in the target. */
  failed: (path: string, error: unknown) => void;
  deleted: (snapshotPath: string) => void;
}

/** A directory of the target that is being restored into. */
export interface ExistingDirectory {
  path: string;
  snapshotPath: string;
  made: "fresh" | "existing" | undefined;
  /** With --delete: a real directory when the restore came to it, reached through real directories. */
  real: boolean;
  /** What the snapshot has in it. */
  names: ReadonlySet<string>;
}

/** An entry of the target that the snapshot does not have. */
interface Surplus {
  path: string;
  snapshotPath: string;
}

/** Times are restored through floating seconds, which are this exact (ms). */
const SAME_TIME_MS = 0.001;

export class ExistingEntries {
  readonly #options: ExistingOptions;
  readonly #surplus: Surplus[] = [];

  constructor(options: ExistingOptions) {
    this.#options = options;
  }

  /**
   * Why what is there stays: "equal" when it is what would be restored (its metadata is set), "kept" when the mode says
   * so whatever it is; undefined when it has to be replaced.
   */
  async judge(node: TreeNode, path: string, there: Stats): Promise<"equal" | "kept" | undefined> {
    const { overwrite, dryRun, setOwner } = this.#options;
    if (overwrite === "never") return "kept";
    const mtime = Number(parseTime(node.mtime)) / 1e6;
    if (overwrite === "if-newer" && there.mtimeMs >= mtime - SAME_TIME_MS) return "kept";
    if (!isAlike(node, there)) return undefined;
    const sameTime = Math.abs(there.mtimeMs - mtime) < SAME_TIME_MS;
    const isTrusted = overwrite === "if-changed" && sameTime;
    // A file with several names is replaced, or left alone: the others may be none of ours.
    if (there.nlink > 1) return isTrusted ? "equal" : undefined;
    if (!isTrusted && !(await this.#hasContent(node, path))) return undefined;
    if (!dryRun) applyMetadata(path, node, setOwner);
    return "equal";
  }

  /** True when what is there is a file with the content of the node. */
  async isEqual(node: TreeNode, path: string, there: Stats): Promise<boolean> {
    return isAlike(node, there) && this.#hasContent(node, path);
  }

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
    const pool = await this.#options.pool();
    const counts = Uint32Array.of(content.length);
    const equal = await pool.compare({ paths: [path], counts, lengths, ids });
    return equal[0] === 1;
  }

  /** Looks at what a directory holds beside what the snapshot has: leftovers go now, surplus entries at the end. */
  lookAround({ path, snapshotPath, made, real, names }: ExistingDirectory): void {
    if (made === "existing" && !this.#options.dryRun) removeLeftovers(path, names);
    if (!real) return;
    try {
      for (const name of readdirSync(nativePath(path), { encoding: "latin1" }).sort()) {
        if (names.has(name)) continue;
        const entry = { path: joinPath(path, name), snapshotPath: joinPath(snapshotPath, name) };
        if (this.#isSelected(entry)) this.#surplus.push(entry);
      }
    } catch (error) {
      this.#options.failed(path, error);
    }
  }

  /** Removes what the directories held beside the snapshot's entries, as far as it is selected. */
  removeSurplus(): void {
    for (const entry of this.#surplus) {
      try {
        this.#remove(entry);
      } catch (error) {
        this.#options.failed(entry.path, error);
      }
    }
  }

  /** True when the entry is gone: what is not selected inside of it stays, and so does it. */
  #remove(entry: Surplus): boolean {
    if (isDirectory(entry.path)) {
      const inside = readdirSync(nativePath(entry.path), { encoding: "latin1" }).map((name) => ({
        path: joinPath(entry.path, name),
        snapshotPath: joinPath(entry.snapshotPath, name),
      }));
      const gone = inside.map((one) => this.#isSelected(one) && this.#remove(one));
      if (gone.includes(false)) return false;
    }
    if (!this.#options.dryRun) removeEntry(entry.path, { recursive: false });
    this.#options.deleted(entry.snapshotPath);
    return true;
  }

  #isSelected({ path, snapshotPath }: Surplus): boolean {
    return this.#options.select(snapshotPath, isDirectory(path)).selected;
  }
}

/** True when the content may be that of the node. */
function isAlike(node: TreeNode, there: Stats): boolean {
  return node.type === "file" && there.isFile() && there.size === Number(node.size);
}

/**
 * Removes the temporary files that a killed restore left in a directory; `names` are the snapshot's own. Failing to do
 * so harms nothing.
 */
export function removeLeftovers(path: string, names: ReadonlySet<string>): void {
  try {
    for (const name of readdirSync(nativePath(path), { encoding: "latin1" })) {
      if (!LEFTOVER_NAME.test(name) || names.has(name)) continue;
      const leftover = joinPath(path, name);
      if (!isDirectory(leftover)) removeEntry(leftover, { recursive: false });
    }
  } catch {
    // A directory that may be written but not listed, for one.
  }
}
