// Directory listings (docs/formats/restic.md#trees): {"nodes":[…]} and a newline, nodes ascending by the raw bytes of
// their names. Trees of one directory reach hundreds of megabytes, so they are read node by node and written into one
// growing buffer; nothing here holds all nodes unless the caller asks for it.

import { asBuffer } from "../base/bytes.ts";
import { HoldfastError } from "../base/errors.ts";
import { byteStringToText } from "./byte-string.ts";
import { quoteName } from "./go-quote.ts";
import { decodeNode } from "./tree-node-decode.ts";
import { encodeNode } from "./tree-node.ts";
import type { TreeNode } from "./tree-node.ts";

const HEAD = '{"nodes":[';
const TAIL = "]}\n";

/** Writes a tree node by node. */
export class TreeBuilder {
  #buffer = Buffer.allocUnsafe(4096);
  #length: number;
  #lastName = "";
  #count = 0;

  constructor() {
    this.#length = this.#buffer.write(HEAD, 0, "latin1");
  }

  /** Number of nodes so far. */
  get count(): number {
    return this.#count;
  }

  /** Bytes that the tree has so far. */
  get bytes(): number {
    return this.#length + TAIL.length;
  }

  /** Adds a node; names must strictly ascend. */
  add(node: TreeNode): void {
    this.addEncoded(node.name, encodeNode(node));
  }

  /** Adds what encodeNode returned for a node called `name`. */
  addEncoded(name: string, json: string): void {
    if (name <= this.#lastName) {
      throw new HoldfastError(
        "BUG",
        `nodes out of order: ${shown(this.#lastName)}, ${shown(name)}`,
      );
    }
    this.#write(this.#count === 0 ? json : `,${json}`);
    this.#lastName = name;
    this.#count++;
  }

  /** The tree's bytes. The builder must not be used afterwards. */
  finish(): Buffer {
    this.#write(TAIL);
    return this.#buffer.subarray(0, this.#length);
  }

  #write(text: string): void {
    const needed = this.#length + text.length;
    if (needed > this.#buffer.length) {
      const larger = Buffer.allocUnsafe(Math.max(needed, this.#buffer.length * 2));
      larger.set(this.#buffer.subarray(0, this.#length));
      this.#buffer = larger;
    }
    this.#length += this.#buffer.write(text, this.#length, "latin1");
  }
}

/** The bytes of a tree; `nodes` must strictly ascend by name. */
export function encodeTree(nodes: Iterable<TreeNode>): Buffer {
  const builder = new TreeBuilder();
  for (const node of nodes) builder.add(node);
  return builder.finish();
}

/** All nodes of a tree. Throws TREE_DAMAGED or TREE_HOSTILE. */
export function decodeTree(bytes: Uint8Array): TreeNode[] {
  const nodes: TreeNode[] = [];
  for (const node of iterateTree(bytes)) nodes.push(node);
  return nodes;
}

/**
 * The nodes of a tree one by one, each checked as it is reached. Throws TREE_DAMAGED or TREE_HOSTILE; an error may
 * come after valid nodes.
 */
export function* iterateTree(bytes: Uint8Array): Generator<TreeNode, void, undefined> {
  const tree = asBuffer(bytes);
  let lastName = "";
  let at = findNodes(tree);
  if (tree[at] === CLOSE_LIST) return endTree(tree, at + 1);
  for (;;) {
    const end = endOfValue(tree, at);
    const node = decodeNode(tree.toString("latin1", at, end));
    if (node.name <= lastName) {
      throw damaged(`${shown(node.name)} follows ${shown(lastName)}`);
    }
    lastName = node.name;
    yield node;
    at = skipSpace(tree, end);
    if (tree[at] === CLOSE_LIST) return endTree(tree, at + 1);
    if (tree[at] !== COMMA) throw damaged("the list of nodes does not end");
    at = skipSpace(tree, at + 1);
  }
}

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_LIST = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_LIST = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

/** Index of the first node, or of the bracket that closes an empty list. Unknown members before it are skipped. */
function findNodes(tree: Buffer): number {
  if (tree.toString("latin1", 0, HEAD.length) === HEAD) return skipSpace(tree, HEAD.length);
  let at = skipSpace(tree, 0);
  if (tree[at] !== OPEN_OBJECT) throw damaged("it is not a JSON object");
  for (at = skipSpace(tree, at + 1); ; at = skipSpace(tree, at + 1)) {
    const member = readKey(tree, at);
    if (member.key === "nodes") {
      if (tree[member.value] !== OPEN_LIST) throw damaged("its nodes are not a list");
      return skipSpace(tree, member.value + 1);
    }
    at = skipUnknown(tree, member.value);
    if (tree[at] !== COMMA) throw damaged("it has no nodes");
  }
}

/** Checks what follows the list of nodes: members that we do not know, and the end. */
function endTree(tree: Buffer, afterList: number): void {
  let at = skipSpace(tree, afterList);
  while (tree[at] === COMMA) {
    at = skipUnknown(tree, readKey(tree, skipSpace(tree, at + 1)).value);
  }
  if (tree[at] !== CLOSE_OBJECT) throw damaged("it is cut off");
  if (skipSpace(tree, at + 1) !== tree.length) throw damaged("more follows after its end");
}

/** The key of the member at `at`, and the index of its value. */
function readKey(tree: Buffer, at: number): { key: string; value: number } {
  if (tree[at] !== QUOTE) throw damaged("a member has no name");
  const end = endOfString(tree, at);
  const colon = skipSpace(tree, end);
  if (tree[colon] !== COLON) throw damaged("a member has no value");
  return { key: tree.toString("latin1", at + 1, end - 1), value: skipSpace(tree, colon + 1) };
}

/** Index of what follows an unknown value. */
function skipUnknown(tree: Buffer, at: number): number {
  const end = endOfValue(tree, at);
  try {
    JSON.parse(tree.toString("latin1", at, end));
  } catch {
    throw damaged("it is not valid JSON");
  }
  return skipSpace(tree, end);
}

/** Index after the value that starts at `start`; its inside is not checked. */
function endOfValue(tree: Buffer, start: number): number {
  let depth = 0;
  for (let at = start; at < tree.length; at++) {
    const byte = tree[at]!;
    if (byte === QUOTE) at = endOfString(tree, at) - 1;
    else if (byte === OPEN_OBJECT || byte === OPEN_LIST) depth++;
    else if (byte === CLOSE_OBJECT || byte === CLOSE_LIST) {
      if (depth === 0) return at;
      if (--depth === 0) return at + 1;
    } else if (byte === COMMA && depth === 0) return at;
  }
  throw damaged("it is cut off");
}

/** Index after the closing quote of the string that opens at `start`. */
function endOfString(tree: Buffer, start: number): number {
  for (let at = start + 1; at < tree.length; at++) {
    const byte = tree[at]!;
    if (byte === BACKSLASH) at++;
    else if (byte === QUOTE) return at + 1;
  }
  throw damaged("it is cut off");
}

function skipSpace(tree: Buffer, start: number): number {
  let at = start;
  for (;;) {
    const byte = tree[at];
    if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return at;
    at++;
  }
}

function shown(name: string): string {
  return `"${byteStringToText(quoteName(name))}"`;
}

function damaged(why: string): HoldfastError {
  return new HoldfastError("TREE_DAMAGED", `a directory listing is damaged: ${why}`);
}
