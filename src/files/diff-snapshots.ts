// What changed between two trees, told entry by entry as restic's `diff` tells it, and counted. Holds one pair of listings
// for each level it is in, and one bit for each blob of the index.

import { fromHex } from "../base/bytes.ts";
import type { Id } from "../base/bytes.ts";
import { throwIfCancelled } from "../base/cancellation.ts";
import type { BlobReader } from "../repository/blob-reader.ts";
import { isListingDamage } from "../repository/listing-damage.ts";
import { EntrySet, createEntrySetMemory } from "../repository/entry-set.ts";
import type { TreeNode } from "../restic/tree-node.ts";
import { joinPath } from "./entry-table.ts";
import { iterateListing } from "./listing.ts";
import { sameNode } from "./same-node.ts";

/** What was added, or removed. */
export interface DiffCounts {
  files: number;
  dirs: number;
  others: number;
  dataBlobs: number;
  treeBlobs: number;
  /** Plaintext bytes of these blobs. */
  bytes: number;
}

export interface Diff {
  changedFiles: number;
  added: DiffCounts;
  removed: DiffCounts;
}

export interface DiffOptions {
  reader: BlobReader;
  /** The trees to compare, older first. */
  trees: readonly [Id, Id];
  /** Tell of changed metadata as well. */
  metadata: boolean;
  /**
   * Takes each change: a path (a byte string, directories with a slash at their end) and restic's letters: "+" added, "-"
   * removed, "T" of another type, "M" other content, "M?" other content though all else is equal, "U" other metadata.
   */
  onChange: (path: string, modifier: string) => void | Promise<void>;
  /** Takes what cannot be read; the rest is compared all the same. */
  onDamage: (message: string) => void;
  signal?: AbortSignal | undefined;
}

/** Compares two trees. Throws when one of these two itself cannot be read. */
export async function diffTrees(options: DiffOptions): Promise<Diff> {
  return await new TreeDiff(options).run();
}

type Side = "added" | "removed";

class TreeDiff {
  readonly #options: DiffOptions;
  readonly #diff: Diff = { changedFiles: 0, added: noCounts(), removed: noCounts() };
  readonly #before: BlobSet;
  readonly #after: BlobSet;
  /** Blobs of directories that are the same on both sides. */
  readonly #common: BlobSet;

  constructor(options: DiffOptions) {
    this.#options = options;
    const { index } = options.reader;
    [this.#before, this.#after, this.#common] = [
      new BlobSet(index),
      new BlobSet(index),
      new BlobSet(index),
    ];
  }

  async run(): Promise<Diff> {
    const [one, two] = this.#options.trees;
    this.#before.add("tree", one);
    this.#after.add("tree", two);
    await this.#compare("/", one, two);
    this.#count("removed", this.#before, this.#after);
    this.#count("added", this.#after, this.#before);
    return this.#diff;
  }

  async #compare(path: string, one: Id, two: Id): Promise<void> {
    const [left, right] = [await this.#open(path, one), await this.#open(path, two)];
    let [a, b] = [left.next(), right.next()];
    while (!a.done || !b.done) {
      const [older, newer] = [a.done ? undefined : a.value, b.done ? undefined : b.value];
      const isOlder = older !== undefined && (newer === undefined || older.name <= newer.name);
      const isNewer = newer !== undefined && (older === undefined || newer.name <= older.name);
      if (isOlder) this.#before.addNode(older);
      if (isNewer) this.#after.addNode(newer);
      if (isOlder && isNewer) await this.#pair(path, older, newer);
      else if (isOlder) await this.#whole("removed", path, older);
      else if (isNewer) await this.#whole("added", path, newer);
      if (isOlder) a = left.next();
      if (isNewer) b = right.next();
    }
  }

  async #pair(directory: string, older: TreeNode, newer: TreeNode): Promise<void> {
    const path = joinPath(directory, newer.name) + (newer.type === "dir" ? "/" : "");
    let modifier = older.type === newer.type ? "" : "T";
    if (older.type === "file" && newer.type === "file" && !sameContent(older, newer)) {
      modifier += "M";
      this.#diff.changedFiles++;
      // Nobody writes to a file and leaves its times: the disk lost a bit, or whoever wrote hid it.
      if (sameNode({ ...older, content: null }, { ...newer, content: null })) modifier += "?";
    } else if (this.#options.metadata && !sameNode(older, newer)) modifier += "U";
    if (modifier !== "") await this.#options.onChange(path, modifier);
    const [one, two] = [older.subtree, newer.subtree];
    if (one === null || two === null) return;
    if (one === two) await this.#attempt(() => this.#collect(path, one));
    else await this.#attempt(() => this.#compare(path, one, two));
  }

  /** An entry that is on one side only, and all that is in it. */
  async #whole(side: Side, directory: string, node: TreeNode): Promise<void> {
    const path = joinPath(directory, node.name) + (node.type === "dir" ? "/" : "");
    await this.#options.onChange(path, side === "added" ? "+" : "-");
    const counts = this.#diff[side];
    if (node.type === "file") counts.files++;
    else if (node.type === "dir") counts.dirs++;
    else counts.others++;
    const { subtree } = node;
    if (subtree === null) return;
    const blobs = side === "added" ? this.#after : this.#before;
    await this.#attempt(async () => {
      for (const child of await this.#open(path, subtree)) {
        blobs.addNode(child);
        await this.#whole(side, path, child);
      }
    });
  }

  async #collect(path: string, tree: Id): Promise<void> {
    for (const node of await this.#open(path, tree)) {
      this.#common.addNode(node);
      const { subtree } = node;
      const child = joinPath(path, node.name);
      if (subtree !== null) await this.#attempt(() => this.#collect(child, subtree));
    }
  }

  async #open(path: string, tree: Id): Promise<Generator<TreeNode, void, undefined>> {
    const { reader, signal } = this.#options;
    throwIfCancelled(signal);
    return iterateListing(await reader.read("tree", tree, signal), { path, tree });
  }

  async #attempt(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!isListingDamage(error)) throw error;
      this.#options.onDamage(error.message);
    }
  }

  /** Counts the blobs that only one side has. */
  #count(side: Side, own: BlobSet, other: BlobSet): void {
    const counts = this.#diff[side];
    const { index } = this.#options.reader;
    for (const entry of own.entries()) {
      if (other.has(entry) || this.#common.has(entry)) continue;
      if (index.isTree(entry)) counts.treeBlobs++;
      else counts.dataBlobs++;
      counts.bytes += index.plainLength(entry);
    }
    for (const [id, type] of own.missing) {
      if (other.missing.has(id) || this.#common.missing.has(id)) continue;
      if (type === "tree") counts.treeBlobs++;
      else counts.dataBlobs++;
      this.#options.onDamage(`unable to find blob size for ${type} blob ${id}`);
    }
  }
}

/** Blobs that a side refers to: a bit for each in the index, and what is in no index. */
class BlobSet {
  readonly #index: BlobReader["index"];
  readonly #bits: EntrySet;
  readonly missing = new Map<Id, "data" | "tree">();

  constructor(index: BlobReader["index"]) {
    this.#index = index;
    this.#bits = new EntrySet(createEntrySetMemory(index.count));
  }

  add(type: "data" | "tree", id: Id): void {
    const entry = this.#index.find(type, fromHex(id));
    if (entry < 0) this.missing.set(id, type);
    else this.#bits.add(entry);
  }

  addNode({ content, subtree }: TreeNode): void {
    for (const id of content ?? []) this.add("data", id);
    if (subtree !== null) this.add("tree", subtree);
  }

  has(entry: number): boolean {
    return this.#bits.has(entry);
  }

  *entries(): Generator<number, void, undefined> {
    for (let entry = 0; entry < this.#index.count; entry++) if (this.has(entry)) yield entry;
  }
}

function sameContent(a: TreeNode, b: TreeNode): boolean {
  const [one, two] = [a.content ?? [], b.content ?? []];
  return one.length === two.length && one.every((id, i) => id === two[i]);
}

function noCounts(): DiffCounts {
  return { files: 0, dirs: 0, others: 0, dataBlobs: 0, treeBlobs: 0, bytes: 0 };
}
