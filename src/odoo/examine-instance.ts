// What an Odoo database says about where its attachments are: how many of each kind, what it is set to, and what of that no
// backup of the filestore holds. Looks and changes nothing.

import type { Connection } from "../postgres/connection.ts";
import { ATTACHMENTS, atOneMoment, findAttachmentTable } from "./attachment-table.ts";

export interface InstanceFacts {
  readonly database: string;
  /** "19.0" as the module `base` tells; undefined where there is none. */
  readonly series: string | undefined;
  /** Of `ir_attachment.location`: "file" without a parameter. */
  readonly location: string;
  /** Modules that keep attachments elsewhere, or change how: as they are named. */
  readonly storageModules: readonly string[];
  readonly rows: number;
  /** Rows with a file of the filestore. */
  readonly local: number;
  /** By scheme of the store. */
  readonly external: ReadonlyMap<string, number>;
  readonly cloud: number;
  readonly urls: number;
  readonly inDatabase: number;
  readonly inDatabaseBytes: number;
  readonly empty: number;
  /** Files of two names that rows give for one content: of old versions. */
  readonly oldPaths: number;
}

/** Modules that are known to move attachments out of the filestore. */
const STORAGE_MODULES =
  /^(cloud_storage|cloud_storage_google|cloud_storage_azure|attachment_s3|attachment_azure|attachment_swift|base_attachment_object_storage|fs_attachment|fs_attachment_s3|fs_storage|storage_backend|attachment_db_by_checksum|attachment_minio|ir_attachment_s3|ir_attachment_url)$/;

/** Looks at the database. Throws ODOO_NOT_FOUND, what the server refused, CANCELLED. */
export async function examineInstance(
  connection: Connection,
  { signal }: { readonly signal?: AbortSignal | undefined } = {},
): Promise<InstanceFacts> {
  return await atOneMoment(connection, signal, async () => {
    const table = await findAttachmentTable(connection, signal);
    const rows = await connection.query(
      `SELECT ${table.kind} AS kind, count(*) AS rows, sum(octet_length(${table.column("db_datas")})) AS stored,
         CASE WHEN ${table.kind} <> 'f' THEN '' WHEN ltrim(a.store_fname, '/') ~ '^[0-9a-f]{2}/[0-9a-f]{40}$' THEN 'two'
           WHEN ltrim(a.store_fname, '/') ~ '^[0-9a-f]{3}/[0-9a-f]{40}$' THEN 'three'
           ELSE coalesce(substring(a.store_fname FROM '^([A-Za-z][A-Za-z0-9_+.-]{0,40})://'), '?') END AS store
       FROM ${ATTACHMENTS} a GROUP BY kind, store`,
      { signal },
    );
    const count = (wanted: (kind: string, store: string) => boolean): number =>
      rows
        .filter((row) => wanted(row["kind"] ?? "", row["store"] ?? ""))
        .reduce((sum, row) => sum + Number(row["rows"]), 0);
    const external = new Map(
      rows
        .filter((row) => row["kind"] === "f" && !/^(two|three)$/.test(row["store"] ?? ""))
        .map((row): [string, number] => [row["store"] ?? "", Number(row["rows"])]),
    );
    const modules = await installedModules(connection, signal);
    const [{ name } = {}] = await connection.query("SELECT current_database() AS name", { signal });
    return {
      database: name ?? "",
      series: modules.get("base")?.split(".").slice(0, 2).join("."),
      location: await locationOf(connection, signal),
      storageModules: [...modules.keys()]
        .filter((module) => STORAGE_MODULES.test(module))
        .toSorted(),
      rows: count(() => true),
      local: count((kind, store) => kind === "f" && /^(two|three)$/.test(store)),
      external,
      cloud: count((kind) => kind === "c"),
      urls: count((kind) => kind === "u"),
      inDatabase: count((kind) => kind === "d"),
      inDatabaseBytes: rows
        .filter((row) => row["kind"] === "d")
        .reduce((sum, row) => sum + Number(row["stored"]), 0),
      empty: count((kind) => kind === "e"),
      oldPaths: count((_, store) => store === "three"),
    };
  });
}

async function hasTable(
  connection: Connection,
  table: string,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const [row] = await connection.query(
    `SELECT has_table_privilege(c.oid, 'SELECT') AS may FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE n.nspname = 'public' AND c.relname = '${table}' AND c.relkind IN ('r', 'p')`,
    { signal },
  );
  return row?.["may"] === "t";
}

/** Name and version of the modules that are installed; none where that may not be read. */
async function installedModules(
  connection: Connection,
  signal: AbortSignal | undefined,
): Promise<Map<string, string>> {
  if (!(await hasTable(connection, "ir_module_module", signal))) return new Map();
  const rows = await connection.query(
    "SELECT name, coalesce(latest_version, '') AS version FROM public.ir_module_module WHERE state IN ('installed', 'to upgrade', 'to remove')",
    { signal },
  );
  return new Map(rows.map((row) => [row["name"] ?? "", row["version"] ?? ""]));
}

async function locationOf(
  connection: Connection,
  signal: AbortSignal | undefined,
): Promise<string> {
  if (!(await hasTable(connection, "ir_config_parameter", signal))) return "unknown";
  const [row] = await connection.query(
    "SELECT value FROM public.ir_config_parameter WHERE key = 'ir_attachment.location'",
    { signal },
  );
  return row?.["value"] ?? "file";
}
