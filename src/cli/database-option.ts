// From what a person typed to a connection: --dbname or HOLDFAST_DATABASE, the PG* variables and ~/.pgpass, as every program
// of PostgreSQL takes them.

import { basename } from "node:path";
import type { Command } from "commander";
import { HoldfastError } from "../base/errors.ts";
import { connect, sqlStateOf } from "../postgres/connection.ts";
import type { Connection, ConnectionSettings } from "../postgres/connection.ts";
import { readConninfo } from "../postgres/conninfo.ts";
import type { Context } from "./command.ts";

export interface DatabaseFlags {
  dbname?: string;
}

interface OpenOptions {
  /** A connection for physical replication. */
  readonly replication?: boolean;
}

/** Adds the options that `openNamedConnection` reads. */
export function addDatabaseOptions(command: Command): void {
  command.option(
    "-d, --dbname <conninfo>",
    "the server: a connection string or URI, as psql takes it (or HOLDFAST_DATABASE, PGHOST, PGUSER, …)",
  );
}

/** How to reach the named server. Throws USAGE for a password on the command line, where every user can read it. */
export async function namedDatabase(
  context: Context,
  flags: DatabaseFlags,
  { replication = false }: OpenOptions = {},
): Promise<ConnectionSettings> {
  const { environment, output, machine } = context;
  const conninfo = flags.dbname ?? environment["HOLDFAST_DATABASE"];
  if (flags.dbname !== undefined && /\bpassword\s*=|:\/\/[^/@]*:[^/@]*@/.test(flags.dbname)) {
    throw new HoldfastError(
      "USAGE",
      "--dbname holds a password, which every user of this machine can read",
      {
        hint: "Give it in PGPASSWORD, in ~/.pgpass or in HOLDFAST_DATABASE.",
      },
    );
  }
  return await readConninfo({
    conninfo,
    environment,
    account: machine.username,
    replication,
    warn: (text) => output.warn(text),
  });
}

/** What PostgreSQL answers when there is no database of that name. */
const NO_DATABASE = "3D000";

/**
 * Odoo names the folder of a filestore as its database. Under another name that does not exist, or that is not Odoo's,
 * captures would be those of a database that nobody has: throws what the server says, or ODOO_NOT_FOUND. One that does not answer may have it, and files do not wait for it.
 */
export async function requireDatabaseOf(
  filestore: string,
  settings: ConnectionSettings,
  signal: AbortSignal,
): Promise<void> {
  const name = basename(filestore);
  if (name === settings.database) return;
  let isOdoo = true;
  try {
    const connection = await connect({ settings, signal });
    const [row] = await connection.query(
      "SELECT pg_catalog.to_regclass('public.ir_attachment') IS NOT NULL AS found",
      { signal },
    );
    isOdoo = row?.["found"] === "t";
    await connection.close();
  } catch (error) {
    if (sqlStateOf(error) === NO_DATABASE) throw error;
  }
  if (isOdoo) return;
  throw new HoldfastError(
    "ODOO_NOT_FOUND",
    `the database ${JSON.stringify(settings.database)} has no table ir_attachment: it is not Odoo's`,
    { hint: `Name the database of ${filestore}; by its folder that is ${JSON.stringify(name)}.` },
  );
}

/** A connection to the named server, closed when the run ends. */
export async function openNamedConnection(
  context: Context,
  flags: DatabaseFlags,
  options: OpenOptions = {},
): Promise<Connection> {
  const settings = await namedDatabase(context, flags, options);
  const { replication = false } = options;
  return context.closers.add(await connect({ settings, replication, signal: context.signal }));
}
