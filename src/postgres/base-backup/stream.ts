// What a server sends for BASE_BACKUP, as one sequence for all versions: up to PostgreSQL 14 each tablespace is a copy of
// its own, in the order of the list before it, and the manifest is the last; from 15 on there is one copy, whose messages
// begin with a letter for what they are.

import { parseLsn, type Lsn } from "../../barman/lsn.ts";
import { HoldfastError } from "../../base/errors.ts";
import type { Connection, Notice, Row } from "../connection.ts";

export interface SentTablespace {
  readonly oid: number;
  readonly location: string;
}

export type SentPiece =
  | {
      readonly kind: "start";
      readonly position: Lsn;
      readonly timeline: number;
      readonly tablespaces: readonly SentTablespace[];
      /** What the server thinks that it will send. */
      readonly bytes: number;
    }
  /** A tar begins: that of a tablespace, or without `oid` that of the data directory. */
  | { readonly kind: "tar"; readonly oid: number | null }
  /** More of that tar: bytes that stay as they are until the next piece is asked for. */
  | { readonly kind: "bytes"; readonly bytes: Buffer }
  /** The tar has come whole. */
  | { readonly kind: "tar-end" }
  | { readonly kind: "manifest"; readonly bytes: Buffer }
  | { readonly kind: "end"; readonly position: Lsn; readonly timeline: number };

interface StreamOptions {
  /** Of `baseBackupCommand`. */
  readonly command: string;
  readonly signal?: AbortSignal | undefined;
  readonly onNotice?: (notice: Notice) => void;
}

/** Runs the command. What the server refuses, also behind the last byte, is thrown when everything before was given. */
export async function* streamBackup(
  connection: Connection,
  options: StreamOptions,
): AsyncGenerator<SentPiece, void> {
  const parser = connection.major < 15 ? new CopyPerTar() : new OneCopy();
  let columns: readonly string[] = [];
  const rows: Row[] = [];
  let positions = 0;
  let start: { position: Lsn; timeline: number } | undefined;
  const { command, ...runOptions } = options;
  for await (const event of connection.run(command, { ...runOptions, lendsMemory: true })) {
    if (event.kind === "columns") {
      ({ columns } = event);
      rows.length = 0;
    } else if (event.kind === "row") {
      rows.push(event.row);
    } else if (event.kind === "complete" && columns.includes("recptr") && rows[0] !== undefined) {
      const position = parseLsn(rows[0]["recptr"] ?? "", "the server's answer to BASE_BACKUP");
      const timeline = Number(rows[0]["tli"]);
      positions++;
      if (positions === 1) start = { position, timeline };
      else yield { kind: "end", position, timeline };
      rows.length = 0;
    } else if (event.kind === "complete" && columns.includes("spcoid") && start !== undefined) {
      const { tablespaces, bytes } = readTablespaces(rows);
      parser.tablespaces = tablespaces;
      yield { kind: "start", ...start, tablespaces, bytes };
      rows.length = 0;
      columns = [];
    } else if (event.kind === "copy") yield* parser.begin();
    else if (event.kind === "data") yield* parser.data(event.bytes);
    else if (event.kind === "copy-done") yield* parser.end();
  }
}

function readTablespaces(rows: readonly Row[]): { tablespaces: SentTablespace[]; bytes: number } {
  const tablespaces: SentTablespace[] = [];
  let bytes = 0;
  for (const { spcoid, spclocation, size } of rows) {
    bytes += Number(size ?? 0) * 1024;
    if (spcoid) tablespaces.push({ oid: Number(spcoid), location: spclocation ?? "" });
  }
  return { tablespaces, bytes };
}

interface Parser {
  /** In the order in which they come; the data directory is the last. */
  tablespaces: readonly SentTablespace[];
  begin(): Generator<SentPiece, void>;
  data(bytes: Buffer): Generator<SentPiece, void>;
  end(): Generator<SentPiece, void>;
}

/** PostgreSQL 13 and 14. */
class CopyPerTar implements Parser {
  tablespaces: readonly SentTablespace[] = [];
  #copy = -1;

  *begin(): Generator<SentPiece, void> {
    this.#copy++;
    const { length } = this.tablespaces;
    if (this.#copy <= length) yield { kind: "tar", oid: this.tablespaces[this.#copy]?.oid ?? null };
  }

  *data(bytes: Buffer): Generator<SentPiece, void> {
    const isTar = this.#copy <= this.tablespaces.length;
    yield { kind: isTar ? "bytes" : "manifest", bytes };
  }

  *end(): Generator<SentPiece, void> {
    if (this.#copy <= this.tablespaces.length) yield { kind: "tar-end" };
  }
}

/** PostgreSQL 15 and later. */
class OneCopy implements Parser {
  tablespaces: readonly SentTablespace[] = [];
  #now: "nothing" | "tar" | "manifest" = "nothing";

  *begin(): Generator<SentPiece, void> {}

  *data(message: Buffer): Generator<SentPiece, void> {
    switch (String.fromCharCode(message[0] ?? 0)) {
      case "n":
        yield* this.end();
        this.#now = "tar";
        yield {
          kind: "tar",
          oid: oidOf(message.toString("utf8", 1, Math.max(1, message.indexOf(0, 1)))),
        };
        break;
      case "m":
        yield* this.end();
        this.#now = "manifest";
        break;
      case "d":
        if (this.#now === "nothing") throw unexpected("data of no archive");
        yield { kind: this.#now === "tar" ? "bytes" : "manifest", bytes: message.subarray(1) };
        break;
      case "p":
        break;
      default:
        throw unexpected(`a message of the kind ${message[0]}`);
    }
  }

  *end(): Generator<SentPiece, void> {
    if (this.#now === "tar") yield { kind: "tar-end" };
    this.#now = "nothing";
  }
}

function oidOf(archive: string): number | null {
  if (archive === "base.tar") return null;
  const oid = /^([1-9]\d{0,9})\.tar$/.exec(archive)?.[1];
  if (oid === undefined)
    throw unexpected(`an archive called ${JSON.stringify(archive.slice(0, 80))}`);
  return Number(oid);
}

function unexpected(what: string): HoldfastError {
  return new HoldfastError("POSTGRES_FAILED", `the server sent ${what} for BASE_BACKUP`, {
    hint: "Use a Holdfast that knows this version of PostgreSQL; 13 to 18 are known.",
  });
}
