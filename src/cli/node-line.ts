// One line of `ls`, `find` and `diff` for an entry of a snapshot, as restic prints it, as text or as JSON. A line is a byte
// string, because a name need not be UTF-8; see Output.dataBytes.

import { parseTime } from "../restic/go-time.ts";
import { textToByteString } from "../restic/byte-string.ts";
import { goJsonByteString } from "../restic/go-json.ts";
import type { TreeNode } from "../restic/tree-node.ts";
import { formatBytes, formatLocalTime } from "./format.ts";
import { pathText } from "./terminal-text.ts";

export interface NodeLineOptions {
  /** Mode, owner, size and time before the path. */
  long?: boolean;
  /** Sizes with units. */
  humanReadable?: boolean;
  /** Escape what could upset a terminal. */
  quote?: boolean;
}

type ListedNode = Pick<TreeNode, "type" | "mode" | "uid" | "gid" | "size" | "mtime" | "linkTarget">;

// Letters of the high bits of Go's os.FileMode, from bit 31 down, then of the permissions.
const TYPE_LETTERS = "dalTLDpSugct?";
const PERMISSION_LETTERS = "rwxrwxrwx";

/** The line for the entry at `path` (a byte string). */
export function formatNode(path: string, node: ListedNode, options: NodeLineOptions = {}): string {
  const show = (bytes: string): string =>
    options.quote ? textToByteString(pathText(bytes)) : bytes;
  if (!options.long) return show(path);
  const bytes = node.type === "file" ? node.size : 0;
  const size = options.humanReadable ? formatBytes(bytes) : padded(bytes, 6);
  const time = formatLocalTime(Number(parseTime(node.mtime) / 1_000_000n));
  const target = node.type === "symlink" ? ` -> ${show(node.linkTarget)}` : "";
  const owner = `${padded(node.uid, 5)} ${padded(node.gid, 5)}`;
  return `${formatMode(node.mode)} ${owner} ${size} ${time} ${show(path)}${target}`;
}

type MessageNode = Pick<
  TreeNode,
  "name" | "type" | "mode" | "uid" | "gid" | "size" | "mtime" | "atime" | "ctime" | "inode"
>;

/** The JSON message about the entry at `path` (a byte string), as a byte string. */
export function nodeMessage(path: string, node: MessageNode): string {
  const { name, type, mode, uid, gid, size, inode } = node;
  const owner = `"uid":${uid},"gid":${gid}`;
  const bytes = type === "file" ? `,"size":${size}` : "";
  const modes = `${mode === 0 ? "" : `,"mode":${mode}`},"permissions":"${formatMode(mode)}"`;
  const times = `"mtime":"${node.mtime}","atime":"${node.atime}","ctime":"${node.ctime}"`;
  const number = inode === 0 ? "" : `,"inode":${inode}`;
  return (
    `{"name":${goJsonByteString(name)},"type":"${type}","path":${goJsonByteString(path)},${owner}` +
    `${bytes}${modes},${times}${number},"message_type":"node","struct_type":"node"}`
  );
}

/** Go's text of an os.FileMode: "drwxr-xr-x", "urwxr-xr-x", "Dcrw-------". */
export function formatMode(mode: number): string {
  const types = Array.from(TYPE_LETTERS).filter((_, bit) => (mode >>> (31 - bit)) & 1);
  const permissions = Array.from(PERMISSION_LETTERS).map((letter, bit) =>
    (mode >>> (8 - bit)) & 1 ? letter : "-",
  );
  return (types.length > 0 ? types.join("") : "-") + permissions.join("");
}

function padded(value: number | bigint, width: number): string {
  return String(value).padStart(width);
}
