// What `find` prints: restic's lines about entries and objects, or its one array of JSON, which grows as things are found.

import type { FoundObject } from "../files/find-entries.ts";
import type { WalkedEntry } from "../files/snapshot-walk.ts";
import type { FoundSnapshot } from "../repository/snapshots.ts";
import { textToByteString } from "../restic/byte-string.ts";
import { goJsonByteString } from "../restic/go-json.ts";
import { canonicalTime, parseTime } from "../restic/go-time.ts";
import { textJson } from "../restic/tree-node.ts";
import type { TreeNode } from "../restic/tree-node.ts";
import { formatLocalTime, shortId } from "./format.ts";
import { formatMode, formatNode } from "./node-line.ts";
import type { NodeLineOptions } from "./node-line.ts";
import type { Output } from "./output.ts";
import { pathText } from "./terminal-text.ts";

export class FindReport {
  readonly #output: Output;
  readonly #options: NodeLineOptions;
  /** The snapshot of the last entry. */
  #snapshot: FoundSnapshot | undefined;
  #hits = 0;
  #begun = false;

  constructor(output: Output, options: NodeLineOptions) {
    this.#output = output;
    this.#options = { ...options, quote: output.isTerminal };
  }

  entry(snapshot: FoundSnapshot, { path, node }: WalkedEntry): void {
    if (this.#output.isJson) this.#entryJson(snapshot, path, node);
    else this.#entryText(snapshot, path, node);
  }

  object(snapshot: FoundSnapshot, found: FoundObject): void {
    const { kind, id, path, parentTree } = found;
    if (this.#output.isJson) {
      const time = canonicalTime(snapshot.snapshot.time);
      const parent = parentTree === undefined ? "" : `,"parent_tree":"${parentTree}"`;
      this.#item(
        `{"object_type":"${kind}","id":"${id}","path":${goJsonByteString(path)}${parent},` +
          `"snapshot":"${snapshot.id}","time":"${time}"}`,
      );
      return;
    }
    const output = this.#output;
    const shown = output.isTerminal ? textToByteString(pathText(path)) : path;
    output.data(`Found ${kind} ${id}`);
    if (parentTree === undefined) output.dataBytes(` ... path ${shown}`);
    else {
      output.dataBytes(` ... in file ${shown}`);
      output.data(`     (tree ${parentTree})`);
    }
    output.data(` ... in snapshot ${shortId(snapshot.id)} (${timeOf(snapshot)})`);
  }

  /** Ends the array of JSON. */
  finish(): void {
    if (!this.#output.isJson) return;
    if (this.#snapshot !== undefined) this.#write(this.#endOfSnapshot(this.#snapshot));
    this.#write(this.#begun ? "]\n" : "[]\n");
  }

  #entryText(snapshot: FoundSnapshot, path: string, node: TreeNode): void {
    const output = this.#output;
    if (snapshot !== this.#snapshot) {
      if (this.#snapshot !== undefined) output.print("");
      this.#snapshot = snapshot;
      output.print(
        `Found matching entries in snapshot ${shortId(snapshot.id)} from ${timeOf(snapshot)}`,
      );
    }
    output.dataBytes(formatNode(path, node, this.#options));
  }

  #entryJson(snapshot: FoundSnapshot, path: string, node: TreeNode): void {
    let start = "";
    if (snapshot !== this.#snapshot) {
      if (this.#snapshot !== undefined) start = `${this.#endOfSnapshot(this.#snapshot)},`;
      start += '{"matches":[';
      this.#snapshot = snapshot;
      this.#hits = 0;
    }
    const opening = this.#begun ? "" : "[";
    this.#begun = true;
    this.#write(`${opening}${start}${this.#hits > 0 ? "," : ""}${nodeJson(path, node)}`);
    this.#hits++;
  }

  #endOfSnapshot({ id }: FoundSnapshot): string {
    return `],"hits":${this.#hits},"snapshot":"${id}"}`;
  }

  #item(json: string): void {
    this.#write(`${this.#begun ? "," : "["}${json}`);
    this.#begun = true;
  }

  /** Takes a byte string. */
  #write(json: string): void {
    this.#output.raw(Buffer.from(json, "latin1"));
  }
}

function timeOf({ snapshot }: FoundSnapshot): string {
  return formatLocalTime(Number(parseTime(snapshot.time) / 1_000_000n));
}

/** The members that restic tells of an entry, as a byte string: the listing's, but for its content and attributes. */
function nodeJson(path: string, node: TreeNode): string {
  const { type, mode, uid, gid, user, group, inode, deviceId, size, links, linkTarget } = node;
  const times = (["mtime", "atime", "ctime"] as const).map(
    (name) => `,"${name}":"${canonicalTime(node[name])}"`,
  );
  const number = (name: string, value: number | bigint): string =>
    Number(value) === 0 ? "" : `,"${name}":${value}`;
  const text = (name: string, value: string): string =>
    value === "" ? "" : `,"${name}":${textJson(value)}`;
  const target = linkTarget === "" ? "" : `,"linktarget":${goJsonByteString(linkTarget)}`;
  return (
    `{"path":${goJsonByteString(path)},"permissions":"${formatMode(mode)}","type":"${type}"` +
    `${number("mode", mode)}${times.join("")},"uid":${uid},"gid":${gid}${text("user", user)}${text("group", group)}` +
    `${number("inode", inode)}${number("device_id", deviceId)}${number("size", size)}${number("links", links)}` +
    `${target}${text("error", node.error)}}`
  );
}
