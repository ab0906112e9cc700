// `backup.info`, the text that makes a folder of tars a backup (docs/formats/barman.md#backupinfo): lines `key=value` in
// the order of their keys, with the fields that Barman 3.4 knows, which all later ones read. Fields that only later
// versions know, or that nobody knows, are kept as they stand. Whether the fields agree is src/barman/info-rules.ts.

import { formatLsn, type Lsn } from "./lsn.ts";
import { infoError, requireAgreement } from "./info-rules.ts";
import { LineReader } from "./info-lines.ts";
import { quoteText } from "./python-literal.ts";
import { formatZonedTime, type ZonedTime } from "./zoned-time.ts";

/** A folder outside of the data directory that holds tables. */
export interface Tablespace {
  readonly name: string;
  readonly oid: number;
  readonly location: string;
}

/** Barman's states. Only DONE is a backup to restore. */
export type BackupStatus = "EMPTY" | "STARTED" | "WAITING_FOR_WALS" | "DONE" | "SYNCING" | "FAILED";

/** Null is Python's None: not known, or not there. */
export interface BackupInfo {
  readonly backupLabel: string | null;
  readonly backupName: string | null;
  readonly beginOffset: number | null;
  readonly beginTime: ZonedTime | null;
  /** Name of the segment. */
  readonly beginWal: string | null;
  readonly beginLsn: Lsn | null;
  readonly compression: string | null;
  readonly configFile: string | null;
  /** A Python literal of its own, as it stands. */
  readonly copyStats: string | null;
  readonly deduplicatedSize: number | null;
  readonly endOffset: number | null;
  readonly endTime: ZonedTime | null;
  readonly endWal: string | null;
  readonly endLsn: Lsn | null;
  readonly error: string | null;
  readonly hbaFile: string | null;
  readonly identFile: string | null;
  readonly includedFiles: readonly string[] | null;
  readonly mode: string | null;
  readonly pgdata: string | null;
  readonly serverName: string | null;
  readonly size: number | null;
  /** A Python literal of its own, as it stands. */
  readonly snapshotsInfo: string | null;
  readonly status: BackupStatus;
  readonly systemId: string | null;
  readonly tablespaces: readonly Tablespace[] | null;
  readonly timeline: number | null;
  /** As the server tells it: 150018. */
  readonly version: number | null;
  readonly segmentSize: number;
  /** Fields that Barman 3.4 does not know, as they stand. */
  readonly extra: ReadonlyMap<string, string>;
  /** Lines that start with `#`, without it; Barman skips them. */
  readonly comments: readonly string[];
  /** True when a field is of no version of Barman that we know: look, but change nothing. */
  readonly readOnly: boolean;
}

/** Fields that versions of Barman after 3.4 write. */
const LATER: ReadonlySet<string> = new Set([
  "children_backup_ids",
  "cluster_size",
  "data_checksums",
  "encryption",
  "parent_backup_id",
  "summarize_wal",
]);

/** Reads a `backup.info`; `source` is what errors call it, with the line. Throws BARMAN_INFO_DAMAGED. */
export function parseBackupInfo(content: Uint8Array, source: string): BackupInfo {
  const lines = new LineReader(content, source);
  const info = {
    backupLabel: lines.quoted("backup_label"),
    backupName: lines.text("backup_name"),
    beginOffset: lines.count("begin_offset"),
    beginTime: lines.time("begin_time"),
    beginWal: lines.segment("begin_wal"),
    beginLsn: lines.lsn("begin_xlog"),
    compression: lines.text("compression"),
    configFile: lines.text("config_file"),
    copyStats: lines.text("copy_stats"),
    deduplicatedSize: lines.count("deduplicated_size"),
    endOffset: lines.count("end_offset"),
    endTime: lines.time("end_time"),
    endWal: lines.segment("end_wal"),
    endLsn: lines.lsn("end_xlog"),
    error: lines.text("error"),
    hbaFile: lines.text("hba_file"),
    identFile: lines.text("ident_file"),
    includedFiles: lines.texts("included_files"),
    mode: lines.text("mode"),
    pgdata: lines.text("pgdata"),
    serverName: lines.text("server_name"),
    size: lines.count("size"),
    snapshotsInfo: lines.text("snapshots_info"),
    status: lines.status("status"),
    systemId: lines.text("systemid"),
    tablespaces: lines.tablespaces("tablespaces"),
    timeline: lines.timeline("timeline"),
    version: lines.count("version"),
    segmentSize: lines.segmentSize("xlog_segment_size"),
  };
  const extra = lines.rest();
  const readOnly = [...extra.keys()].some((key) => !LATER.has(key));
  requireAgreement(info, (field) => lines.placeOf(field));
  return { ...info, extra, comments: lines.comments, readOnly };
}

/** The content of a `backup.info`, to the byte as Barman writes it. Throws BARMAN_INFO_DAMAGED for what cannot be read back. */
export function formatBackupInfo(info: BackupInfo): Buffer {
  requireAgreement(info, (field) => `the field ${field} of a new backup.info`);
  const lsn = (value: Lsn | null): string | null => (value === null ? null : formatLsn(value));
  const time = (value: ZonedTime | null): string | null =>
    value === null ? null : formatZonedTime(value);
  const fields: Record<string, string | number | null> = {
    backup_label: info.backupLabel ? quoteText(info.backupLabel) : null,
    begin_offset: info.beginOffset,
    begin_time: time(info.beginTime),
    begin_wal: info.beginWal,
    begin_xlog: lsn(info.beginLsn),
    compression: info.compression,
    config_file: info.configFile,
    copy_stats: info.copyStats,
    deduplicated_size: info.deduplicatedSize,
    end_offset: info.endOffset,
    end_time: time(info.endTime),
    end_wal: info.endWal,
    end_xlog: lsn(info.endLsn),
    error: info.error === null ? null : oneLine(info.error),
    hba_file: info.hbaFile,
    ident_file: info.identFile,
    included_files: info.includedFiles?.length
      ? `[${info.includedFiles.map(quoteText).join(", ")}]`
      : null,
    mode: info.mode,
    pgdata: info.pgdata,
    server_name: info.serverName,
    size: info.size,
    status: info.status,
    systemid: info.systemId,
    tablespaces: tablespacesLiteral(info.tablespaces ?? []),
    timeline: info.timeline,
    version: info.version,
    xlog_segment_size: info.segmentSize,
    ...Object.fromEntries(
      [...info.extra].map(([key, value]) => [key, value === "None" ? null : value]),
    ),
  };
  // Barman 3.4 and its successors leave these out when there is nothing to say.
  if (info.backupName !== null) fields["backup_name"] = info.backupName;
  if (info.snapshotsInfo !== null) fields["snapshots_info"] = info.snapshotsInfo;
  const lines = Object.entries(fields)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}=${asLine(key, value)}\n`);
  const comments = info.comments.map((comment) => `#${asLine("#", comment)}\n`);
  return Buffer.from([...lines, ...comments].join(""));
}

/** `value` as it stands behind the `=`, provided that a reader finds the same again. */
function asLine(key: string, value: string | number | null): string {
  if (value === null) return "None";
  const text = String(value);
  const survives =
    typeof value === "number"
      ? Number.isSafeInteger(value) && value >= 0
      : text.isWellFormed() && !/[\n\0]|^[\s\x1c-\x1f\x85]|[\s\x1c-\x1f\x85]$|^None$/.test(text);
  if (survives || (key === "#" && !text.includes("\n"))) return text;
  const shown = JSON.stringify(text.slice(0, 60));
  throw infoError(`the field ${key} of a new backup.info`, `${shown} could not be read back`);
}

/** The words of another program may be anything, and must not keep us from saying that a backup failed. */
function oneLine(text: string): string {
  const line = text
    .slice(0, 10_000)
    .toWellFormed()
    .replace(/[\n\0]+/g, " ")
    .replace(/^[\s\x1c-\x1f\x85]+|[\s\x1c-\x1f\x85]+$/g, "");
  return line === "None" ? "none" : line;
}

function tablespacesLiteral(tablespaces: readonly Tablespace[]): string | null {
  const tuples = tablespaces.map(
    ({ name, oid, location }) => `(${quoteText(name)}, ${oid}, ${quoteText(location)})`,
  );
  return tuples.length === 0 ? null : `[${tuples.join(", ")}]`;
}
