// A recovered database copied into a running server, as a new database there: dumped and loaded by PostgreSQL's own programs,
// which stop at the first error, and compared table by table. A database that is there already is never touched; one of ours
// that did not come out whole is dropped.

import { HoldfastError } from "../base/errors.ts";
import { clientOutput, feedClient, type ClientProgram } from "../postgres/client-programs.ts";
import {
  connect,
  quoteIdentifier,
  quoteLiteral,
  type Connection,
  type ConnectionSettings,
} from "../postgres/connection.ts";
import { atOneMoment } from "./attachment-table.ts";
import type { RecoveredDatabase } from "./recover-database.ts";

export interface CopyDatabaseOptions {
  readonly recovered: Pick<RecoveredDatabase, "connect" | "server">;
  /** The database to copy. */
  readonly database: string;
  /** The server that gets it; its own `database` is the one to connect to for making another. */
  readonly target: ConnectionSettings;
  /** Name of the new one. */
  readonly name: string;
  readonly programs: { readonly pgDump: ClientProgram; readonly psql: ClientProgram };
  readonly signal?: AbortSignal | undefined;
}

export interface CopiedDatabase {
  readonly name: string;
  /** Tables that were compared, and rows in them. */
  readonly tables: number;
  readonly rows: number;
  /** "db1:5432". */
  readonly place: string;
  /** Takes the new database away again. */
  readonly undo: () => Promise<void>;
}

/** Throws USAGE when the name is taken or none, or when the server is older than `major`; what the server refuses. */
export async function requireNewDatabase(options: {
  readonly target: ConnectionSettings;
  readonly name: string;
  /** Of the recovered cluster; 0 when that is not known. */
  readonly major: number;
  readonly signal?: AbortSignal | undefined;
}): Promise<void> {
  const { target, name, major, signal } = options;
  if (name === "" || Buffer.byteLength(name) > 63)
    throw new HoldfastError("USAGE", `a database cannot be called ${JSON.stringify(name)}`, {
      hint: "Names have 1 to 63 bytes.",
    });
  const connection = await connect({ settings: target, signal });
  try {
    if (connection.major < major)
      throw new HoldfastError(
        "USAGE",
        `the server at ${connection.place} is PostgreSQL ${connection.major}, the database is of ${major}`,
        { hint: "Name a server of the same major version or a newer one." },
      );
    const rows = await connection.query(
      `SELECT 1 FROM pg_catalog.pg_database WHERE datname = ${quoteLiteral(name)}`,
      { signal },
    );
    if (rows.length === 0) return;
    throw new HoldfastError("USAGE", `the server has a database ${JSON.stringify(name)} already`, {
      hint: "Choose a name that is not taken: nothing is ever recovered over a database.",
    });
  } finally {
    await connection.close();
  }
}

/** Copies. Throws POSTGRES_FAILED when dump or load fail, or when the two differ; what the servers refuse; CANCELLED. */
export async function copyDatabase(options: CopyDatabaseOptions): Promise<CopiedDatabase> {
  const { recovered, database, target, name, signal } = options;
  const source = await recovered.connect(database);
  try {
    const place = await createDatabase(source, options);
    const undo = async (): Promise<void> => await dropDatabase(target, name);
    try {
      await load(options);
      const copy = await connect({ settings: { ...target, database: name }, signal });
      try {
        const counts = await compare(source, copy, signal);
        await copy.query("ANALYZE", { signal });
        return { name, ...counts, place, undo };
      } finally {
        await copy.close();
      }
    } catch (error) {
      // The reason why it failed is the one to tell.
      await undo().catch(() => {});
      throw error;
    }
  } finally {
    await source.close();
  }
}

/** Makes the empty database, with encoding and order of the source; where the server is. */
async function createDatabase(
  source: Connection,
  { target, name, signal }: CopyDatabaseOptions,
): Promise<string> {
  const [row = {}] = await source.query(
    `SELECT pg_catalog.pg_encoding_to_char(encoding) AS encoding, datcollate AS collate, datctype AS ctype
     FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()`,
    { signal },
  );
  const connection = await connect({ settings: target, signal });
  try {
    const text = (value: string | null | undefined): string => quoteLiteral(value ?? "");
    await connection.query(
      `CREATE DATABASE ${quoteIdentifier(name)} TEMPLATE template0 ENCODING ${text(row["encoding"])} LC_COLLATE ${text(row["collate"])} LC_CTYPE ${text(row["ctype"])}`,
      { signal },
    );
    return connection.place;
  } finally {
    await connection.close();
  }
}

async function dropDatabase(target: ConnectionSettings, name: string): Promise<void> {
  const connection = await connect({ settings: target });
  try {
    await connection.query(`DROP DATABASE IF EXISTS ${quoteIdentifier(name)} WITH (FORCE)`);
  } finally {
    await connection.close();
  }
}

async function load(options: CopyDatabaseOptions): Promise<void> {
  const { recovered, database, target, name, programs, signal } = options;
  const input = clientOutput({
    program: programs.pgDump,
    settings: { ...recovered.server.connection, database },
    // Roles of the old server may not be there.
    words: ["--no-owner", "--no-privileges"],
    signal,
  });
  await feedClient({
    program: programs.psql,
    settings: { ...target, database: name },
    words: ["--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1"],
    input,
    signal,
  });
}

const TABLES = `SELECT n.nspname AS schema, c.relname AS name FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' ORDER BY 1, 2`;

/** Counts the rows of every table on both sides. Throws POSTGRES_FAILED where they differ. */
async function compare(
  source: Connection,
  copy: Connection,
  signal: AbortSignal | undefined,
): Promise<{ tables: number; rows: number }> {
  const count = async (connection: Connection): Promise<Map<string, number>> =>
    await atOneMoment(connection, signal, async () => {
      const counts = new Map<string, number>();
      for (const row of await connection.query(TABLES, { signal })) {
        const table = `${quoteIdentifier(row["schema"]!)}.${quoteIdentifier(row["name"]!)}`;
        const [found] = await connection.query(`SELECT count(*) AS rows FROM ${table}`, { signal });
        counts.set(table, Number(found?.["rows"]));
      }
      return counts;
    });
  const [ours, theirs] = [await count(source), await count(copy)];
  const differing = [...new Set([...ours.keys(), ...theirs.keys()])].filter(
    (table) => ours.get(table) !== theirs.get(table),
  );
  if (differing.length > 0) {
    const [first] = differing;
    const told = (counts: Map<string, number>): string => `${counts.get(first!) ?? "no table"}`;
    throw new HoldfastError(
      "POSTGRES_FAILED",
      `the copy differs in ${differing.length} tables: ${first} has ${told(theirs)} rows instead of ${told(ours)}`,
      { hint: "The copy was dropped. Look at what triggers of extensions do in the new server." },
    );
  }
  return { tables: ours.size, rows: [...ours.values()].reduce((sum, rows) => sum + rows, 0) };
}
