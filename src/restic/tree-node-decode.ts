// Reading one node of a directory listing (docs/formats/restic.md#trees). Whatever the bytes are, the result is a valid
// node or a HoldfastError; a node that restic wrote encodes to the same bytes again.

import { isId } from "../base/bytes.ts";
import { HoldfastError } from "../base/errors.ts";
import { byteStringToText, textToByteString } from "./byte-string.ts";
import { goJsonByteString } from "./go-json.ts";
import { quoteName, unquoteName } from "./go-quote.ts";
import { GO_ZERO_TIME, isTime } from "./go-time.ts";
import {
  isString,
  isUint32,
  isUint53,
  parseJsonObject,
  parseUint64,
  splitJsonObject,
} from "./json-object.ts";
import type { Uint64 } from "./json-object.ts";
import {
  checkNodeName,
  decodeNameJson,
  decodeTextJson,
  nameJson,
  NODE_TYPES,
  textJson,
} from "./tree-node.ts";
import type { ExtendedAttribute, NodeType, SpelledField, TreeNode } from "./tree-node.ts";

/** What JSON.parse returns for a node, before any check. */
type RawNode = Readonly<Record<(typeof MEMBERS)[number], unknown>>;

const MEMBERS = [
  "name",
  "type",
  "mode",
  "mtime",
  "atime",
  "ctime",
  "uid",
  "gid",
  "user",
  "group",
  "inode",
  "device_id",
  "size",
  "links",
  "linktarget",
  "linktarget_raw",
  "extended_attributes",
  "generic_attributes",
  "device",
  "content",
  "subtree",
  "error",
] as const;
const KNOWN: ReadonlySet<string> = new Set(MEMBERS);

const TYPES: ReadonlySet<unknown> = new Set(NODE_TYPES);

/** Names that mean themselves. */
const PLAIN_NAME = /^[ !#-.0-[\]-~]+$/;

/**
 * What JSON.parse alone would lose: escapes other than those of < > &, those three or U+2028/9 unescaped, and long integers.
 */
const NEEDS_CARE = /[<>&]|\xe2\x80[\xa8\xa9]|\\(?!u00(?:3c|3e|26))|":\d{16}/;

/** The node whose JSON is the byte string `json`. Throws TREE_DAMAGED or TREE_HOSTILE. */
export function decodeNode(json: string): TreeNode {
  const raw = parseJsonObject(json) as RawNode | undefined;
  if (raw === undefined) throw damaged("an entry is not a JSON object");
  const careful = NEEDS_CARE.test(json) ? splitJsonObject(json) : undefined;
  const name = careful === undefined ? decodeName(raw.name) : carefulName(raw.name, careful);
  checkNodeName(name);
  try {
    const node = decodeFields(raw, name, careful);
    if (
      careful !== undefined ||
      raw.generic_attributes != null ||
      hasUnknownMember(raw) ||
      !(PLAIN_NAME.test(name) || quoteName(name) === raw.name)
    ) {
      keepAsWritten(node, careful ?? splitJsonObject(json));
    }
    return node;
  } catch (error) {
    if (!(error instanceof FieldError)) throw error;
    throw damaged(`${error.message} of "${byteStringToText(quoteName(name))}"`);
  }
}

/** Thrown inside this file only: the field that is not valid. */
class FieldError extends Error {}

type Members = ReadonlyMap<string, string>;

function decodeName(value: unknown): string {
  if (!isString(value)) throw damaged("an entry has no name");
  return PLAIN_NAME.test(value) ? value : unquoteName(value);
}

function carefulName(value: unknown, members: Members): string {
  if (!isString(value)) throw damaged("an entry has no name");
  return decodeNameJson(members.get("name")!);
}

function decodeFields(raw: RawNode, name: string, careful: Members | undefined): TreeNode {
  const mtime = time(raw.mtime, "mtime");
  const atime = raw.atime === mtime ? mtime : time(raw.atime, "atime");
  const ctime = raw.ctime === mtime ? mtime : time(raw.ctime, "ctime");
  return {
    name,
    type: nodeType(raw.type),
    mode: uint32(raw.mode, "mode"),
    mtime,
    atime,
    ctime,
    uid: uint32(raw.uid, "uid"),
    gid: uint32(raw.gid, "gid"),
    user: text(raw.user, "user", careful),
    group: text(raw.group, "group", careful),
    inode: uint64(raw.inode, "inode", careful),
    deviceId: uint64(raw.device_id, "device_id", careful),
    size: uint64(raw.size, "size", careful),
    links: uint64(raw.links, "links", careful),
    linkTarget: linkTarget(raw, careful),
    extendedAttributes: attributes(raw.extended_attributes, careful),
    genericAttributes: "",
    device: uint64(raw.device, "device", careful),
    content: content(raw.content),
    subtree: subtree(raw.subtree),
    error: text(raw.error, "error", careful),
    extra: "",
    spelling: null,
  };
}

function nodeType(value: unknown): NodeType {
  if (!TYPES.has(value)) throw new FieldError("unknown type");
  return value as NodeType;
}

let lastTime = GO_ZERO_TIME;

function time(value: unknown, field: string): string {
  if (value === undefined) return GO_ZERO_TIME;
  if (value === lastTime) return lastTime;
  if (!isString(value) || !isTime(value)) throw new FieldError(`invalid ${field}`);
  return (lastTime = value);
}

function uint32(value: unknown, field: string): number {
  if (value === undefined) return 0;
  if (!isUint32(value)) throw new FieldError(`invalid ${field}`);
  return value;
}

function uint64(value: unknown, field: string, careful: Members | undefined): Uint64 {
  if (value === undefined) return 0;
  if (isUint53(value)) return value;
  const exact = careful === undefined ? undefined : parseUint64(careful.get(field) ?? "");
  if (exact === undefined) throw new FieldError(`invalid ${field}`);
  return exact;
}

function text(value: unknown, field: string, careful: Members | undefined): string {
  if (value === undefined) return "";
  if (!isString(value)) throw new FieldError(`invalid ${field}`);
  if (careful !== undefined) return decodeTextJson(careful.get(field)!);
  return byteStringToText(value);
}

function linkTarget(raw: RawNode, careful: Members | undefined): string {
  if (raw.linktarget_raw != null) {
    return base64(raw.linktarget_raw, "linktarget_raw").toString("latin1");
  }
  if (raw.linktarget === undefined) return "";
  if (!isString(raw.linktarget)) throw new FieldError("invalid linktarget");
  if (careful === undefined) return raw.linktarget;
  return textToByteString(decodeTextJson(careful.get("linktarget")!));
}

function attributes(value: unknown, careful: Members | undefined): ExtendedAttribute[] | null {
  if (value == null) return null;
  if (!Array.isArray(value)) throw new FieldError("invalid extended_attributes");
  if (value.length === 0) return null;
  const list = careful === undefined ? value : exactAttributes(careful);
  return list.map((attribute: unknown) => {
    const { name, value: bytes } = (attribute ?? {}) as Record<string, unknown>;
    if (!isString(name)) throw new FieldError("invalid extended attribute");
    const decoded = bytes == null ? null : base64(bytes, "extended attribute");
    return { name: careful === undefined ? byteStringToText(name) : name, value: decoded };
  });
}

/** The list of attributes with names as text, in which a lone surrogate is what restic wrote as the escape of U+FFFD. */
function exactAttributes(members: Members): unknown[] {
  const json = members.get("extended_attributes")!;
  const marked = json.replace(/\\(?:ufffd|[^])/g, (escape) =>
    escape === "\\ufffd" ? "\\udcff" : escape,
  );
  return JSON.parse(byteStringToText(marked)) as unknown[];
}

function base64(value: unknown, field: string): Buffer {
  if (!isString(value)) throw new FieldError(`invalid ${field}`);
  const bytes = Buffer.from(value, "base64");
  // Node skips over what is not base64; only the exact text is valid.
  if (bytes.toString("base64") !== value) throw new FieldError(`invalid ${field}`);
  return bytes;
}

function content(value: unknown): string[] | null {
  if (value == null) return null;
  if (!Array.isArray(value)) throw new FieldError("invalid content");
  for (const id of value as unknown[]) {
    if (!isString(id) || !isId(id)) throw new FieldError("invalid content");
  }
  return value as string[];
}

function subtree(value: unknown): string | null {
  if (value == null) return null;
  if (!isString(value) || !isId(value)) throw new FieldError("invalid subtree");
  return value;
}

function hasUnknownMember(raw: RawNode): boolean {
  for (const key in raw) if (!KNOWN.has(key)) return true;
  return false;
}

/** Adds to `node` what must be encoded again as it was written. */
function keepAsWritten(node: TreeNode, members: Members): void {
  const generic = members.get("generic_attributes");
  if (generic !== undefined && generic !== "null") {
    if (!generic.startsWith("{")) throw new FieldError("invalid generic_attributes");
    node.genericAttributes = generic;
  }
  for (const [key, value] of members) {
    if (KNOWN.has(key)) continue;
    // Keys are kept in the spelling of JSON.stringify: restic writes no others than plain ones.
    const member = `${textToByteString(JSON.stringify(byteStringToText(key)))}:${value}`;
    node.extra += node.extra === "" ? member : `,${member}`;
  }
  const ours: Record<SpelledField, string> = {
    name: nameJson(node.name),
    user: textJson(node.user),
    group: textJson(node.group),
    linktarget: goJsonByteString(node.linkTarget),
    error: textJson(node.error),
  };
  for (const field of Object.keys(ours) as SpelledField[]) {
    const written = members.get(field);
    if (written === undefined || written === ours[field] || written === '""') continue;
    node.spelling = { ...node.spelling, [field]: written };
  }
}

function damaged(why: string): HoldfastError {
  return new HoldfastError("TREE_DAMAGED", `a directory listing is damaged: ${why}`);
}
