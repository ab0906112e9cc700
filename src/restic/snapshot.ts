// Snapshot files (docs/formats/restic.md#snapshots): the root tree, and when, where and from what it was made. Members
// of other programs (rustic's label, delete, …) are kept when a snapshot is written again.

import type { Id } from "../base/bytes.ts";
import { canonicalTime } from "./go-time.ts";
import { goJson, JsonFields, jsonBytes } from "./json-fields.ts";

/** What a backup did; all are counts except the two times. */
export interface SnapshotSummary {
  /** RFC 3339. */
  backupStart: string;
  backupEnd: string;
  filesNew: number;
  filesChanged: number;
  filesUnmodified: number;
  dirsNew: number;
  dirsChanged: number;
  dirsUnmodified: number;
  dataBlobs: number;
  treeBlobs: number;
  /** Bytes of new blobs, before and after compression and sealing. */
  dataAdded: number;
  dataAddedPacked: number;
  totalFilesProcessed: number;
  totalBytesProcessed: number;
  /** Members of other programs. */
  extra: Record<string, unknown>;
}

export interface Snapshot {
  /** RFC 3339, in the zone of its writer. */
  time: string;
  parent: Id | null;
  tree: Id;
  /** Absolute paths, as text. */
  paths: string[];
  hostname: string;
  username: string;
  uid: number;
  gid: number;
  excludes: string[];
  tags: string[];
  /** The first snapshot of which this one is a changed copy. */
  original: Id | null;
  programVersion: string;
  summary: SnapshotSummary | null;
  /** Members of other programs. */
  extra: Record<string, unknown>;
}

/** [property, member], in the order of the file. */
const SUMMARY_COUNTS = [
  ["filesNew", "files_new"],
  ["filesChanged", "files_changed"],
  ["filesUnmodified", "files_unmodified"],
  ["dirsNew", "dirs_new"],
  ["dirsChanged", "dirs_changed"],
  ["dirsUnmodified", "dirs_unmodified"],
  ["dataBlobs", "data_blobs"],
  ["treeBlobs", "tree_blobs"],
  ["dataAdded", "data_added"],
  ["dataAddedPacked", "data_added_packed"],
  ["totalFilesProcessed", "total_files_processed"],
  ["totalBytesProcessed", "total_bytes_processed"],
] as const;

const SUMMARY_KNOWN: ReadonlySet<string> = new Set([
  "backup_start",
  "backup_end",
  ...SUMMARY_COUNTS.map(([, member]) => member),
]);

const KNOWN: ReadonlySet<string> = new Set([
  "time",
  "parent",
  "tree",
  "paths",
  "hostname",
  "username",
  "uid",
  "gid",
  "excludes",
  "tags",
  "original",
  "program_version",
  "summary",
]);

/** The plaintext of a snapshot file. */
export function encodeSnapshot(snapshot: Snapshot): Buffer {
  return jsonBytes(goJson(snapshotMembers(snapshot)));
}

/** The members of a snapshot under restic's names and in its order, without those that it leaves out. */
export function snapshotMembers(snapshot: Snapshot): Record<string, unknown> {
  const members: Record<string, unknown> = { time: canonicalTime(snapshot.time) };
  const optional = (key: string, value: string | number | null | readonly string[]): void => {
    const zero = Array.isArray(value) ? value.length === 0 : !value;
    if (!zero) members[key] = value;
  };
  optional("parent", snapshot.parent);
  members["tree"] = snapshot.tree;
  members["paths"] = snapshot.paths;
  optional("hostname", snapshot.hostname);
  optional("username", snapshot.username);
  optional("uid", snapshot.uid);
  optional("gid", snapshot.gid);
  optional("excludes", snapshot.excludes);
  optional("tags", snapshot.tags);
  optional("original", snapshot.original);
  optional("program_version", snapshot.programVersion);
  if (snapshot.summary !== null) members["summary"] = summaryMembers(snapshot.summary);
  return Object.assign(members, snapshot.extra);
}

function summaryMembers(summary: SnapshotSummary): Record<string, unknown> {
  const { backupStart, backupEnd } = summary;
  const members: Record<string, unknown> = {
    backup_start: canonicalTime(backupStart),
    backup_end: canonicalTime(backupEnd),
  };
  for (const [property, member] of SUMMARY_COUNTS) members[member] = summary[property];
  return Object.assign(members, summary.extra);
}

/** Reads the plaintext of a snapshot file. Throws SNAPSHOT_DAMAGED. */
export function decodeSnapshot(bytes: Uint8Array): Snapshot {
  const fields = JsonFields.parse(bytes, "SNAPSHOT_DAMAGED", "a snapshot file");
  if (!fields.has("time")) throw fields.damaged("it has no time");
  const tree = fields.id("tree");
  if (tree === null) throw fields.damaged("it has no tree");
  const summary = fields.object("summary");
  return {
    time: fields.time("time"),
    parent: fields.id("parent"),
    tree,
    paths: fields.texts("paths"),
    hostname: fields.text("hostname"),
    username: fields.text("username"),
    uid: fields.uint32("uid"),
    gid: fields.uint32("gid"),
    excludes: fields.texts("excludes"),
    tags: fields.texts("tags"),
    original: fields.id("original"),
    programVersion: fields.text("program_version"),
    summary: summary === null ? null : decodeSummary(summary),
    extra: fields.extra(KNOWN),
  };
}

function decodeSummary(fields: JsonFields): SnapshotSummary {
  const counts = Object.fromEntries(
    SUMMARY_COUNTS.map(([property, member]) => [property, fields.count(member)]),
  ) as Record<(typeof SUMMARY_COUNTS)[number][0], number>;
  return {
    backupStart: fields.time("backup_start"),
    backupEnd: fields.time("backup_end"),
    ...counts,
    extra: fields.extra(SUMMARY_KNOWN),
  };
}
