// What is known of the server before a backup begins. What only a connection for SQL can tell is asked on one, and is
// done without where the role may not have one: a backup needs no more than replication.

import { HoldfastError, isHoldfastError } from "../../base/errors.ts";
import type { Clock } from "../../base/clock.ts";
import type { Connection } from "../connection.ts";

export interface SourceServer {
  readonly version: number;
  readonly systemId: string;
  readonly timeline: number;
  readonly segmentSize: number;
  /** Permissions of the data directory. */
  readonly directoryMode: number;
  readonly pgdata: string | null;
  readonly configFile: string | null;
  readonly hbaFile: string | null;
  readonly identFile: string | null;
  /** "off", "on" or "always". */
  readonly archiveMode: string | null;
  /** Pages have checksums. */
  readonly checksums: boolean;
  /** Names of tablespaces by their numbers; undefined when nobody could be asked. */
  readonly tablespaceNames: ReadonlyMap<number, string> | undefined;
  /** Milliseconds that the server's clock is ahead of ours; 0 when nobody could be asked. */
  readonly clockAhead: number;
}

interface Options {
  readonly connection: Connection;
  /** Opens one for SQL. */
  readonly connectSql: () => Promise<Connection>;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly warn: (text: string) => void;
}

const OLDEST = 13;

/** Asks the server. Throws POSTGRES_FAILED for one older than PostgreSQL 13. */
export async function examineSource(options: Options): Promise<SourceServer> {
  const { connection, signal } = options;
  if (connection.major < OLDEST) {
    throw new HoldfastError(
      "POSTGRES_FAILED",
      `PostgreSQL at ${connection.place} is of version ${connection.major}, which makes no manifest of a backup`,
      { hint: `Upgrade the server to PostgreSQL ${OLDEST} or later.` },
    );
  }
  const { systemId, timeline } = await connection.identify({ signal });
  const setting = async (name: string): Promise<string | null> =>
    await settingOf(connection, name, signal);
  const bySql = await askSql(options);
  return {
    version: connection.version,
    systemId,
    timeline,
    segmentSize: await connection.segmentSize({ signal }),
    directoryMode: Number.parseInt((await setting("data_directory_mode")) ?? "0700", 8),
    pgdata: await setting("data_directory"),
    configFile: await setting("config_file"),
    hbaFile: await setting("hba_file"),
    identFile: await setting("ident_file"),
    archiveMode: await setting("archive_mode"),
    checksums: (await setting("data_checksums")) === "on",
    tablespaceNames: bySql?.tablespaceNames,
    clockAhead: bySql?.clockAhead ?? 0,
  };
}

/** A setting's value; null for one that only others may see. */
async function settingOf(
  connection: Connection,
  name: string,
  signal: AbortSignal,
): Promise<string | null> {
  try {
    return await connection.setting(name, { signal });
  } catch (error) {
    if (isHoldfastError(error, "POSTGRES_DENIED")) return null;
    throw error;
  }
}

async function askSql({
  connectSql,
  clock,
  signal,
  warn,
}: Options): Promise<Pick<SourceServer, "tablespaceNames" | "clockAhead"> | undefined> {
  let connection: Connection | undefined;
  try {
    connection = await connectSql();
    const before = clock.now();
    const [time] = await connection.query(
      "SELECT extract(epoch FROM clock_timestamp()) * 1000 AS now",
      { signal },
    );
    const ahead = Number(time?.["now"]) - (before + clock.now()) / 2;
    const rows = await connection.query("SELECT oid, spcname FROM pg_tablespace", { signal });
    const names = rows.map(({ oid, spcname }) => [Number(oid), spcname ?? ""] as const);
    return { tablespaceNames: new Map(names), clockAhead: Math.round(ahead) };
  } catch (error) {
    if (!isHoldfastError(error) || error.code === "CANCELLED" || error.code === "BUG") throw error;
    warn(
      `no SQL on this server, so tablespaces keep their numbers as names and the clocks are not compared: ${error.message}`,
    );
    return undefined;
  } finally {
    await connection?.close();
  }
}
