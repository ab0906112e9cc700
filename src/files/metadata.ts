// From what lstat saw to the node that a snapshot stores (docs/formats/restic.md#trees).
//
// Captured: type, mode with setuid, setgid and sticky, owner ids and names, times to the nanosecond, inode, device, link
// count, size, link targets. Not captured, because Node has no call for it: extended attributes and ACLs.

import { readFileSync, readlinkSync } from "node:fs";
import type { Id } from "../base/bytes.ts";
import { toGoMode } from "../restic/file-mode.ts";
import { formatTime, formatTimeParts } from "../restic/go-time.ts";
import { createNode } from "../restic/tree-node.ts";
import type { NodeType, TreeNode } from "../restic/tree-node.ts";
import type { EntryTable } from "./entry-table.ts";
import { nativePath } from "./entry-table.ts";

/** Names of users and groups by number, read once from the machine's own files. */
export interface OwnerNames {
  user(uid: number): string;
  group(gid: number): string;
  /** Changes when any name may have changed. */
  readonly version: string;
}

/** How times become text: restic writes them in the zone of the machine. */
export interface MetadataContext {
  owners: OwnerNames;
  withAtime: boolean;
  /** Minutes east of UTC at an instant (ms since 1970). */
  zoneOffset: (instant: number) => number;
  /** True when the zone is UTC all year. */
  utc: boolean;
}

const SECOND = 1_000_000_000n;

/** A time of a node as text. */
export function timeText(context: MetadataContext, nanoseconds: bigint): string {
  const seconds = Number(nanoseconds / SECOND);
  const rest = Number(nanoseconds % SECOND);
  if (context.utc && rest >= 0 && seconds >= 0) return formatTimeParts(seconds, rest);
  return formatTime(nanoseconds, context.zoneOffset(seconds * 1000));
}

/** The node of an entry at `path`; `content` for files, `subtree` for directories. Throws what readlink throws. */
export function nodeOf(
  context: MetadataContext,
  table: EntryTable,
  entry: number,
  path: string,
  has: { content?: readonly Id[]; subtree?: Id; size?: number },
): TreeNode {
  const mode = toGoMode(table.mode(entry));
  const type = nodeType(table, entry);
  const mtime = timeText(context, table.mtime(entry));
  const uid = table.uid(entry);
  const gid = table.gid(entry);
  const countsLinks = type !== "dir" && type !== "fifo" && type !== "socket";
  return createNode({
    name: table.names[entry]!,
    type,
    mode,
    mtime,
    atime: context.withAtime ? timeText(context, table.atime(entry)) : mtime,
    ctime: timeText(context, table.ctime(entry)),
    uid,
    gid,
    user: context.owners.user(uid),
    group: context.owners.group(gid),
    inode: table.inode(entry),
    deviceId: table.deviceId(entry),
    size: type === "file" ? (has.size ?? table.size(entry)) : 0,
    links: countsLinks ? table.links(entry) : 0,
    linkTarget: type === "symlink" ? readlinkSync(nativePath(path), "latin1") : "",
    device: type === "dev" || type === "chardev" ? table.device(entry) : 0,
    content: type === "file" ? (has.content ?? []) : null,
    subtree: has.subtree ?? null,
  });
}

function nodeType(table: EntryTable, entry: number): NodeType {
  const kind = table.kind(entry);
  if (kind !== "other") return kind;
  switch (table.mode(entry) & 0o170000) {
    case 0o060000:
      return "dev";
    case 0o020000:
      return "chardev";
    case 0o010000:
      return "fifo";
    default:
      return "irregular";
  }
}

/** Names from /etc/passwd and /etc/group; numbers without a name have none, as in restic. */
export function readOwnerNames(folder = "/etc"): OwnerNames {
  const users = readNames(`${folder}/passwd`);
  const groups = readNames(`${folder}/group`);
  return {
    user: (uid) => users.names.get(uid) ?? "",
    group: (gid) => groups.names.get(gid) ?? "",
    version: `${users.text}\n\n${groups.text}`,
  };
}

function readNames(path: string): { names: Map<number, string>; text: string } {
  const names = new Map<number, string>();
  let text = "";
  try {
    text = readFileSync(path, "utf8");
  } catch {
    return { names, text };
  }
  for (const line of text.split("\n")) {
    const [name, , number] = line.split(":");
    if (name === undefined || number === undefined || !/^\d+$/.test(number)) continue;
    if (!names.has(Number(number))) names.set(Number(number), name);
  }
  return { names, text };
}

/** The zone of the machine. */
export function localZone(): Pick<MetadataContext, "zoneOffset" | "utc"> {
  const zoneOffset = (instant: number): number => -new Date(instant).getTimezoneOffset();
  return { utc: isUtc(zoneOffset), zoneOffset };
}

/** True when the zone never differed from UTC since 1970. Asking Intl for its name would cost 12 ms. */
function isUtc(zoneOffset: (instant: number) => number): boolean {
  for (let year = 1970; year <= 2037; year++) {
    if (zoneOffset(Date.UTC(year, 0)) !== 0 || zoneOffset(Date.UTC(year, 6)) !== 0) return false;
  }
  return true;
}
