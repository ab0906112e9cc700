// From what a person typed to a connection: --dbname or HOLDFAST_DATABASE, the PG* variables and ~/.pgpass, as every program
// of PostgreSQL takes them.

import type { Command } from "commander";
import { HoldfastError } from "../base/errors.ts";
import { connect } from "../postgres/connection.ts";
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
