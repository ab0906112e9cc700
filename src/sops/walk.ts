// Walks a tree as SOPS does: every scalar and comment in the order of the file, with the keys from the root and the
// comments above it, while the MAC is computed. Implements docs/formats/sops.md#mac.

import { createHash, type Hash } from "node:crypto";
import type { Comments, Path, Selection } from "./selection.ts";
import type { Comment, Entry, Leaf, List, Mapping, Node } from "./tree.ts";
import { textOf, type Value } from "./value.ts";

/** Starts the hash of documents whose MAC is over encrypted values only, so that it is never that of all values. */
const ONLY_ENCRYPTED: Buffer = createHash("sha256").update("sops").digest();

export interface Visit {
  /** Keys from the root; the places in lists are not in it. */
  readonly path: Path;
  /** What encryption binds the value to. */
  readonly additional: string;
  /** The mapping or list that the value stands in. */
  readonly parent: Mapping | List;
}

export interface Visitor {
  /** What the leaf holds in plain, and what stands there afterwards. */
  readonly leaf: (leaf: Leaf & { value: Value }, encrypted: boolean, visit: Visit) => Replaced;
  /** The text to stand there afterwards. */
  readonly comment: (comment: Comment, encrypted: boolean, visit: Visit) => string;
}

export interface Replaced {
  readonly plain: Value;
  readonly becomes: Value;
}

export interface Walked {
  readonly roots: readonly Mapping[];
  /** Upper-case hex of SHA-512. */
  readonly mac: string;
}

/** Older versions stored comments of lists as items; once open, they are comments. */
function asComment(item: Node): Node | Comment {
  if (item.kind !== "leaf" || item.value?.type !== "comment") return item;
  return { kind: "comment", text: textOf(item.value), at: item.at };
}

/** One walk over all documents of a file. */
class Walk {
  readonly #selection: Selection;
  readonly #onlyEncrypted: boolean;
  readonly #visitor: Visitor;
  readonly #hash: Hash = createHash("sha512");

  constructor(selection: Selection, onlyEncrypted: boolean, visitor: Visitor) {
    this.#selection = selection;
    this.#onlyEncrypted = onlyEncrypted;
    this.#visitor = visitor;
    if (onlyEncrypted) this.#hash.update(ONLY_ENCRYPTED);
  }

  mac(): string {
    return this.#hash.digest("hex").toUpperCase();
  }

  container<C extends Mapping | List>(node: C, path: Path, outer: Comments): C {
    const above: string[] = [];
    const comments = [...outer, above];
    const visit: Visit = { path, additional: `${path.join(":")}:`, parent: node };
    const items = (node.items as readonly (Entry | Node | Comment)[]).map((item) => {
      if (item.kind === "comment") {
        above.push(item.text);
        const encrypted = this.#selection(path, comments, true);
        const text = this.#visitor.comment(item, encrypted, visit);
        return text === item.text ? item : { ...item, text };
      }
      const done =
        item.kind === "entry"
          ? { ...item, node: this.#node(item.node, [...path, item.key], comments, node) }
          : asComment(this.#node(item, path, comments, node));
      above.length = 0;
      return done;
    });
    return { ...node, items } as C;
  }

  #node(node: Node, path: Path, comments: Comments, parent: Mapping | List): Node {
    if (node.kind !== "leaf") return this.container(node, path, comments);
    const { value } = node;
    if (value === undefined) return node;
    const encrypted = this.#selection(path, comments, false);
    const visit = { path, additional: `${path.join(":")}:`, parent };
    const { plain, becomes } = this.#visitor.leaf({ ...node, value }, encrypted, visit);
    // A comment that an older SOPS stored as an item of a list is still none of the values.
    if ((encrypted || !this.#onlyEncrypted) && plain.type !== "comment")
      this.#hash.update(plain.bytes);
    return becomes === value ? node : { ...node, value: becomes };
  }
}

/** Walks all documents, in order; `roots` hold no metadata. */
export function walkDocuments(
  roots: readonly Mapping[],
  { selection, macOnlyEncrypted }: { selection: Selection; macOnlyEncrypted: boolean },
  visitor: Visitor,
): Walked {
  const walk = new Walk(selection, macOnlyEncrypted, visitor);
  const walked = roots.map((root) => walk.container(root, [], []));
  return { roots: walked, mac: walk.mac() };
}
