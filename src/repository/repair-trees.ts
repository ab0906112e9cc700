// Directory listings without what is lost: what `repair snapshots` makes of trees. Files lose content that is in no index,
// directories that cannot be read become empty ones. A listing in which nothing is missing stays as it is, byte for byte.
//
// Holds one bit for each sound tree, and the new ids of the others.

import { asBuffer, fromHex } from "../base/bytes.ts";
import type { Id } from "../base/bytes.ts";
import { throwIfCancelled } from "../base/cancellation.ts";
import { byteStringToText } from "../restic/byte-string.ts";
import { quoteName } from "../restic/go-quote.ts";
import { encodeTree, iterateTree } from "../restic/tree.ts";
import type { TreeNode } from "../restic/tree-node.ts";
import type { BlobReader } from "./blob-reader.ts";
import { isListingDamage } from "./listing-damage.ts";
import { EntrySet, createEntrySetMemory } from "./entry-set.ts";

export interface TreeRepairOptions {
  reader: BlobReader;
  /** Takes a new tree; its id. */
  store: (json: Uint8Array) => Promise<Id>;
  /** What was changed, and where: `file "/a/b": removed missing content`. */
  onChange: (what: string) => void;
  signal?: AbortSignal | undefined;
}

export class TreeRepair {
  readonly #options: TreeRepairOptions;
  /** Trees in which nothing is missing, by index entry. */
  readonly #sound: EntrySet;
  /** New ids of those in which something was. */
  readonly #replaced = new Map<Id, Id>();

  constructor(options: TreeRepairOptions) {
    this.#options = options;
    this.#sound = new EntrySet(createEntrySetMemory(options.reader.index.count));
  }

  /** The tree that takes the place of a root: itself when nothing is missing, undefined when it cannot be read. */
  async root(tree: Id): Promise<Id | undefined> {
    const known = this.#known(tree);
    if (known !== undefined) return known;
    const nodes = await this.#read(tree);
    if (nodes !== undefined) return await this.#repair(tree, "", nodes);
    this.#options.onChange('dir "/": not readable');
    return undefined;
  }

  async #directory(tree: Id | null, path: string): Promise<Id> {
    const { onChange, store } = this.#options;
    const known = tree === null ? undefined : this.#known(tree);
    if (known !== undefined) return known;
    const nodes = tree === null ? undefined : await this.#read(tree);
    if (tree !== null && nodes !== undefined) return await this.#repair(tree, path, nodes);
    onChange(`dir ${quoted(path)}: replaced with empty directory`);
    return await store(encodeTree([]));
  }

  #known(tree: Id): Id | undefined {
    const entry = this.#options.reader.index.find("tree", fromHex(tree));
    return entry >= 0 && this.#sound.has(entry) ? tree : this.#replaced.get(tree);
  }

  /** All nodes of a tree, or undefined when it is not there or not valid. */
  async #read(tree: Id): Promise<TreeNode[] | undefined> {
    const { reader, signal } = this.#options;
    throwIfCancelled(signal);
    try {
      return [...iterateTree(asBuffer(await reader.read("tree", tree, signal)))];
    } catch (error) {
      if (isListingDamage(error)) return undefined;
      throw error;
    }
  }

  async #repair(tree: Id, path: string, nodes: readonly TreeNode[]): Promise<Id> {
    const { reader, store } = this.#options;
    const repaired: TreeNode[] = [];
    let isSound = true;
    for (const node of nodes) {
      const changed = await this.#node(node, `${path}/${node.name}`);
      if (changed !== node) isSound = false;
      if (changed !== undefined) repaired.push(changed);
    }
    if (isSound) {
      this.#sound.add(reader.index.find("tree", fromHex(tree)));
      return tree;
    }
    const id = await store(encodeTree(repaired));
    this.#replaced.set(tree, id);
    return id;
  }

  /** The node as it is when nothing is missing, another one, or none at all. */
  async #node(node: TreeNode, path: string): Promise<TreeNode | undefined> {
    const { onChange } = this.#options;
    if (node.type === "irregular") {
      onChange(`file ${quoted(path)}: removed node with invalid type "irregular"`);
      return undefined;
    }
    if (node.type === "dir") {
      const subtree = await this.#directory(node.subtree, path);
      return subtree === node.subtree ? node : { ...node, subtree };
    }
    return node.type === "file" ? this.#file(node, path) : node;
  }

  #file(node: TreeNode, path: string): TreeNode {
    const { reader, onChange } = this.#options;
    const { index } = reader;
    const wanted = node.content ?? [];
    const content: Id[] = [];
    let size = 0;
    for (const id of wanted) {
      const entry = index.find("data", fromHex(id));
      if (entry < 0) continue;
      content.push(id);
      size += index.plainLength(entry);
    }
    const isComplete = content.length === wanted.length;
    const isRight = BigInt(node.size) === BigInt(size);
    if (!isComplete) onChange(`file ${quoted(path)}: removed missing content`);
    else if (!isRight) onChange(`file ${quoted(path)}: fixed incorrect size`);
    else if (node.content !== null) return node;
    return { ...node, content, size };
  }
}

/** As restic shows paths in its messages. */
function quoted(path: string): string {
  return `"${byteStringToText(quoteName(path))}"`;
}
