// A base backup of a running server, straight into an archive in Barman's layout (docs/formats/barman.md): no file of it ever
// lies on a disk of ours. The order is the promise: tars, manifest, the WAL without which they are nothing, and only then
// the `backup.info` that says DONE. A backup that failed says so, and has no end time.

import { formatBackupInfo, type Tablespace } from "../barman/backup-info.ts";
import { objectPath } from "../barman/layout.ts";
import { segmentAt, segmentBefore, type Lsn } from "../barman/lsn.ts";
import { isHoldfastError, HoldfastError, messageOf } from "../base/errors.ts";
import type { Clock, Random } from "../base/clock.ts";
import type { Progress } from "../base/progress.ts";
import type { Archive } from "./archive.ts";
import { claimBackup } from "./base-backup/claim.ts";
import { baseBackupCommand } from "./base-backup/command.ts";
import { waitForWal } from "./base-backup/end-wal.ts";
import { backupInfo, type InfoFields } from "./base-backup/info.ts";
import { receiveBackup, type Received } from "./base-backup/receive.ts";
import { examineSource, type SourceServer } from "./base-backup/source.ts";
import type { SentTablespace } from "./base-backup/stream.ts";
import type { Connection } from "./connection.ts";

export interface BaseBackupOptions {
  readonly archive: Archive;
  /** Opens a connection, for replication or for SQL; closed here. */
  readonly connect: (options: { readonly replication: boolean }) => Promise<Connection>;
  readonly clock: Clock;
  readonly random: Random;
  /** Who makes it, for whoever finds it unfinished: "holdfast 1.0 on web1". */
  readonly by: string;
  /** Makes the server write everything at once, or waits for the checkpoint that spares its disks; "fast" without. */
  readonly checkpoint?: "fast" | "spread";
  /** KiB a second that the server sends at most, from 32 on. */
  readonly maxRate?: number | undefined;
  /** gzip's level, 1 to 9, or 0 for no compression; 1 without. */
  readonly level?: number;
  /** Bytes of a part before compression; 1 GiB without. */
  readonly partBytes?: number;
  /** Milliseconds to wait for the last WAL; ten minutes without. */
  readonly walPatience?: number;
  /** What Barman calls the backup's name. */
  readonly name?: string | undefined;
  /** Blocks that are compressed at once. */
  readonly lanes: number;
  readonly progress: Progress;
  readonly events?: BaseBackupEvents;
  readonly signal: AbortSignal;
}

export interface BaseBackupEvents {
  /** The server begins to send. */
  started?(started: { readonly id: string; readonly position: Lsn; readonly bytes: number }): void;
  /** All is stored but WAL: the first missing segment, and how many are missing. */
  waiting?(missing: string, count: number): void;
  warning?(text: string): void;
}

export interface BaseBackupResult {
  readonly id: string;
  readonly systemId: string;
  readonly version: number;
  readonly timeline: number;
  readonly begin: Lsn;
  readonly end: Lsn;
  /** Milliseconds since 1970. */
  readonly beginTime: number;
  readonly endTime: number;
  /** Bytes of all files, and of the objects that hold them. */
  readonly bytes: number;
  readonly storedBytes: number;
  readonly files: number;
  readonly parts: number;
  readonly tablespaces: readonly Tablespace[];
  /** Milliseconds until everything had come, and those of waiting for WAL after that. */
  readonly sending: number;
  readonly waiting: number;
}

const PART_BYTES = 2 ** 30;
const WAL_PATIENCE_MS = 600_000;
/** A standby writes no WAL, so that nothing here can end the segment. */
const STANDBY_WAITS =
  "the backup is of a standby, whose primary has to finish the segment: run SELECT pg_switch_wal() there";
/** Telling that a backup failed is a courtesy: nobody waits long for it. */
const TELL_MS = 10_000;

/**
 * Makes a backup. Throws ARCHIVE_FOREIGN, POSTGRES_*, STORAGE_*, BACKUP_DAMAGED (what came is not what the server says it
 * sent), PAGES_DAMAGED (everything is stored, but the server found pages with wrong checksums), WAL_MISSING (the last
 * WAL did not come) and CANCELLED. After each of them the backup is FAILED, if it had begun.
 */
export async function makeBaseBackup(options: BaseBackupOptions): Promise<BaseBackupResult> {
  const connection = await options.connect({ replication: true });
  try {
    return await new Backup(options, connection).make();
  } finally {
    await connection.close();
  }
}

class Backup {
  readonly #options: BaseBackupOptions;
  readonly #connection: Connection;
  #id = "";
  #source!: SourceServer;
  #tablespaces: readonly SentTablespace[] = [];
  #begin: { position: Lsn; timeline: number; time: number } | undefined;
  #received: Received | undefined;

  constructor(options: BaseBackupOptions, connection: Connection) {
    this.#options = options;
    this.#connection = connection;
  }

  async make(): Promise<BaseBackupResult> {
    const { archive, clock, random, by, signal, connect, events } = this.#options;
    this.#source = await examineSource({
      connection: this.#connection,
      connectSql: async () => await connect({ replication: false }),
      clock,
      signal,
      warn: (text) => events?.warning?.(text),
    });
    const cluster = this.#source;
    this.#id = await claimBackup({ archive, cluster, clock, random, by, signal });
    const began = clock.monotonic();
    try {
      const received = await this.#receive();
      const sent = clock.monotonic();
      await this.#storeManifest(received);
      if (received.damagedPages !== undefined) throw pagesDamaged(this.#id, received.damagedPages);
      await this.#waitForWal(received);
      await this.#storeInfo({ signal });
      return this.#result(received, { sending: sent - began, waiting: clock.monotonic() - sent });
    } catch (error) {
      if (this.#begin !== undefined) await this.#tellFailure(error);
      throw error;
    }
  }

  async #receive(): Promise<Received> {
    const { archive, clock, progress, signal, lanes, events } = this.#options;
    const { checkpoint = "fast", maxRate, level = 1, partBytes = PART_BYTES } = this.#options;
    const { major } = this.#connection;
    const label = `holdfast ${this.#id}`;
    const received = await receiveBackup({
      connection: this.#connection,
      command: baseBackupCommand({ major, label, checkpoint, maxRate }),
      storage: archive.storage,
      backupId: this.#id,
      rootMode: this.#source.directoryMode,
      partBytes,
      level,
      lanes,
      clock,
      progress,
      signal,
      onStart: ({ position, timeline, tablespaces, bytes }) => {
        this.#begin = { position, timeline, time: this.#serverTime(clock.now()) };
        this.#tablespaces = tablespaces;
        events?.started?.({ id: this.#id, position, bytes });
      },
      onWarning: (text) => events?.warning?.(text),
    });
    this.#received = received;
    this.#requireOneTimeline(received);
    return received;
  }

  #requireOneTimeline({ end, manifest }: Received): void {
    const { timeline } = this.#begin!;
    const { systemId } = this.#source;
    if (manifest.systemId !== undefined && manifest.systemId !== systemId) {
      throw new HoldfastError(
        "BACKUP_DAMAGED",
        `the manifest is of the cluster ${manifest.systemId}, and the server says that it is ${systemId}`,
        { hint: "Connect to one server, without a balancer between, and make the backup again." },
      );
    }
    if (end.timeline === timeline) return;
    throw new HoldfastError(
      "POSTGRES_FAILED",
      `the server changed from timeline ${timeline} to ${end.timeline} during the backup`,
      { hint: "Make the backup again, now that the server has been promoted.", retryable: true },
    );
  }

  async #storeManifest({ manifestBytes }: Received): Promise<void> {
    const { archive, signal } = this.#options;
    const path = objectPath({ kind: "meta", backupId: this.#id, name: "backup_manifest" });
    await archive.storage.put(path, manifestBytes, { signal });
  }

  async #waitForWal({ end, label }: Received): Promise<void> {
    const { archive, clock, signal, events, walPatience = WAL_PATIENCE_MS } = this.#options;
    const { segmentSize, archiveMode } = this.#source;
    const isStandby = /^BACKUP FROM: standby$/m.test(label);
    await waitForWal({
      archive,
      timeline: end.timeline,
      first: segmentAt(this.#begin!.position, segmentSize),
      last: segmentBefore(end.position, segmentSize),
      segmentSize,
      clock,
      patience: walPatience,
      signal,
      onWaiting: (missing, count) => events?.waiting?.(missing, count),
      nudge: async () => {
        if (!isStandby) await this.#askServer("SELECT pg_switch_wal()");
        else events?.warning?.(STANDBY_WAITS);
      },
      explain: async () => {
        if (isStandby) return STANDBY_WAITS;
        return archiveMode === "off" ? "archive_mode is off" : await this.#archiverTrouble();
      },
    });
  }

  async #archiverTrouble(): Promise<string> {
    const rows = await this.#askServer(
      "SELECT last_failed_wal, last_failed_time FROM pg_stat_archiver WHERE last_failed_time > coalesce(last_archived_time, '-infinity')",
    );
    const wal = rows[0]?.["last_failed_wal"];
    return wal == null ? "" : `archive_command fails, last for ${wal}: see the server's log`;
  }

  /** Rows of a statement on a connection of its own; none when the server does not let us. */
  async #askServer(statement: string): Promise<Awaited<ReturnType<Connection["query"]>>> {
    const { connect, signal, events } = this.#options;
    let connection: Connection | undefined;
    try {
      connection = await connect({ replication: false });
      return await connection.query(statement, { signal });
    } catch (error) {
      if (!isHoldfastError(error) || error.code === "CANCELLED" || error.code === "BUG")
        throw error;
      events?.warning?.(`the server could not be asked for ${statement}: ${error.message}`);
      return [];
    } finally {
      await connection?.close();
    }
  }

  async #storeInfo(options: { error?: string; signal: AbortSignal }): Promise<void> {
    const { archive } = this.#options;
    const content = formatBackupInfo(backupInfo(this.#infoFields(options.error)));
    const path = objectPath({ kind: "info", backupId: this.#id });
    await archive.storage.put(path, content, { signal: options.signal });
  }

  #infoFields(error: string | undefined): InfoFields {
    const { level = 1, name = null, by } = this.#options;
    const received = this.#received;
    const { position, timeline, time } = this.#begin!;
    const end = received?.end;
    return {
      source: this.#source,
      timeline,
      begin: { position, time },
      end: end?.timeline === timeline ? { ...end, time: this.#serverTime(end.time) } : undefined,
      label: received?.label ?? null,
      name,
      tablespaces: this.#named(),
      compression: level === 0 ? null : "gzip",
      size: received?.bytes ?? null,
      error,
      extra: {
        by,
        checksums: this.#source.checksums,
        ...(received === undefined
          ? {}
          : { files: received.files, parts: received.parts, stored: received.storedBytes }),
      },
    };
  }

  #named(): Tablespace[] {
    const names = this.#source.tablespaceNames;
    return this.#tablespaces.map(({ oid, location }) => ({
      name: names?.get(oid) ?? String(oid),
      oid,
      location,
    }));
  }

  /** Recoveries compare times with those that the server wrote into its WAL. */
  #serverTime(time: number): number {
    return time + this.#source.clockAhead;
  }

  /** Says in the archive that the backup failed. What fails in saying so is nothing beside what has failed already. */
  async #tellFailure(error: unknown): Promise<void> {
    try {
      await this.#storeInfo({ error: messageOf(error), signal: AbortSignal.timeout(TELL_MS) });
    } catch (failure) {
      this.#options.events?.warning?.(
        `the archive could not be told that the backup ${this.#id} failed: ${messageOf(failure)}`,
      );
    }
  }

  #result(
    received: Received,
    durations: { readonly sending: number; readonly waiting: number },
  ): BaseBackupResult {
    const { systemId, version } = this.#source;
    const { bytes, storedBytes, files, parts, end } = received;
    const begin = this.#begin!;
    return {
      id: this.#id,
      systemId,
      version,
      timeline: begin.timeline,
      begin: begin.position,
      end: end.position,
      beginTime: begin.time,
      endTime: this.#serverTime(end.time),
      bytes,
      storedBytes,
      files,
      parts,
      tablespaces: this.#named(),
      ...durations,
    };
  }
}

function pagesDamaged(id: string, cause: HoldfastError): HoldfastError {
  return new HoldfastError(
    "PAGES_DAMAGED",
    `the database has pages that do not match their checksums; what was read is kept as the failed backup ${id}: ${cause.message}`,
    {
      hint: "See the warnings above for the files, keep the older backups, and mend the database before you rely on a new one.",
      cause,
    },
  );
}
