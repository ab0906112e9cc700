// One entry of a directory listing, and its JSON exactly as restic writes it (docs/formats/restic.md#trees). The bytes
// matter: a tree is named by their hash, and restic refuses to rewrite a tree whose encoding it cannot reproduce.
// Never reorder or add fields.

import type { Id } from "../base/bytes.ts";
import { HoldfastError } from "../base/errors.ts";
import { byteStringToText, isUtf8, textToByteString } from "./byte-string.ts";
import { goJsonByteString, goJsonString } from "./go-json.ts";
import { quoteName, unquoteName } from "./go-quote.ts";
import { GO_ZERO_TIME } from "./go-time.ts";
import type { Uint64 } from "./json-object.ts";

export const NODE_TYPES = [
  "file",
  "dir",
  "symlink",
  "dev",
  "chardev",
  "fifo",
  "socket",
  "irregular",
] as const;
export type NodeType = (typeof NODE_TYPES)[number];

export interface ExtendedAttribute {
  /** Text; restic keeps no raw form of names that are not UTF-8. */
  readonly name: string;
  /** null is how restic writes an attribute whose value it did not get. */
  readonly value: Uint8Array | null;
}

/** Fields of which the node keeps the JSON text when another writer spelled them differently than we would. */
export type SpelledField = "name" | "user" | "group" | "linktarget" | "error";

/**
 * A node. Every field is always there, so that millions of nodes share one shape; as in Go, a zero value ("", 0, null)
 * means that the field is absent. Make one with createNode.
 */
export interface TreeNode {
  /** Byte string: the raw name on disk. */
  name: string;
  type: NodeType;
  /** Go's os.FileMode, see file-mode.ts. */
  mode: number;
  /** RFC 3339 text as it is stored; see formatTimeParts and parseTime. */
  mtime: string;
  atime: string;
  ctime: string;
  uid: number;
  gid: number;
  /** Text. A byte that is not UTF-8 is represented by a lone surrogate, and stored as U+FFFD. */
  user: string;
  group: string;
  inode: Uint64;
  deviceId: Uint64;
  /** Bytes of a file. */
  size: Uint64;
  links: Uint64;
  /** Byte string: the raw target of a symlink. */
  linkTarget: string;
  extendedAttributes: readonly ExtendedAttribute[] | null;
  /** The JSON object as it is stored, a byte string; "" when absent. */
  genericAttributes: string;
  /** st_rdev of a device. */
  device: Uint64;
  /** Data blobs of a file ([] when it is empty), null for everything else. */
  content: readonly Id[] | null;
  /** Tree blob of a directory. */
  subtree: Id | null;
  error: string;
  /** Members that this program does not know, as they are stored, a byte string; "" when there are none. */
  extra: string;
  /** JSON strings of another writer that mean what the field says but are spelled differently. */
  spelling: Partial<Record<SpelledField, string>> | null;
}

/** A node with zero values for everything that is not given. */
export function createNode(fields: Pick<TreeNode, "name" | "type"> & Partial<TreeNode>): TreeNode {
  return {
    name: fields.name,
    type: fields.type,
    mode: fields.mode ?? 0,
    mtime: fields.mtime ?? GO_ZERO_TIME,
    atime: fields.atime ?? GO_ZERO_TIME,
    ctime: fields.ctime ?? GO_ZERO_TIME,
    uid: fields.uid ?? 0,
    gid: fields.gid ?? 0,
    user: fields.user ?? "",
    group: fields.group ?? "",
    inode: fields.inode ?? 0,
    deviceId: fields.deviceId ?? 0,
    size: fields.size ?? 0,
    links: fields.links ?? 0,
    linkTarget: fields.linkTarget ?? "",
    extendedAttributes: fields.extendedAttributes ?? null,
    genericAttributes: fields.genericAttributes ?? "",
    device: fields.device ?? 0,
    content: fields.content ?? null,
    subtree: fields.subtree ?? null,
    error: fields.error ?? "",
    extra: fields.extra ?? "",
    spelling: fields.spelling ?? null,
  };
}

/**
 * Throws unless `name` can be the name of a directory entry: TREE_HOSTILE for one that would lead elsewhere,
 * TREE_DAMAGED for one that cannot exist.
 */
export function checkNodeName(name: string): void {
  if (name.includes("/") || name === "..") {
    throw new HoldfastError("TREE_HOSTILE", `a directory listing names ${shown(name)}`, {
      hint: "Do not restore this snapshot: its author may have tampered with it.",
    });
  }
  if (name === "" || name === "." || name.includes("\0")) {
    throw new HoldfastError(
      "TREE_DAMAGED",
      `a directory listing has the impossible name ${shown(name)}`,
    );
  }
}

function shown(name: string): string {
  return `"${byteStringToText(quoteName(name))}"`;
}

/** Names that are stored as they are. */
const PLAIN_NAME = /^[ !#-%'-.0-;=?-[\]-~]+$/;
/** Text of people that is stored as it is. */
const PLAIN = /^[ !#-%'-;=?-[\]-\x7f]*$/;

/** The JSON of a node as a byte string (its chars are UTF-8 bytes), without separator. */
export function encodeNode(node: TreeNode): string {
  const { mode, inode, deviceId, size, links, device, content, subtree } = node;
  let json = `{"name":${encodeName(node)},"type":"${node.type}"`;
  if (mode !== 0) json += `,"mode":${mode}`;
  json += `,"mtime":"${node.mtime}","atime":"${node.atime}","ctime":"${node.ctime}"`;
  json += encodeOwner(node);
  if (inode !== 0) json += `,"inode":${inode}`;
  if (deviceId !== 0) json += `,"device_id":${deviceId}`;
  if (size !== 0) json += `,"size":${size}`;
  if (links !== 0) json += `,"links":${links}`;
  if (node.linkTarget !== "") json += encodeLinkTarget(node);
  if (node.extendedAttributes !== null) json += encodeAttributes(node.extendedAttributes);
  if (node.genericAttributes !== "") json += `,"generic_attributes":${node.genericAttributes}`;
  if (device !== 0) json += `,"device":${device}`;
  json += content === null ? `,"content":null` : encodeContent(content);
  if (subtree !== null) json += `,"subtree":"${subtree}"`;
  if (node.error !== "") json += `,"error":${encodeText(node, "error")}`;
  if (node.extra !== "") json += `,${node.extra}`;
  return `${json}}`;
}

function encodeName(node: TreeNode): string {
  const { name } = node;
  if (PLAIN_NAME.test(name) && node.spelling === null && name !== "." && name !== "..") {
    return `"${name}"`;
  }
  checkNodeName(name);
  const spelled = node.spelling?.name;
  return spelled !== undefined && decodeNameJson(spelled) === name ? spelled : nameJson(name);
}

let lastOwner: { uid: number; gid: number; user: string; group: string; json: string } | undefined;

function encodeOwner(node: TreeNode): string {
  const { uid, gid, user, group } = node;
  // Neighbours mostly belong to one owner.
  if (
    lastOwner?.uid === uid &&
    lastOwner.gid === gid &&
    lastOwner.user === user &&
    lastOwner.group === group &&
    node.spelling === null
  ) {
    return lastOwner.json;
  }
  let json = `,"uid":${uid},"gid":${gid}`;
  if (user !== "") json += `,"user":${encodeText(node, "user")}`;
  if (group !== "") json += `,"group":${encodeText(node, "group")}`;
  if (node.spelling === null) lastOwner = { uid, gid, user, group, json };
  return json;
}

function encodeText(node: TreeNode, field: "user" | "group" | "error"): string {
  const spelled = node.spelling?.[field];
  if (spelled !== undefined && decodeTextJson(spelled) === node[field]) return spelled;
  return textJson(node[field]);
}

function encodeLinkTarget(node: TreeNode): string {
  const { linkTarget } = node;
  if (PLAIN.test(linkTarget) && node.spelling === null) return `,"linktarget":"${linkTarget}"`;
  const spelled = node.spelling?.linktarget;
  if (spelled !== undefined && textToByteString(decodeTextJson(spelled)) === linkTarget) {
    return `,"linktarget":${spelled}`;
  }
  const json = `,"linktarget":${goJsonByteString(linkTarget)}`;
  if (isUtf8(linkTarget)) return json;
  return `${json},"linktarget_raw":"${Buffer.from(linkTarget, "latin1").toString("base64")}"`;
}

function encodeAttributes(attributes: readonly ExtendedAttribute[]): string {
  if (attributes.length === 0) return "";
  const list = attributes.map(({ name, value }) => {
    const base64 = value === null ? "null" : `"${Buffer.from(value).toString("base64")}"`;
    return `{"name":${textJson(name)},"value":${base64}}`;
  });
  return `,"extended_attributes":[${list.join(",")}]`;
}

function encodeContent(content: readonly Id[]): string {
  if (content.length === 1) return `,"content":["${content[0]}"]`;
  return content.length === 0 ? `,"content":[]` : `,"content":["${content.join('","')}"]`;
}

/** How we spell a name: JSON as a byte string. */
export function nameJson(name: string): string {
  return goJsonByteString(quoteName(name));
}

/** How we spell text: JSON as a byte string. */
export function textJson(text: string): string {
  return PLAIN.test(text) ? `"${text}"` : textToByteString(goJsonString(text));
}

/** The name that a JSON string stands for. Throws TREE_DAMAGED when it is not validly quoted. */
export function decodeNameJson(json: string): string {
  return unquoteName(textToByteString(decodeTextJson(json)));
}

/** The text of a JSON string that JSON.parse has accepted before, given as a byte string. */
export function decodeTextJson(json: string): string {
  return JSON.parse(byteStringToText(json)) as string;
}
