// The files beside the filestore in a capture, as nodes: kept from capture to capture, and stored again only when they change.

import { Buffer } from "node:buffer";
import type { Id } from "../../base/bytes.ts";
import { readFileContent } from "../../files/file-content.ts";
import type { BlobReader } from "../../repository/blob-reader.ts";
import { byteStringToText, textToByteString } from "../../restic/byte-string.ts";
import { createNode } from "../../restic/tree-node.ts";
import type { TreeNode } from "../../restic/tree-node.ts";
import { iterateTree } from "../../restic/tree.ts";
import type { CaptureWriter } from "./capture-writer.ts";
import type { PathTree } from "./path-tree.ts";

const FILE_MODE = 0o600;
/** A file larger than this is none of ours. */
const READ_MAX = 1 << 30;

export class SideFiles {
  /** By path below the side folder: "missing.jsonl", "attachments/000001.jsonl". */
  readonly #nodes = new Map<string, TreeNode>();
  #reader: BlobReader | undefined;
  /** Something changed since `put` was called last. */
  isChanged = false;

  /** Paths of all of them. */
  get paths(): string[] {
    return [...this.#nodes.keys()];
  }

  /** Takes those of an earlier capture. */
  async load(reader: BlobReader, tree: Id, signal?: AbortSignal): Promise<void> {
    this.#reader = reader;
    const waiting = [{ prefix: "", tree }];
    for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
      for (const node of iterateTree(await reader.read("tree", at.tree, signal))) {
        const path = at.prefix + byteStringToText(node.name);
        if (node.subtree !== null) waiting.push({ prefix: `${path}/`, tree: node.subtree });
        else if (node.type === "file") this.#nodes.set(path, node);
      }
    }
  }

  /** The content of one that was loaded; undefined when it is not there. Throws BLOB_MISSING, BLOB_DAMAGED, … */
  async read(path: string, signal?: AbortSignal): Promise<Uint8Array | undefined> {
    const node = this.#nodes.get(path);
    if (node === undefined || this.#reader === undefined || Number(node.size) > READ_MAX) {
      return undefined;
    }
    const pieces: Uint8Array[] = [];
    const options = { reader: this.#reader, node, ahead: 2, signal };
    for await (const piece of readFileContent(options)) pieces.push(piece);
    return Buffer.concat(pieces);
  }

  /** Stores a file in place of the one of that path. `time` is RFC 3339. */
  async write(
    path: string,
    bytes: Uint8Array,
    { writer, time }: { readonly writer: CaptureWriter; readonly time: string },
  ): Promise<void> {
    const { content, size } = await writer.addContent([bytes]);
    const before = this.#nodes.get(path);
    if (before?.content?.join() === content.join() && Number(before.size) === size) return;
    const name = textToByteString(path.slice(path.lastIndexOf("/") + 1));
    const node = createNode({
      name,
      type: "file",
      mode: FILE_MODE,
      mtime: time,
      atime: time,
      ctime: time,
      size,
      links: 1,
      content,
    });
    this.#nodes.set(path, node);
    this.isChanged = true;
  }

  /** Leaves a file out. */
  drop(path: string): void {
    if (this.#nodes.delete(path)) this.isChanged = true;
  }

  /** Puts all of them below `folder`. */
  put(tree: PathTree, folder: string): void {
    for (const [path, node] of this.#nodes) {
      const slash = path.lastIndexOf("/");
      tree.put(slash < 0 ? folder : `${folder}/${path.slice(0, slash)}`, node);
    }
    this.isChanged = false;
  }
}
