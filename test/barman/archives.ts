// Archives for tests, as a listing and the contents of what describes it: backups and WAL that are put in one by one.

import { formatBackupInfo, type BackupInfo } from "../../src/barman/backup-info.ts";
import { readCatalogue, type Catalogue } from "../../src/barman/catalogue.ts";
import { formatHistory } from "../../src/barman/history.ts";
import { objectPath } from "../../src/barman/layout.ts";
import { segmentStart } from "../../src/barman/lsn.ts";
import type { ListedObject } from "../../src/barman/wal-listing.ts";
import { segmentName, SUFFIXES, type Compression } from "../../src/barman/wal-name.ts";
import { utcTime } from "../../src/barman/zoned-time.ts";

export const SEGMENT_SIZE: number = 16 << 20;
export const MINUTE = 60_000;
export const DAY = 86_400_000;

/** A backup that is done, of one segment unless `last` says otherwise. */
export function doneInfo(options: {
  readonly timeline?: number;
  readonly first: number;
  readonly last?: number;
  /** When it ended, in milliseconds since 1970; it took a minute. */
  readonly time: number;
  readonly more?: Partial<BackupInfo>;
}): BackupInfo {
  const { timeline = 1, first, last = first, time, more } = options;
  return {
    backupLabel: "START WAL LOCATION\n",
    backupName: null,
    beginOffset: 40,
    beginTime: utcTime(time - MINUTE),
    beginWal: segmentName(timeline, first, SEGMENT_SIZE),
    beginLsn: segmentStart(first, SEGMENT_SIZE) + 40n,
    compression: null,
    configFile: null,
    copyStats: null,
    deduplicatedSize: null,
    endOffset: 400,
    endTime: utcTime(time),
    endWal: segmentName(timeline, last, SEGMENT_SIZE),
    endLsn: segmentStart(last, SEGMENT_SIZE) + 400n,
    error: null,
    hbaFile: null,
    identFile: null,
    includedFiles: null,
    mode: "concurrent",
    pgdata: "/data",
    serverName: "cloud",
    size: 1000,
    snapshotsInfo: null,
    status: "DONE",
    systemId: "7",
    tablespaces: null,
    timeline,
    version: 150018,
    segmentSize: SEGMENT_SIZE,
    extra: new Map(),
    comments: [],
    readOnly: false,
    ...more,
  };
}

/** The id of a backup that ended at `time`. */
export function idAt(time: number): string {
  return new Date(time - MINUTE).toISOString().slice(0, 19).replace(/[-:]/g, "");
}

export class Archive {
  readonly objects: ListedObject[] = [];
  readonly contents: Map<string, Uint8Array> = new Map();

  put(path: string, time: number, content: number | Uint8Array): this {
    const size = typeof content === "number" ? content : content.length;
    this.objects.push({ path, size, time });
    if (typeof content !== "number") this.contents.set(path, content);
    return this;
  }

  /** A backup with the tar of PGDATA; its id. */
  backup(
    info: BackupInfo,
    options: { keep?: string; id?: string; tars?: readonly string[] } = {},
  ): string {
    const time = (info.endTime ?? info.beginTime)!.micros / 1000;
    const { keep, id = idAt(time), tars = ["data.tar.gz"] } = options;
    for (const tar of tars) this.put(`base/${id}/${tar}`, time, 5000);
    this.put(`base/${id}/backup.info`, time, formatBackupInfo(info));
    if (keep !== undefined) this.put(`base/${id}/annotations/keep`, time, Buffer.from(keep));
    return id;
  }

  /** Segments from `first` through `last`; the one with number n was stored at `time(n)`. */
  wal(options: {
    readonly timeline?: number;
    readonly first: number;
    readonly last: number;
    readonly compression?: Compression | null;
    readonly time: (segment: number) => number;
  }): this {
    const { timeline = 1, first, last, compression = "gzip", time } = options;
    const suffix = compression === null ? "" : SUFFIXES[compression];
    for (let segment = first; segment <= last; segment++) {
      const size = compression === null ? SEGMENT_SIZE : 4000;
      this.put(walPath(timeline, segment, suffix), time(segment), size);
    }
    return this;
  }

  history(timeline: number, time: number, ...forks: [timeline: number, at: bigint][]): this {
    const content = formatHistory(forks.map(([one, at]) => ({ timeline: one, at, reason: "" })));
    const wal = { kind: "history", timeline, compression: null } as const;
    return this.put(objectPath({ kind: "wal", wal }), time, content);
  }

  /** Takes away the objects whose path has `part` in it. */
  remove(part: string): this {
    const kept = this.objects.filter(({ path }) => !path.includes(part));
    this.objects.splice(0, this.objects.length, ...kept);
    return this;
  }
}

/** The path of a segment; `suffix` is whatever its name goes on with. */
export function walPath(timeline: number, segment: number, suffix = ""): string {
  const name = segmentName(timeline, segment, SEGMENT_SIZE);
  return `wals/${name.slice(0, 16)}/${name}${suffix}`;
}

/** Segment n of the example is stored n minutes after this. */
export const START: number = Date.UTC(2026, 10, 1);
export const NOW: number = START + 10 * DAY;

export function stored(segment: number): number {
  return START + segment * MINUTE;
}

/** A segment's name, 24 digits. */
export function name(segment: number, timeline = 1): string {
  return segmentName(timeline, segment, SEGMENT_SIZE);
}

export function read({ objects, contents }: Archive, now: number = NOW): Catalogue {
  return readCatalogue({ objects, contents, now });
}

/** The example: a backup in segments 10 and 11, and WAL from 8 to 30. */
export function simple(): Archive {
  const archive = new Archive().wal({ first: 8, last: 30, time: stored });
  archive.backup(doneInfo({ first: 10, last: 11, time: stored(12) }));
  return archive;
}

/** The id of the example's backup. */
export const ID: string = idAt(stored(12));
