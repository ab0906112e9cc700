// What a server refuses, as our errors: by SQLSTATE, since messages are in the language of the server. Each names what
// stands in the way and the line that mends it. Nothing here ever knows a password.

import { HoldfastError } from "../../base/errors.ts";
import type { ErrorCode } from "../../base/errors.ts";
import type { ServerFields } from "./messages.ts";

/** Who asked, for the line that mends it. */
export interface Asker {
  readonly user: string;
  readonly database: string;
  readonly replication: boolean;
  /** "db1:5432", or the folder of the socket. */
  readonly place: string;
}

/** What a server said; the cause of our errors about it. */
export class ServerReply extends Error {
  readonly sqlState: string;

  constructor(fields: ServerFields) {
    const detail = fields.get("D");
    super((fields.get("M") ?? "no reason given") + (detail === undefined ? "" : ` (${detail})`));
    this.name = "ServerReply";
    this.sqlState = fields.get("C") ?? "";
  }
}

/** The SQLSTATE behind an error of ours; "" when no server spoke. */
export function sqlStateOf(error: unknown): string {
  const cause = error instanceof HoldfastError ? error.cause : error;
  return cause instanceof ServerReply ? cause.sqlState : "";
}

interface Meaning {
  readonly code: ErrorCode;
  readonly hint: string;
  readonly retryable?: boolean;
}

/** The error for what a server refused. `fields` are those of its ErrorResponse. */
export function serverError(fields: ServerFields, asker: Asker): HoldfastError {
  const reply = new ServerReply(fields);
  const { code, hint, retryable = false } = meaning(reply, fields, asker);
  return new HoldfastError(code, `PostgreSQL at ${asker.place}: ${reply.message}`, {
    hint,
    retryable,
    cause: reply,
  });
}

function meaning(reply: ServerReply, fields: ServerFields, asker: Asker): Meaning {
  const { sqlState } = reply;
  const known = MEANINGS[sqlState] ?? MEANINGS[sqlState.slice(0, 2)];
  if (known !== undefined) return known(asker, reply.message);
  const hint = fields.get("H");
  return {
    code: "POSTGRES_FAILED",
    hint: hint ?? `Look SQLSTATE ${sqlState} up, and see the server's log.`,
  };
}

/** A role or database as SQL names it. */
export function quoteIdentifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** A text as SQL and the replication protocol write it. Without backslashes it needs no escapes but this one. */
export function quoteLiteral(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

const hbaLine = ({ user, database, replication, place }: Asker): string => {
  const which = replication ? "replication" : quoteIdentifier(database);
  return place.startsWith("/")
    ? `local ${which} ${quoteIdentifier(user)} scram-sha-256`
    : `hostssl ${which} ${quoteIdentifier(user)} ADDRESS-OF-THIS-MACHINE/32 scram-sha-256`;
};

const away = (hint: string): Meaning => ({ code: "POSTGRES_UNREACHABLE", hint, retryable: true });

const MEANINGS: Readonly<Record<string, (asker: Asker, message: string) => Meaning>> = {
  "28P01": ({ user }) => ({
    code: "POSTGRES_DENIED",
    hint: `Give the password of ${quoteIdentifier(user)} in PGPASSWORD or ~/.pgpass.`,
  }),
  "28000": (asker) => ({
    code: "POSTGRES_DENIED",
    hint: `Check that the role exists and may log in, add the line \`${hbaLine(asker)}\` to pg_hba.conf and reload the server.`,
  }),
  "42501": ({ user, replication }) => ({
    code: "POSTGRES_DENIED",
    hint: replication
      ? `Run \`ALTER ROLE ${quoteIdentifier(user)} REPLICATION\` as a superuser.`
      : `Grant the role ${quoteIdentifier(user)} what the message names, or connect as another one.`,
  }),
  // Too many connections, or too many of them for replication.
  "53300": ({ replication }) => ({
    code: "POSTGRES_SETTING",
    hint: replication
      ? "Raise max_wal_senders (and max_connections) and restart the server, or wait for another backup or receiver to end."
      : "Raise max_connections, or wait until others disconnect.",
    retryable: true,
  }),
  "53400": () => ({
    code: "POSTGRES_SETTING",
    hint: "Raise max_replication_slots and restart the server, or drop a slot that nobody uses.",
  }),
  // Not in the state that is needed: WAL with too little in it, for what we ask.
  "55000": () => ({
    code: "POSTGRES_SETTING",
    hint: "Set wal_level = replica and max_replication_slots above 0, and restart the server.",
  }),
  "55006": () => ({
    code: "POSTGRES_SETTING",
    hint: "Stop the other receiver of this slot, or give this one a slot of its own.",
    retryable: true,
  }),
  "58P01": () => ({
    code: "WAL_MISSING",
    hint: "The server has removed it already: fetch it from another archive or make a new base backup, and use a slot so that the server keeps WAL.",
  }),
  "3D000": () => ({ code: "POSTGRES_FAILED", hint: "Name a database that exists with --dbname." }),
  "57P01": () => away("The server is shutting down: try again when it is back."),
  "57P02": () => away("The server crashed and is recovering: see its log."),
  "57P03": () => away("The server is starting up or shutting down: try again soon."),
  "08": () => away("Check the network between this machine and the server."),
};
