// A database copied from one server into a new database of another, by PostgreSQL's own pg_dump and pg_restore, without a file in
// between. The copy has a name of its own until it is whole; whoever finds the wanted name finds all of it. pg_restore, and not
// psql, reads the dump: it runs nothing that a dump could say to psql.

import type { Random } from "../base/clock.ts";
import { HoldfastError, isHoldfastError } from "../base/errors.ts";
import { clientOutput, feedClient, findClientProgram } from "./client-programs.ts";
import {
  connect,
  quoteIdentifier,
  quoteLiteral,
  type Connection,
  type ConnectionSettings,
} from "./connection.ts";

export interface CopyDatabaseOptions {
  /** The database to copy, on a server of at most the other one's major. */
  readonly from: ConnectionSettings;
  /** The server to copy it into: settings of any of its databases, and a role that may make one. */
  readonly to: ConnectionSettings;
  /** The name of the new database. */
  readonly name: string;
  /** Its role on that server; whoever connects without. */
  readonly owner?: string | undefined;
  /** Folders of client programs, looked at before all others, and those of the variable PATH. */
  readonly programs?: string | undefined;
  readonly path?: string | undefined;
  readonly random: Random;
  /** Told how many bytes went over, as they do. */
  readonly onBytes?: (bytes: number) => void;
  readonly signal?: AbortSignal | undefined;
}

/** Bytes that the name of a database can have. */
const NAME_BYTES_MAX = 63;

/** Throws USAGE when the server has a database of that name, or can have none. Writes nothing. */
export async function requireNewDatabase(
  settings: ConnectionSettings,
  name: string,
  signal?: AbortSignal,
): Promise<void> {
  const connection = await connect({ settings, signal });
  try {
    await requireAbsent(connection, name, signal);
  } finally {
    await connection.close();
  }
}

/** Copies it; the bytes of the dump. Throws USAGE, POSTGRES_FAILED with what a program said, POSTGRES_NOT_FOUND, CANCELLED. */
export async function copyDatabase(options: CopyDatabaseOptions): Promise<number> {
  const { from, to, name, owner, programs, path, random, onBytes, signal } = options;
  const server = await connect({ settings: to, signal });
  const incoming = `holdfast_incoming_${Buffer.from(random(6)).toString("hex")}`;
  let isMade = false;
  try {
    await requireAbsent(server, name, signal);
    const find = { major: server.major, folder: programs, path, signal };
    const dump = await findClientProgram("pg_dump", find);
    const restore = await findClientProgram("pg_restore", find);
    await server.query(await creation(from, incoming, signal), { signal });
    isMade = true;
    let bytes = 0;
    const content = clientOutput({
      program: dump,
      settings: from,
      // Without compression: it goes nowhere but into the other program.
      words: ["--format=custom", "--compress=0", "--no-owner", "--no-privileges"],
      signal,
    });
    const counted = (async function* (): AsyncGenerator<Uint8Array, void> {
      for await (const piece of content) {
        bytes += piece.length;
        onBytes?.(bytes);
        yield piece;
      }
    })();
    await feedClient({
      program: restore,
      settings: { ...to, database: incoming },
      words: [
        "--exit-on-error",
        "--no-owner",
        "--no-privileges",
        ...(owner === undefined ? [] : [`--role=${owner}`]),
        `--dbname=dbname=${conninfoValue(incoming)}`,
      ],
      input: counted,
      signal,
    });
    if (owner !== undefined)
      await server.query(
        `ALTER DATABASE ${quoteIdentifier(incoming)} OWNER TO ${quoteIdentifier(owner)}`,
        { signal },
      );
    await server.query(
      `ALTER DATABASE ${quoteIdentifier(incoming)} RENAME TO ${quoteIdentifier(name)}`,
      { signal },
    );
    isMade = false;
    return bytes;
  } finally {
    if (isMade) await dropIncoming(to, incoming);
    await server.close();
  }
}

async function requireAbsent(
  server: Connection,
  name: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const isPossible = name !== "" && Buffer.byteLength(name) <= NAME_BYTES_MAX && !/[\0]/.test(name);
  if (!isPossible) {
    throw new HoldfastError("USAGE", `a database cannot be called ${JSON.stringify(name)}`, {
      hint: `Use a name of 1 to ${NAME_BYTES_MAX} bytes.`,
    });
  }
  const [found] = await server.query(
    `SELECT 1 AS there FROM pg_catalog.pg_database WHERE datname = ${quoteLiteral(name)}`,
    { signal },
  );
  if (found === undefined) return;
  throw new HoldfastError(
    "USAGE",
    `the server at ${server.place} has a database ${JSON.stringify(name)} already`,
    { hint: "Choose another name, or drop that one yourself: nothing is ever replaced." },
  );
}

/** CREATE DATABASE as the original is: its encoding and its locale. */
async function creation(
  from: ConnectionSettings,
  name: string,
  signal: AbortSignal | undefined,
): Promise<string> {
  const source = await connect({ settings: from, signal });
  try {
    const [row] = await source.query(
      `SELECT pg_catalog.pg_encoding_to_char(encoding) AS encoding, datcollate, datctype
         FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()`,
      { signal },
    );
    const { encoding, datcollate, datctype } = row ?? {};
    return `CREATE DATABASE ${quoteIdentifier(name)} TEMPLATE template0 ENCODING ${quoteLiteral(encoding ?? "UTF8")}
      LC_COLLATE ${quoteLiteral(datcollate ?? "C")} LC_CTYPE ${quoteLiteral(datctype ?? "C")}`;
  } finally {
    await source.close();
  }
}

/** Also when everything else was cancelled, and whoever was connected to it. */
async function dropIncoming(to: ConnectionSettings, name: string): Promise<void> {
  try {
    const connection = await connect({ settings: to });
    try {
      await connection.query(`DROP DATABASE IF EXISTS ${quoteIdentifier(name)} WITH (FORCE)`);
    } finally {
      await connection.close();
    }
  } catch (error) {
    // What failed before is what there is to tell; the name says what is left.
    if (!isHoldfastError(error)) throw error;
  }
}

function conninfoValue(text: string): string {
  return `'${text.replaceAll(/['\\]/g, "\\$&")}'`;
}
