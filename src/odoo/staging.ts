// A copy of an instance for tests, made harmless before anybody can connect to it: neutralised by the SQL of the user's own addons,
// with a new identity, without the keys to storage outside. All of it happens on the scratch server that the copy is recovered
// on, whose socket lies in a private folder; what leaves it is harmless already.

import type { Random } from "../base/clock.ts";
import { HoldfastError, messageOf } from "../base/errors.ts";
import { connect, quoteIdentifier, type Connection } from "../postgres/connection.ts";
import type { RecoveredDatabase } from "./recover-database.ts";
import { findNeutralizeFiles, type FoundFiles } from "./staging/neutralize-files.ts";
import {
  readActive,
  setStagingParameters,
  type ActiveThings,
  type StagingChanges,
} from "./staging/parameters.ts";

/** SQL of the user's, run after everything else. */
export interface SqlHook {
  readonly path: string;
  readonly sql: string;
}

export interface StagingOptions {
  /** Folders of addons, in the order in which Odoo searches them; undefined leaves the copy as it is, on purpose. */
  readonly addons: readonly string[] | undefined;
  /** Goes on although installed modules are in none of the folders. */
  readonly allowUnknown: boolean;
  readonly baseUrl: string | undefined;
  readonly hooks: readonly SqlHook[];
  readonly keepStorage: boolean;
  /** Goes on although mail servers are active when all is done. */
  readonly allowMail: boolean;
  readonly random: Random;
  readonly signal?: AbortSignal | undefined;
}

export interface StagingReport {
  /** Modules whose SQL was run; undefined when the copy was left as it is. */
  readonly neutralized: readonly string[] | undefined;
  readonly installed: number;
  readonly unknown: readonly string[];
  readonly uuid: string;
  readonly changes: StagingChanges;
  readonly hooks: readonly string[];
  readonly active: ActiveThings;
}

/** What is needed of a recovered database. */
export type HarmlessSource = Pick<RecoveredDatabase, "promote" | "connect"> & {
  readonly server: Pick<RecoveredDatabase["server"], "connection">;
};

/**
 * Makes the recovered database harmless; it is open for writing afterwards. Throws STAGING_UNSAFE when it could not be made so,
 * POSTGRES_FAILED for SQL that failed, with its file. The database is not to be used then.
 */
export async function makeHarmless(
  recovered: HarmlessSource,
  database: string,
  options: StagingOptions,
): Promise<StagingReport> {
  const { addons, signal } = options;
  await recovered.promote();
  const connection = await connectAsOwner(recovered, database, signal);
  try {
    const found = addons && (await findNeutralizeFiles(connection, addons, { signal }));
    if (found) {
      requireKnown(found, options);
      for (const { path, sql } of found.files) await runSql(connection, { path, sql }, signal);
    }
    const uuid = newUuid(options.random);
    const changes = await setStagingParameters(connection, {
      uuid,
      secret: newUuid(options.random),
      baseUrl: options.baseUrl,
      isNeutralized: found !== undefined,
      keepStorage: options.keepStorage,
      signal,
    });
    for (const hook of options.hooks) await runSql(connection, hook, signal);
    const active = await readActive(connection, signal);
    if (found) requireQuiet(active, options);
    return {
      neutralized: found?.files.map(({ module }) => module),
      installed: found?.installed ?? 0,
      unknown: found?.unknown ?? [],
      uuid,
      changes,
      hooks: options.hooks.map(({ path }) => path),
      active,
    };
  } finally {
    await connection.close();
  }
}

/**
 * A connection as the role that owns Odoo's tables: what the database's own triggers do while it is changed is then done with no
 * more rights than Odoo has, and not with those of a superuser of this machine's server.
 */
async function connectAsOwner(
  recovered: HarmlessSource,
  database: string,
  signal: AbortSignal | undefined,
): Promise<Connection> {
  const connection = await recovered.connect(database);
  let owner: string | undefined;
  try {
    const [row] = await connection.query(
      `SELECT r.rolname AS owner FROM pg_catalog.pg_class c JOIN pg_catalog.pg_roles r ON r.oid = c.relowner
       WHERE c.oid = pg_catalog.to_regclass('public.ir_config_parameter') AND r.rolcanlogin`,
      { signal },
    );
    owner = row?.["owner"] ?? undefined;
  } finally {
    await connection.close();
  }
  if (owner === undefined) {
    throw new HoldfastError(
      "STAGING_UNSAFE",
      "the role that owns Odoo's tables cannot log in, and nobody else should change them",
      { hint: "Name the original database with --database; its tables belong to Odoo's own role." },
    );
  }
  const settings = { ...recovered.server.connection, user: owner, database };
  return await connect({ settings, signal });
}

/** Drops all other databases of a recovered cluster, which nobody has made harmless, and gives this one its new name. */
export async function keepOnly(
  recovered: RecoveredDatabase,
  database: string,
  name: string,
): Promise<string[]> {
  const others = (await recovered.databases()).filter((each) => each !== database);
  const connection = await recovered.connect("template1");
  try {
    const dropped = others.filter((each) => each !== "postgres");
    for (const other of dropped)
      await connection.query(`DROP DATABASE ${quoteIdentifier(other)} WITH (FORCE)`);
    if (name !== database) {
      if (name === "postgres" || name.startsWith("template"))
        throw new HoldfastError("USAGE", `a copy cannot be called ${JSON.stringify(name)}`);
      await connection.query(
        `ALTER DATABASE ${quoteIdentifier(database)} RENAME TO ${quoteIdentifier(name)}`,
      );
    }
    return dropped;
  } finally {
    await connection.close();
  }
}

const NAMED = 10;

function requireKnown({ files, unknown, installed }: FoundFiles, options: StagingOptions): void {
  if (unknown.length > 0 && !options.allowUnknown) {
    const names = unknown.slice(0, NAMED).join(", ");
    const more = unknown.length > NAMED ? ` and ${unknown.length - NAMED} more` : "";
    throw new HoldfastError(
      "STAGING_UNSAFE",
      `${unknown.length} of ${installed} installed modules are in none of the folders of addons: ${names}${more}`,
      {
        hint: "Name all folders that Odoo has in addons_path with --addons, its own ones too; or say --allow-unknown-modules.",
      },
    );
  }
  if (files.length > 0 || options.hooks.length > 0) return;
  throw new HoldfastError(
    "STAGING_UNSAFE",
    "no installed module has a data/neutralize.sql, so nothing would be neutralised",
    { hint: "Before Odoo 16 there are none: neutralise with SQL of your own, by --sql FILE." },
  );
}

function requireQuiet({ mailServers }: ActiveThings, { allowMail }: StagingOptions): void {
  if (mailServers.length === 0 || allowMail) return;
  throw new HoldfastError(
    "STAGING_UNSAFE",
    `mail servers are active in the copy: ${mailServers.slice(0, NAMED).join(", ")}`,
    { hint: "Turn them off with --sql FILE, or say --allow-mail if they are meant." },
  );
}

async function runSql(
  connection: Connection,
  { path, sql }: SqlHook,
  signal: AbortSignal | undefined,
): Promise<void> {
  try {
    // All of a file, or nothing of it.
    await connection.query(`BEGIN;\n${sql}\n;COMMIT`, { signal });
  } catch (error) {
    await connection.query("ROLLBACK").catch(() => {});
    throw new HoldfastError("POSTGRES_FAILED", `${path} failed: ${messageOf(error)}`, {
      hint: "Mend the file: the copy was not made.",
      cause: error,
    });
  }
}

/** A random UUID of version 4. */
function newUuid(random: Random): string {
  const bytes = Buffer.from(random(16));
  bytes[6] = (bytes[6]! & 0x0f) | 0x40;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = bytes.toString("hex");
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    hex.slice(12, 16),
    hex.slice(16, 20),
    hex.slice(20),
  ].join("-");
}
