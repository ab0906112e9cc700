// The `backup.info` of a backup of ours: the fields that Barman 3.4 knows, and in a comment, which Barman skips, what else
// there is to know (docs/formats/barman.md#backupinfo).

import type { BackupInfo, Tablespace } from "../../barman/backup-info.ts";
import { segmentAt, segmentBefore, type Lsn } from "../../barman/lsn.ts";
import { segmentName } from "../../barman/wal-name.ts";
import { utcTime } from "../../barman/zoned-time.ts";
import type { SourceServer } from "./source.ts";

/** A position, and when the server was there in milliseconds since 1970 of its clock. */
interface Moment {
  readonly position: Lsn;
  readonly time: number;
}

export interface InfoFields {
  readonly source: SourceServer;
  readonly timeline: number;
  readonly begin: Moment;
  /** Undefined for a backup that failed before its end. */
  readonly end: Moment | undefined;
  readonly label: string | null;
  readonly name: string | null;
  readonly tablespaces: readonly Tablespace[];
  readonly compression: string | null;
  /** Bytes of all files; null for a backup that failed. */
  readonly size: number | null;
  /** Why it failed; undefined for one that is done. */
  readonly error: string | undefined;
  /** Ours; only numbers, texts and truths. */
  readonly extra: Readonly<Record<string, string | number | boolean>>;
}

/** The description. Without an end time when it failed: readers that do not look at the status go by that. */
export function backupInfo(fields: InfoFields): BackupInfo {
  const { source, timeline, begin, end, error } = fields;
  const { segmentSize } = source;
  const offset = ({ position }: Moment): number => Number(position % BigInt(segmentSize));
  return {
    backupLabel: fields.label,
    backupName: fields.name,
    beginOffset: offset(begin),
    beginTime: utcTime(begin.time),
    beginWal: segmentName(timeline, segmentAt(begin.position, segmentSize), segmentSize),
    beginLsn: begin.position,
    compression: fields.compression,
    configFile: source.configFile,
    copyStats: null,
    deduplicatedSize: fields.size,
    endOffset: end === undefined ? null : offset(end),
    endTime: end === undefined || error !== undefined ? null : utcTime(end.time),
    endWal:
      end === undefined
        ? null
        : segmentName(timeline, segmentBefore(end.position, segmentSize), segmentSize),
    endLsn: end?.position ?? null,
    error: error ?? null,
    hbaFile: source.hbaFile,
    identFile: source.identFile,
    includedFiles: null,
    mode: "concurrent",
    pgdata: source.pgdata,
    // Whatever the server is called: CloudNativePG looks for this word.
    serverName: "cloud",
    size: fields.size,
    snapshotsInfo: null,
    status: error === undefined ? "DONE" : "FAILED",
    systemId: source.systemId,
    tablespaces: fields.tablespaces,
    timeline,
    version: source.version,
    segmentSize,
    extra: new Map(),
    comments: [` holdfast: ${JSON.stringify(fields.extra)}`],
    readOnly: false,
  };
}
