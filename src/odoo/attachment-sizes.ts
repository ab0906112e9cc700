// How much the attachments of a database take, by what they are: so that the question why a filestore grows has an answer.
// Sizes are those that rows say; a file that several rows refer to counts for each.

import type { Connection } from "../postgres/connection.ts";
import { ATTACHMENTS, atOneMoment, findAttachmentTable } from "./attachment-table.ts";

/** What an attachment is. "image": a picture of a record in one of its sizes; "field": another field's content. */
export type AttachmentClass = "document" | "image" | "field" | "bundle";

export const ATTACHMENT_CLASSES: readonly AttachmentClass[] = [
  "document",
  "image",
  "field",
  "bundle",
];

export interface Amount {
  readonly rows: number;
  readonly bytes: number;
}

export interface AttachmentSizes {
  readonly total: Amount;
  readonly byClass: ReadonlyMap<AttachmentClass, Amount>;
  /** The largest first; "" for those of no model. */
  readonly byModel: ReadonlyMap<string, Amount>;
  /** "2026-01", the oldest first; "" where the row does not say when it was made. */
  readonly byMonth: ReadonlyMap<string, Amount>;
}

/** Adds the rows up. Throws ODOO_NOT_FOUND, what the server refused, CANCELLED. */
export async function readSizes(
  connection: Connection,
  { signal }: { readonly signal?: AbortSignal | undefined } = {},
): Promise<AttachmentSizes> {
  const rows = await atOneMoment(connection, signal, async () => {
    const table = await findAttachmentTable(connection, signal);
    const field = table.column("res_field");
    return await connection.query(
      `SELECT CASE WHEN ${table.isBundle} THEN 'bundle' WHEN ${field} IS NULL THEN 'document'
         WHEN ${table.column("mimetype")} LIKE 'image/%' THEN 'image' ELSE 'field' END AS class,
         coalesce(${table.column("res_model")}, '') AS model,
         coalesce(to_char(${table.column("create_date")}, 'YYYY-MM'), '') AS month,
         count(*) AS rows, sum(coalesce(${table.column("file_size")}, 0)) AS bytes
       FROM ${ATTACHMENTS} a WHERE a.store_fname <> '' GROUP BY 1, 2, 3`,
      { signal },
    );
  });
  const total: MutableAmount = { rows: 0, bytes: 0 };
  const byClass = new Map<AttachmentClass, MutableAmount>();
  const byModel = new Map<string, MutableAmount>();
  const byMonth = new Map<string, MutableAmount>();
  for (const row of rows) {
    const amount = { rows: Number(row["rows"]), bytes: Number(row["bytes"]) };
    addTo(total, amount);
    addTo(entry(byClass, row["class"] as AttachmentClass), amount);
    addTo(entry(byModel, row["model"] ?? ""), amount);
    addTo(entry(byMonth, row["month"] ?? ""), amount);
  }
  return {
    total,
    byClass,
    byModel: new Map([...byModel].toSorted(([, a], [, b]) => b.bytes - a.bytes)),
    byMonth: new Map([...byMonth].toSorted(([a], [b]) => (a < b ? -1 : 1))),
  };
}

interface MutableAmount {
  rows: number;
  bytes: number;
}

function entry<K>(map: Map<K, MutableAmount>, key: K): MutableAmount {
  const found = map.get(key);
  if (found !== undefined) return found;
  const amount = { rows: 0, bytes: 0 };
  map.set(key, amount);
  return amount;
}

function addTo(sum: MutableAmount, { rows, bytes }: Amount): void {
  sum.rows += rows;
  sum.bytes += bytes;
}
