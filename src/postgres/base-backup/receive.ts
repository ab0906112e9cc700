// The bytes of a base backup from the server into the archive: tars taken apart, checked, divided and stored as they come.
// Holds a few MiB at any time, whatever the size of the database.

import { objectPath } from "../../barman/layout.ts";
import { TarReader } from "../../barman/tar-reader.ts";
import { parseManifest, type BackupManifest } from "../../barman/backup-manifest.ts";
import type { Lsn } from "../../barman/lsn.ts";
import type { Clock } from "../../base/clock.ts";
import { HoldfastError } from "../../base/errors.ts";
import type { Progress } from "../../base/progress.ts";
import type { Storage } from "../../storage/storage.ts";
import { sqlStateOf, type Connection } from "../connection.ts";
import { ContentCheck } from "./content-check.ts";
import { startPart } from "./part-upload.ts";
import { streamBackup, type SentPiece, type SentTablespace } from "./stream.ts";
import { TarParts, type PartSink } from "./tar-parts.ts";

export interface ReceiveOptions {
  readonly connection: Connection;
  readonly command: string;
  readonly storage: Storage;
  readonly backupId: string;
  readonly rootMode: number;
  readonly partBytes: number;
  /** gzip's level; 0 for none. */
  readonly level: number;
  readonly lanes: number;
  readonly clock: Clock;
  readonly progress: Progress;
  readonly signal: AbortSignal;
  readonly onStart: (start: Extract<SentPiece, { kind: "start" }>) => void;
  readonly onWarning: (text: string) => void;
}

export interface Received {
  readonly manifest: BackupManifest;
  readonly manifestBytes: Buffer;
  readonly label: string;
  readonly end: { readonly position: Lsn; readonly timeline: number; readonly time: number };
  /** Bytes of all files, and of the objects that hold them. */
  readonly bytes: number;
  readonly storedBytes: number;
  readonly files: number;
  readonly parts: number;
  /** What the server says of pages that do not match their checksums; undefined when all is well. */
  readonly damagedPages: HoldfastError | undefined;
}

/** No label is larger. */
const LABEL_MAX = 64 * 1024;
/** SQLSTATE data_corrupted. */
const CORRUPTED = "XX001";

/**
 * Runs the command and stores what comes. Rejects with the first thing that went wrong once everything has stopped; parts
 * that are whole stay, others are taken back. Pages with wrong checksums are no failure here: everything has come by
 * the time when the server says so.
 */
export async function receiveBackup(options: ReceiveOptions): Promise<Received> {
  const stop = new AbortController();
  const receiver = new Receiver(options, AbortSignal.any([options.signal, stop.signal]));
  try {
    await receiver.run();
    return receiver.result();
  } catch (error) {
    stop.abort(error);
    throw error;
  } finally {
    await receiver.settled();
  }
}

class Receiver {
  readonly #options: ReceiveOptions;
  readonly #signal: AbortSignal;
  readonly #check = new ContentCheck();
  readonly #manifest: Buffer[] = [];
  readonly #label: Buffer[] = [];
  readonly #uploads: Promise<unknown>[] = [];
  #reader: TarReader | undefined;
  #parts: TarParts | undefined;
  #oid: number | null = null;
  #isLabel = false;
  #end: Received["end"] | undefined;
  #bytes = 0;
  #storedBytes = 0;
  #partCount = 0;
  #damagedPages: HoldfastError | undefined;
  #tablespaces: readonly SentTablespace[] = [];
  readonly #seen = new Set<number | null>();

  constructor(options: ReceiveOptions, signal: AbortSignal) {
    this.#options = options;
    this.#signal = signal;
  }

  async run(): Promise<void> {
    const { connection, command, onWarning } = this.#options;
    const pieces = streamBackup(connection, {
      command,
      signal: this.#signal,
      onNotice: ({ severity, text }) => {
        if (severity === "WARNING") onWarning(text);
      },
    });
    try {
      for await (const piece of pieces) await this.#take(piece);
    } catch (error) {
      const isDamage = this.#end !== undefined && sqlStateOf(error) === CORRUPTED;
      if (!isDamage || !(error instanceof HoldfastError)) throw error;
      this.#damagedPages = error;
    }
  }

  /** Nothing of it runs any more. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#uploads);
  }

  /** What came, which is compared with the manifest. */
  result(): Received {
    const missing = [null, ...this.#tablespaces.map(({ oid }) => oid)].filter(
      (oid) => !this.#seen.has(oid),
    );
    if (this.#end === undefined || missing.length > 0) {
      throw new HoldfastError(
        "POSTGRES_FAILED",
        "the server ended the backup before it was whole",
        {
          hint: "See the server's log for the reason, then make the backup again.",
          retryable: true,
        },
      );
    }
    const manifestBytes = Buffer.concat(this.#manifest);
    const manifest = parseManifest(manifestBytes, "the server's manifest");
    this.#check.compare(manifest);
    return {
      manifest,
      manifestBytes,
      label: Buffer.concat(this.#label).toString("utf8"),
      end: this.#end,
      bytes: this.#bytes,
      storedBytes: this.#storedBytes,
      files: this.#check.count,
      parts: this.#partCount,
      damagedPages: this.#damagedPages,
    };
  }

  async #take(piece: SentPiece): Promise<void> {
    const { progress, onStart, clock } = this.#options;
    switch (piece.kind) {
      case "start":
        this.#tablespaces = piece.tablespaces;
        progress.addTotal({ bytes: piece.bytes });
        progress.totalComplete();
        onStart(piece);
        break;
      case "tar":
        this.#begin(piece.oid);
        break;
      case "bytes":
        await this.#read(piece.bytes);
        progress.done({ bytes: piece.bytes.length });
        break;
      case "tar-end":
        this.#reader!.finish();
        await this.#parts!.close();
        this.#partCount += this.#parts!.count;
        break;
      case "manifest":
        this.#manifest.push(Buffer.from(piece.bytes));
        break;
      case "end":
        this.#end = { position: piece.position, timeline: piece.timeline, time: clock.now() };
        break;
    }
  }

  #begin(oid: number | null): void {
    const { connection, partBytes, rootMode, clock } = this.#options;
    const source = `the tar of ${oid === null ? "the data directory" : `tablespace ${oid}`}`;
    this.#oid = oid;
    this.#seen.add(oid);
    this.#reader = new TarReader(source, { endOptional: connection.major < 15 });
    this.#parts = new TarParts({
      open: (part, bytesMax) => this.#openPart(part, bytesMax),
      partBytes,
      rootMode,
      now: Math.floor(clock.now() / 1000),
    });
  }

  #openPart(part: number, bytesMax: number): PartSink {
    const { storage, backupId, level, lanes, clock } = this.#options;
    const key = objectPath({
      kind: "tar",
      backupId,
      oid: this.#oid,
      part,
      compression: level === 0 ? null : "gzip",
    });
    const onStored = (bytes: number): void => void (this.#storedBytes += bytes);
    const upload = startPart({
      storage,
      key,
      bytesMax,
      level,
      lanes,
      clock,
      signal: this.#signal,
      onStored,
    });
    this.#uploads.push(upload.stored);
    return upload;
  }

  async #read(bytes: Buffer): Promise<void> {
    const parts = this.#parts!;
    for (const event of this.#reader!.push(bytes)) {
      if (event.kind === "member") {
        this.#check.begin();
        this.#isLabel = this.#oid === null && event.member.path === "backup_label";
        await parts.begin(event.member);
      } else if (event.kind === "content") {
        this.#check.content(event.bytes);
        this.#bytes += event.bytes.length;
        if (this.#isLabel && event.bytes.length <= LABEL_MAX)
          this.#label.push(Buffer.from(event.bytes));
        await parts.content(event.bytes);
      } else {
        this.#check.end(event.member, this.#oid);
        await parts.end(event.member);
        this.#options.progress.done({ files: 1 });
      }
    }
  }
}
