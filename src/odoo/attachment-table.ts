// The table `ir_attachment` as it is in this database: found by the catalogue of PostgreSQL, never by a search path, with the
// columns that this version of Odoo and its modules gave it (12 to 19 differ). All reading of it goes through here, in one
// transaction that sees one moment and can change nothing.

import { HoldfastError } from "../base/errors.ts";
import { quoteLiteral } from "../postgres/connection.ts";
import type { Connection } from "../postgres/connection.ts";

/** As SQL names it, whatever the search path is. */
export const ATTACHMENTS = "public.ir_attachment";

/** Columns without which nothing can be said about files. */
const NEEDED: readonly string[] = ["id", "store_fname", "type"];

/** What is taken for a column that this version has not. */
const ABSENT: Readonly<Record<string, string>> = {
  name: "''::text",
  res_model: "NULL::text",
  res_field: "NULL::text",
  res_id: "NULL::int",
  url: "NULL::text",
  public: "false",
  db_datas: "NULL::bytea",
  file_size: "NULL::int",
  checksum: "NULL::text",
  mimetype: "NULL::text",
  create_date: "NULL::timestamp",
  write_date: "NULL::timestamp",
};

/** The columns that there are, as expressions of SQL over the alias `a`. */
export class AttachmentTable {
  readonly columns: ReadonlySet<string>;

  constructor(columns: ReadonlySet<string>) {
    this.columns = columns;
  }

  /** The column, or a constant of its type where this version has none. */
  column(name: string): string {
    return this.columns.has(name) ? `a.${name}` : (ABSENT[name] ?? "NULL::text");
  }

  /**
   * True for a bundle of scripts or styles, which Odoo makes again when its row is gone: since 15 below /web/assets/,
   * before as /web/content/ID-HASH/NAME, belonging to no view in particular.
   */
  get isBundle(): string {
    const url = this.column("url");
    return `(coalesce(${url} LIKE '/web/assets/%', false) OR coalesce(${url} LIKE '/web/content/%-%/%' AND ${this.column("res_model")} = 'ir.ui.view' AND coalesce(${this.column("res_id")}, 0) = 0 AND ${this.column("mimetype")} IN ('text/css', 'application/javascript', 'text/javascript'), false))`;
  }

  /** Where the content of a row is: 'f' file or object outside, 'c' cloud, 'u' url, 'd' in the database, 'e' nowhere. */
  get kind(): string {
    return `CASE WHEN a.store_fname <> '' THEN 'f' WHEN a.type = 'cloud_storage' THEN 'c' WHEN a.type = 'url' THEN 'u'
      WHEN octet_length(${this.column("db_datas")}) > 0 THEN 'd' ELSE 'e' END`;
  }
}

/** Finds the table. Throws ODOO_NOT_FOUND where the database is none of Odoo's. */
export async function findAttachmentTable(
  connection: Connection,
  signal: AbortSignal | undefined,
): Promise<AttachmentTable> {
  const rows = await connection.query(
    `SELECT a.attname FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
      JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      WHERE n.nspname = 'public' AND c.relname = 'ir_attachment' AND c.relkind IN ('r', 'p')
        AND a.attnum > 0 AND NOT a.attisdropped`,
    { signal },
  );
  const columns = new Set(rows.map((row) => row["attname"] ?? ""));
  const missing = NEEDED.filter((name) => !columns.has(name));
  if (missing.length === 0) return new AttachmentTable(columns);
  const what =
    columns.size === 0
      ? "it has no table public.ir_attachment"
      : `its table public.ir_attachment has no column ${missing.join(", ")}`;
  throw new HoldfastError("ODOO_NOT_FOUND", `this is no database of Odoo: ${what}`, {
    hint: "Name Odoo's own database: -d 'host=db1 dbname=odoo', HOLDFAST_DATABASE or PGDATABASE.",
  });
}

/**
 * Runs `work` in a transaction that sees one moment of the database, changes nothing, and finds nothing but what PostgreSQL
 * itself brings under a name without schema. Rows that a policy would hide are an error. With `snapshot`, one that another
 * transaction exported, the moment is that one's.
 */
export async function atOneMoment<T>(
  connection: Connection,
  signal: AbortSignal | undefined,
  work: () => Promise<T>,
  snapshot?: string,
): Promise<T> {
  const moment =
    snapshot === undefined ? "" : `SET TRANSACTION SNAPSHOT ${quoteLiteral(snapshot)};`;
  await connection.query(
    `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; ${moment} SET LOCAL search_path = pg_catalog;
     SET LOCAL row_security = off; SET LOCAL statement_timeout = 0`,
    { signal },
  );
  let result: T;
  try {
    result = await work();
  } catch (error) {
    // A connection that broke, or was cut off in the middle of an answer, has ended its transaction already.
    await connection.query("ROLLBACK").catch(() => {});
    throw error;
  }
  await connection.query("COMMIT", { signal });
  return result;
}
