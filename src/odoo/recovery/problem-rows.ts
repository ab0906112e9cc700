// Which attachments the missing files belong to: a person knows records, and no SHA-1s.

import { quoteLiteral, type Connection } from "../../postgres/connection.ts";
import { ATTACHMENTS, atOneMoment, findAttachmentTable } from "../attachment-table.ts";
import { pathOf, type FileReferences } from "../references.ts";

/** A row of `ir_attachment`, as people know it. */
export interface ProblemRow {
  readonly id: number;
  readonly name: string;
  /** "res.partner", null for none. */
  readonly model: string | null;
  readonly field: string | null;
  readonly record: number | null;
}

/** Names asked for at once. */
const BATCH = 500;

/** The rows of these files by SHA-1; of at most `limit` files, in the order given. */
export async function readProblemRows(
  connection: Connection,
  options: {
    readonly files: FileReferences;
    readonly names: readonly string[];
    readonly limit: number;
    readonly signal?: AbortSignal | undefined;
  },
): Promise<Map<string, ProblemRow[]>> {
  const { files, signal } = options;
  const names = options.names.slice(0, options.limit);
  const rows = new Map<string, ProblemRow[]>();
  if (names.length === 0) return rows;
  await atOneMoment(connection, signal, async () => {
    const table = await findAttachmentTable(connection, signal);
    for (let at = 0; at < names.length; at += BATCH) {
      const batch = names.slice(at, at + BATCH);
      const list = batch.map((sha1) => quoteLiteral(pathOf(files, sha1))).join(", ");
      const found = await connection.query(
        `SELECT a.id, ${table.column("name")} AS name, ${table.column("res_model")} AS model,
           ${table.column("res_field")} AS field, ${table.column("res_id")} AS record,
           right(a.store_fname, 40) AS sha1
         FROM ${ATTACHMENTS} a WHERE a.store_fname IN (${list}) ORDER BY a.id`,
        { signal },
      );
      for (const row of found) {
        const sha1 = row["sha1"] ?? "";
        const known = rows.get(sha1) ?? [];
        if (known.length < ROWS_MAX) known.push(rowOf(row));
        rows.set(sha1, known);
      }
    }
  });
  return rows;
}

/** Rows kept of one file. */
const ROWS_MAX = 20;

function rowOf(row: Readonly<Record<string, string | null>>): ProblemRow {
  const record = row["record"] ?? null;
  return {
    id: Number(row["id"]),
    name: row["name"] ?? "",
    model: row["model"] ?? null,
    field: row["field"] ?? null,
    record: record === null ? null : Number(record),
  };
}
