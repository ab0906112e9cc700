// A connection to a PostgreSQL server, for SQL and for the replication protocol. The library `pg` connects and
// authenticates; after that its socket is ours, because it can neither slow a server down nor speak COPY both ways. Only
// the simple query protocol is used: it is the only one that a server speaks in replication mode. One command at a time.
// Never puts a password into an error.

import type { Duplex } from "node:stream";
import { cancelled, throwIfCancelled } from "../base/cancellation.ts";
import { HoldfastError } from "../base/errors.ts";
import { openSocket } from "./wire/open-socket.ts";
import type { ConnectionSettings, OpenedSocket } from "./wire/open-socket.ts";
import { Incoming } from "./wire/incoming.ts";
import {
  message,
  queryMessage,
  readColumns,
  readFields,
  readRow,
  readText,
} from "./wire/messages.ts";
import type { Row, ServerFields } from "./wire/messages.ts";
import type { ReadMemory } from "./wire/read-memory.ts";
import { serverError } from "./wire/server-error.ts";
import type { Asker } from "./wire/server-error.ts";

export type { ConnectionSettings, TlsSettings } from "./wire/open-socket.ts";
export type { Row } from "./wire/messages.ts";
export { quoteIdentifier, quoteLiteral, sqlStateOf } from "./wire/server-error.ts";

/** What a server answers to a command, piece by piece. */
export type ServerEvent =
  | { readonly kind: "columns"; readonly columns: readonly string[] }
  | { readonly kind: "row"; readonly row: Row }
  | { readonly kind: "copy"; readonly direction: "in" | "out" | "both" }
  /** A message of a copy; its memory stays as it is, unless it is lent (`CommandOptions`). */
  | { readonly kind: "data"; readonly bytes: Buffer }
  | { readonly kind: "copy-done" }
  | { readonly kind: "complete"; readonly tag: string };

export interface ConnectOptions {
  settings: ConnectionSettings;
  /** A connection for physical replication; SQL is not spoken there, but for SHOW. */
  replication?: boolean;
  signal?: AbortSignal | undefined;
}

export interface CommandOptions {
  signal?: AbortSignal | undefined;
  /** The bytes of a copy are looked at only until the next event is asked for: their memory is used again. */
  lendsMemory?: boolean;
  /** Gets what the server remarks by the way. */
  onNotice?: ((notice: Notice) => void) | undefined;
}

export interface Notice {
  /** "WARNING", "NOTICE", "INFO", …, in English whatever the server speaks. */
  readonly severity: string;
  readonly text: string;
}

/** What a server is. */
export interface ServerIdentity {
  /** Decimal, as it stands in every segment of its WAL. */
  readonly systemId: string;
  readonly timeline: number;
  /** Where its WAL ends at this moment: "16/B374D848". */
  readonly position: string;
}

/**
 * Connects to the first host that answers. Throws POSTGRES_UNREACHABLE, POSTGRES_DENIED and POSTGRES_SETTING with the line
 * that mends it, CANCELLED when stopped.
 */
export async function connect(options: ConnectOptions): Promise<Connection> {
  const { settings, replication = false, signal } = options;
  throwIfCancelled(signal);
  const socket = await openSocket({ settings, replication, signal });
  const { user, database } = settings;
  const connection = new Connection(socket, { user, database, replication, place: socket.place });
  try {
    const [row] = await connection.query("SHOW server_version_num", { signal });
    connection.version = Number(row?.["server_version_num"]);
    return connection;
  } catch (error) {
    connection.destroy();
    throw error;
  }
}

/** An open connection. Close it when done with it. */
export class Connection {
  /** As the server tells it: 150018. */
  version = 0;
  /** "db1:5432", or the folder of the socket: for people. */
  readonly place: string;
  readonly #stream: Duplex;
  readonly #memory: ReadMemory | undefined;
  readonly #incoming: Incoming;
  readonly #asker: Asker;
  #isBusy = false;

  constructor({ stream, memory }: OpenedSocket, asker: Asker) {
    this.#stream = stream;
    this.#memory = memory;
    this.#incoming = new Incoming(stream, memory);
    this.#asker = asker;
    this.place = asker.place;
  }

  /** The major version: 15. */
  get major(): number {
    return Math.floor(this.version / 10_000);
  }

  /** The rows of all results of `text`, in order; values are the server's texts. */
  async query(text: string, options: CommandOptions = {}): Promise<Row[]> {
    const rows: Row[] = [];
    for await (const event of this.run(text, options)) {
      if (event.kind === "row") rows.push(event.row);
      else if (event.kind === "copy") throw new HoldfastError("BUG", `a query began to copy`);
    }
    return rows;
  }

  /** Which cluster this is, and where it stands. Only on connections for replication. */
  async identify(options: CommandOptions = {}): Promise<ServerIdentity> {
    const [row] = await this.query("IDENTIFY_SYSTEM", options);
    return {
      systemId: row?.["systemid"] ?? "",
      timeline: Number(row?.["timeline"]),
      position: row?.["xlogpos"] ?? "",
    };
  }

  /** The value of a setting as `SHOW` prints it ("16MB"). Works on every connection. */
  async setting(name: string, options: CommandOptions = {}): Promise<string> {
    const [row] = await this.query(`SHOW ${name}`, options);
    return Object.values(row ?? {})[0] ?? "";
  }

  /** Bytes of a segment of the server's WAL. */
  async segmentSize(options: CommandOptions = {}): Promise<number> {
    const text = await this.setting("wal_segment_size", options);
    const [, count, unit] = /^(\d+)(MB|GB|kB|B)?$/.exec(text) ?? [];
    const scale = { GB: 2 ** 30, MB: 2 ** 20, kB: 2 ** 10, B: 1 }[unit ?? "B"] ?? 1;
    return Number(count) * scale;
  }

  /**
   * What the server answers to `text`, event by event, and no faster than it is taken. Ends when the server is ready for
   * the next command, throws what it refused. Leaving the loop early ends the connection: there is no other way to make
   * a server stop a copy. While it copies both ways, `sendCopy` and `endCopy` speak to it.
   */
  async *run(text: string, options: CommandOptions = {}): AsyncGenerator<ServerEvent, void> {
    const { signal, onNotice, lendsMemory = false } = options;
    throwIfCancelled(signal);
    if (this.#isBusy) throw new HoldfastError("BUG", "two commands at once on one connection");
    this.#isBusy = true;
    if (this.#memory) this.#memory.isLent = lendsMemory;
    const onAbort = (): void => this.destroy();
    signal?.addEventListener("abort", onAbort, { once: true });
    let isReady = false;
    try {
      this.#stream.write(queryMessage(text));
      let columns: readonly string[] = [];
      let failure: ServerFields | undefined;
      for (;;) {
        const { type, body } = await this.#next(signal);
        // Said by the letters of the protocol, which are its own documentation.
        switch (String.fromCharCode(type)) {
          case "d":
            yield { kind: "data", bytes: body };
            break;
          case "T":
            columns = readColumns(body);
            yield { kind: "columns", columns };
            break;
          case "D":
            yield { kind: "row", row: readRow(body, columns) };
            break;
          case "C":
            yield { kind: "complete", tag: readText(body) };
            break;
          case "H":
            yield { kind: "copy", direction: "out" };
            break;
          case "W":
            yield { kind: "copy", direction: "both" };
            break;
          case "G":
            yield { kind: "copy", direction: "in" };
            break;
          case "c":
            yield { kind: "copy-done" };
            break;
          case "N":
            onNotice?.(noticeOf(readFields(body)));
            break;
          case "E":
            failure ??= readFields(body);
            // After this one the server only hangs up.
            if (/FATAL|PANIC/.test(failure.get("V") ?? "")) throw this.#refused(failure);
            break;
          case "Z":
            isReady = true;
            if (failure !== undefined) throw this.#refused(failure);
            return;
        }
      }
    } finally {
      signal?.removeEventListener("abort", onAbort);
      this.#isBusy = false;
      if (this.#memory) this.#memory.isLent = false;
      if (!isReady) this.destroy();
    }
  }

  /** A message of the copy that is under way, to the server. */
  sendCopy(bytes: Uint8Array): void {
    if (!this.#stream.destroyed) this.#stream.write(message("d", bytes));
  }

  /** Nothing more will be sent of the copy that is under way. */
  endCopy(): void {
    if (!this.#stream.destroyed) this.#stream.write(message("c"));
  }

  /** Says goodbye. A command that is under way is cut off. */
  async close(): Promise<void> {
    if (this.#isBusy || this.#stream.destroyed) {
      this.destroy();
      return;
    }
    await new Promise<void>((resolve) => {
      this.#stream.once("close", () => resolve());
      this.#stream.end(message("X"), () => this.#stream.destroy());
    });
  }

  /** Hangs up at once. */
  destroy(): void {
    this.#stream.destroy();
  }

  async #next(signal: AbortSignal | undefined): ReturnType<Incoming["next"]> {
    try {
      return await this.#incoming.next();
    } catch (error) {
      if (signal?.aborted) throw cancelled(signal);
      if (error instanceof HoldfastError) throw error;
      throw new HoldfastError(
        "POSTGRES_UNREACHABLE",
        `the connection to PostgreSQL at ${this.place} broke: ${(error as Error).message}`,
        {
          hint: "Check the network between this machine and the server.",
          retryable: true,
          cause: error,
        },
      );
    }
  }

  #refused(fields: ServerFields): HoldfastError {
    return serverError(fields, this.#asker);
  }
}

function noticeOf(fields: ServerFields): Notice {
  return { severity: fields.get("V") ?? "", text: fields.get("M") ?? "" };
}
