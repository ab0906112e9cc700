// What a copy must not have in common with its original, whatever its modules say: identity, addresses, and the keys to storage
// outside, with which a copy could delete what the original needs.

import { quoteLiteral, type Connection } from "../../postgres/connection.ts";

/** Keys of `ir_config_parameter` with which Odoo reaches buckets. */
const STORAGE_KEYS = "^(cloud_storage_|ir_attachment\\.location$|ir_attachment\\.storage)";
/** Tables of OCA's storages, and their columns with credentials. */
const STORAGE_TABLES: readonly (readonly [table: string, column: string, value: string])[] = [
  ["fs_storage", "options", "'{}'"],
  ["storage_backend", "data", "NULL"],
];
/** Parameters whose names say that they open something. */
const SECRET_KEYS = "(secret|token|password|passwd|api_?key|private_?key|credential|client_id)";

export interface StagingParameters {
  /** A new one; 36 characters. */
  readonly uuid: string;
  readonly secret: string;
  /** Where the copy is reached. */
  readonly baseUrl: string | undefined;
  /** False: `database.is_neutralized` is not set. */
  readonly isNeutralized: boolean;
  /** Leaves keys to storage outside as they are. */
  readonly keepStorage: boolean;
  readonly signal?: AbortSignal | undefined;
}

export interface StagingChanges {
  /** What was cut off of storage outside: keys of parameters, and "table (rows)". */
  readonly storage: readonly string[];
  /** Parameters that look like secrets of the original, and were left. */
  readonly secretsLeft: readonly string[];
}

/** Where a copy is reached when nobody says. */
const LOCAL_URL = "http://localhost:8069";

/** Changes them, all in one transaction or none. */
export async function setStagingParameters(
  connection: Connection,
  parameters: StagingParameters,
): Promise<StagingChanges> {
  const { uuid, secret, baseUrl, isNeutralized, keepStorage, signal } = parameters;
  const values = new Map([
    ["database.uuid", uuid],
    ["database.secret", secret],
    ["web.base.url", baseUrl ?? LOCAL_URL],
    ...(baseUrl === undefined ? [] : [["web.base.url.freeze", "True"] as const]),
    ...(isNeutralized ? [["database.is_neutralized", "true"] as const] : []),
  ]);
  const storage: string[] = [];
  await connection.query("BEGIN", { signal });
  try {
    for (const [key, value] of values) {
      await connection.query(
        `INSERT INTO public.ir_config_parameter (key, value) VALUES (${quoteLiteral(key)}, ${quoteLiteral(value)})
         ON CONFLICT (key) DO UPDATE SET value = EXCLUDED.value`,
        { signal },
      );
    }
    if (!keepStorage) storage.push(...(await cutStorage(connection, signal)));
    const left = await connection.query(
      `SELECT key FROM public.ir_config_parameter
       WHERE key ~* ${quoteLiteral(SECRET_KEYS)} AND key <> 'database.secret' AND coalesce(value, '') <> '' ORDER BY key`,
      { signal },
    );
    await connection.query("COMMIT", { signal });
    return { storage, secretsLeft: left.map((row) => row["key"] ?? "") };
  } catch (error) {
    await connection.query("ROLLBACK").catch(() => {});
    throw error;
  }
}

async function cutStorage(
  connection: Connection,
  signal: AbortSignal | undefined,
): Promise<string[]> {
  const cut: string[] = [];
  const removed = await connection.query(
    `DELETE FROM public.ir_config_parameter WHERE key ~ ${quoteLiteral(STORAGE_KEYS)} RETURNING key`,
    { signal },
  );
  cut.push(...removed.map((row) => row["key"] ?? "").toSorted());
  for (const [table, column, value] of STORAGE_TABLES) {
    const [there] = await connection.query(
      `SELECT 1 AS there FROM pg_catalog.pg_attribute
       WHERE attrelid = pg_catalog.to_regclass(${quoteLiteral(`public.${table}`)}) AND attname = ${quoteLiteral(column)}`,
      { signal },
    );
    if (there === undefined) continue;
    const rows = await connection.query(
      `UPDATE public.${table} SET ${column} = ${value} WHERE ${column} IS NOT NULL RETURNING 1 AS one`,
      { signal },
    );
    if (rows.length > 0) cut.push(`${table}.${column} (${rows.length})`);
  }
  return cut;
}

/** What a copy could still do to the world. */
export interface ActiveThings {
  /** Names of scheduled actions. */
  readonly crons: readonly string[];
  /** Outgoing mail servers that are not the dummy that Odoo's own neutralisation makes. */
  readonly mailServers: readonly string[];
  readonly fetchmailServers: readonly string[];
  readonly paymentProviders: readonly string[];
}

const ACTIVE: readonly (readonly [keyof ActiveThings, table: string, sql: string])[] = [
  [
    "crons",
    "ir_cron",
    "SELECT coalesce(cron_name, id::text) AS name FROM public.ir_cron WHERE active",
  ],
  [
    "mailServers",
    "ir_mail_server",
    "SELECT name || ' (' || coalesce(smtp_host, '') || ')' AS name FROM public.ir_mail_server WHERE active AND coalesce(smtp_host, '') NOT IN ('', 'invalid', 'localhost')",
  ],
  [
    "fetchmailServers",
    "fetchmail_server",
    "SELECT coalesce(name, id::text) AS name FROM public.fetchmail_server WHERE active",
  ],
  [
    "paymentProviders",
    "payment_provider",
    "SELECT code AS name FROM public.payment_provider WHERE state = 'enabled' AND code NOT IN ('custom', 'none', 'demo')",
  ],
];

/** Looks at what is left active. A table of another shape than we know is passed over. */
export async function readActive(
  connection: Connection,
  signal: AbortSignal | undefined,
): Promise<ActiveThings> {
  const active: Record<keyof ActiveThings, readonly string[]> = {
    crons: [],
    mailServers: [],
    fetchmailServers: [],
    paymentProviders: [],
  };
  for (const [kind, table, sql] of ACTIVE) {
    const [there] = await connection.query(
      `SELECT pg_catalog.to_regclass(${quoteLiteral(`public.${table}`)}) IS NOT NULL AS there`,
      { signal },
    );
    if (there?.["there"] !== "t") continue;
    const rows = await connection.query(`${sql} ORDER BY 1`, { signal });
    active[kind] = rows.map((row) => row["name"] ?? "");
  }
  return active;
}
