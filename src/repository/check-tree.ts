// Checks one directory listing: that it is valid, and that everything it refers to is in the index. Notes what is used.
// Runs in worker threads and on the main thread alike.

import { isHoldfastError } from "../base/errors.ts";
import { asBuffer } from "../base/bytes.ts";
import { byteStringToText } from "../restic/byte-string.ts";
import { iterateTree } from "../restic/tree.ts";
import type { TreeNode } from "../restic/tree-node.ts";
import type { TreeReferences } from "../restic/tree-references.ts";
import type { BlobLookup } from "./blob-index.ts";
import { DETAILS_MAX } from "./check-findings.ts";
import type { FindingCode } from "./check-findings.ts";
import type { EntrySet } from "./entry-set.ts";
import type { TreeEdges } from "./tree-graph.ts";

const NULL_ID = "0".repeat(64);

/** Faults of one kind in one tree. */
export interface TreeFault {
  code: FindingCode;
  /** Index entry of the tree. */
  tree: number;
  details: string[];
  /** All of them, more than `details` perhaps. */
  count: number;
}

export class TreeCheck {
  readonly #index: BlobLookup;
  readonly #used: EntrySet;
  readonly #edges: TreeEdges | undefined;
  readonly #references: TreeReferences | undefined;
  readonly #id: Buffer = Buffer.alloc(32);
  #faults = new Map<FindingCode, TreeFault>();
  #tree = 0;
  #entries = new Uint32Array(256);

  /** `edges` collects what each tree refers to; `references` reads trees in kernel memory the fast way. */
  constructor(
    index: BlobLookup,
    used: EntrySet,
    { edges, references }: { edges?: TreeEdges | undefined; references?: TreeReferences } = {},
  ) {
    this.#index = index;
    this.#used = used;
    this.#edges = edges;
    this.#references = references;
  }

  /**
   * Checks the plaintext of the tree at an index entry. `onSubtree` gets the entry of each subtree that nobody has
   * met before; it and the blobs are added to the set of used entries.
   */
  check(tree: number, plain: Uint8Array, onSubtree: (entry: number) => void): TreeFault[] {
    this.#tree = tree;
    this.#faults = new Map();
    try {
      if (this.#checkPlain(plain, onSubtree)) {
        this.#edges?.end(tree);
        return [];
      }
      for (const node of iterateTree(asBuffer(plain))) this.#checkNode(node, onSubtree);
    } catch (error) {
      if (!isHoldfastError(error, "TREE_DAMAGED", "TREE_HOSTILE")) throw error;
      this.#fault(error.code as "TREE_DAMAGED" | "TREE_HOSTILE", error.message);
    }
    this.#edges?.end(tree);
    return [...this.#faults.values()];
  }

  /** Checks a tree in which all is well, and says whether it is one; if not, nothing was done. */
  #checkPlain(plain: Uint8Array, onSubtree: (entry: number) => void): boolean {
    const references = this.#references;
    const count = references?.read(plain);
    if (references === undefined || count === undefined) return false;
    const entries = this.#entriesOf(references, count);
    if (entries === undefined) return false;
    for (let i = 0; i < count; i++) {
      const entry = entries[i]!;
      const isTree = references.isTree(i);
      if (isTree) this.#edges?.subtree(entry);
      else this.#edges?.pack(this.#index.packNumber(entry));
      if (this.#used.add(entry) && isTree) onSubtree(entry);
    }
    return true;
  }

  /** The entries of all references, in memory for one tree, or undefined when one of them is in no index. */
  #entriesOf(references: TreeReferences, count: number): Uint32Array | undefined {
    if (this.#entries.length < count) this.#entries = new Uint32Array(2 * count);
    for (let i = 0; i < count; i++) {
      const type = references.isTree(i) ? "tree" : "data";
      const entry = this.#index.find(type, references.bytes, references.idAt(i));
      if (entry < 0) return undefined;
      this.#entries[i] = entry;
    }
    return this.#entries;
  }

  #checkNode(node: TreeNode, onSubtree: (entry: number) => void): void {
    if (node.type === "file") {
      if (node.content === null) this.#nodeFault("TREE_DAMAGED", node, "has no list of blobs");
      // The sum of the blobs' sizes may differ from the file's: it may have changed while it was read.
      else for (const id of node.content) this.#checkBlob(node, id);
    } else if (node.type === "dir") {
      this.#checkSubtree(node, onSubtree);
    }
  }

  #checkBlob(node: TreeNode, id: string): void {
    const entry = this.#find("data", id);
    if (entry >= 0) {
      this.#used.add(entry);
      this.#edges?.pack(this.#index.packNumber(entry));
    } else if (id === NULL_ID) this.#nodeFault("TREE_DAMAGED", node, "has a blob with a null id");
    else this.#nodeFault("BLOB_MISSING", node, `needs blob ${id}, which is in no index`);
  }

  #checkSubtree(node: TreeNode, onSubtree: (entry: number) => void): void {
    if (node.subtree === null) return this.#nodeFault("TREE_DAMAGED", node, "has no listing");
    const entry = this.#find("tree", node.subtree);
    if (entry >= 0) {
      this.#edges?.subtree(entry);
      if (this.#used.add(entry)) onSubtree(entry);
    } else if (node.subtree === NULL_ID) {
      this.#nodeFault("TREE_DAMAGED", node, "has a listing with a null id");
    } else {
      this.#nodeFault("TREE_MISSING", node, `needs listing ${node.subtree}, which is in no index`);
    }
  }

  #find(type: "data" | "tree", id: string): number {
    this.#id.write(id, "hex");
    return this.#index.find(type, this.#id);
  }

  #nodeFault(code: FindingCode, node: TreeNode, what: string): void {
    const name = JSON.stringify(byteStringToText(node.name));
    this.#fault(code, `${node.type === "dir" ? "directory" : "file"} ${name} ${what}`);
  }

  #fault(code: FindingCode, detail: string): void {
    let fault = this.#faults.get(code);
    if (fault === undefined) {
      fault = { code, tree: this.#tree, details: [], count: 0 };
      this.#faults.set(code, fault);
    }
    if (fault.details.length < DETAILS_MAX) fault.details.push(detail);
    fault.count++;
  }
}
