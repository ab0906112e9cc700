// Which attachments, and which records of Odoo, files belong to: for the people who have to be told, or to ask, what was lost.

import { throwIfCancelled } from "../base/cancellation.ts";
import { quoteLiteral, type Connection } from "../postgres/connection.ts";
import { ATTACHMENTS, atOneMoment, findAttachmentTable } from "./attachment-table.ts";

/** A row that refers to a file. */
export interface AttachmentRecord {
  readonly id: number;
  readonly name: string;
  readonly res_model: string | null;
  readonly res_field: string | null;
  readonly res_id: number | null;
  readonly url: string | null;
  /** RFC 3339 in UTC, null where the row does not say. */
  readonly created: string | null;
  /** It is an asset bundle, which Odoo makes again when the row is gone. */
  readonly bundle: boolean;
}

/** Files for which one statement asks. */
const BATCH = 2000;
/** Rows of one file that are told. */
const ROWS_MAX = 20;

/** The rows of each of the paths ("ab/ab12…"), at most 20 for each; a path without rows has none. */
export async function readRecords(
  connection: Connection,
  paths: readonly string[],
  { signal }: { readonly signal?: AbortSignal | undefined } = {},
): Promise<Map<string, AttachmentRecord[]>> {
  const found = new Map<string, AttachmentRecord[]>();
  await atOneMoment(connection, signal, async () => {
    const table = await findAttachmentTable(connection, signal);
    const column = (name: string): string => table.column(name);
    for (let at = 0; at < paths.length; at += BATCH) {
      throwIfCancelled(signal);
      const list = paths
        .slice(at, at + BATCH)
        .map(quoteLiteral)
        .join(", ");
      const rows = await connection.query(
        `SELECT a.store_fname AS path, a.id, ${column("name")} AS name, ${column("res_model")} AS model,
           ${column("res_field")} AS field, ${column("res_id")} AS res_id, ${column("url")} AS url,
           to_char(${column("create_date")}, 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS created, ${table.isBundle} AS bundle
         FROM ${ATTACHMENTS} a WHERE ltrim(a.store_fname, '/') IN (${list}) ORDER BY a.id`,
        { signal },
      );
      for (const row of rows) {
        const path = (row["path"] ?? "").replace(/^\/+/, "");
        const records = found.get(path) ?? [];
        found.set(path, records);
        if (records.length >= ROWS_MAX) continue;
        records.push({
          id: Number(row["id"]),
          name: row["name"] ?? "",
          res_model: row["model"] ?? null,
          res_field: row["field"] ?? null,
          res_id: row["res_id"] ? Number(row["res_id"]) : null,
          url: row["url"] ?? null,
          created: row["created"] ?? null,
          bundle: row["bundle"] === "t",
        });
      }
    }
  });
  return found;
}

/**
 * Which of the paths have a row that was made before `time` (milliseconds since 1970), or of which nobody knows when it was
 * made. Of all others the file may have come since.
 */
export async function pathsBefore(
  connection: Connection,
  paths: readonly string[],
  { time, signal }: { readonly time: number; readonly signal?: AbortSignal | undefined },
): Promise<Set<string>> {
  const found = new Set<string>();
  await atOneMoment(connection, signal, async () => {
    const table = await findAttachmentTable(connection, signal);
    const created = table.column("create_date");
    const moment = quoteLiteral(new Date(time).toISOString().replace("Z", ""));
    for (let at = 0; at < paths.length; at += BATCH) {
      throwIfCancelled(signal);
      const list = paths
        .slice(at, at + BATCH)
        .map(quoteLiteral)
        .join(", ");
      const rows = await connection.query(
        `SELECT DISTINCT ltrim(a.store_fname, '/') AS path FROM ${ATTACHMENTS} a
          WHERE ltrim(a.store_fname, '/') IN (${list}) AND coalesce(${created} < ${moment}::timestamp, true)`,
        { signal },
      );
      for (const { path } of rows) found.add(path ?? "");
    }
  });
  return found;
}

/**
 * The statement that takes the rows of broken bundles away, after which Odoo makes them again at the next page; undefined
 * for none. It names what they are as well, so that it can do no harm where the numbers mean others.
 */
export function bundleRepair(ids: readonly number[]): string | undefined {
  if (ids.length === 0) return undefined;
  return `DELETE FROM ir_attachment WHERE (url LIKE '/web/assets/%' OR (url LIKE '/web/content/%' AND res_model = 'ir.ui.view')) AND id IN (${ids.join(", ")});`;
}
