// The rows that a simulated Odoo writes into `ir_attachment`: with a file, and the three kinds that have none.

import { createHash } from "node:crypto";
import type { Client } from "pg";
import { EMPTY_SHA1 } from "../../src/odoo/store-name.ts";
import type { Attachment } from "./simulated-content.ts";

/** What a row says of its file. */
export type FileValues = readonly [storeName: string, checksum: string, size: number];

export interface NewRow extends Attachment {
  readonly model: string;
  readonly record: number;
  readonly field?: string;
  readonly url?: string;
}

/** Inserts the row of a file; its id. */
export async function insertRow(client: Client, row: NewRow, file: FileValues): Promise<number> {
  const { rows } = await client.query<{ id: number }>(
    `INSERT INTO ir_attachment (store_fname, checksum, file_size, name, mimetype, res_model, res_id,
         res_field, url, public, type, create_uid, write_uid, create_date, write_date)
       VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'binary', 2, 2,
         now() AT TIME ZONE 'UTC', now() AT TIME ZONE 'UTC') RETURNING id`,
    [
      ...file,
      row.name,
      row.mimetype,
      row.model,
      row.record,
      row.field ?? null,
      row.url ?? null,
      row.url !== undefined,
    ],
  );
  return rows[0]!.id;
}

/** Gives a row another file. */
export async function updateRow(
  client: Client,
  id: number,
  { name, mimetype }: Pick<Attachment, "name" | "mimetype">,
  file: FileValues,
): Promise<void> {
  await client.query(
    `UPDATE ir_attachment SET store_fname = $1, checksum = $2, file_size = $3, mimetype = $4,
       name = $5, write_uid = 2, write_date = now() AT TIME ZONE 'UTC' WHERE id = $6`,
    [...file, mimetype, name, id],
  );
}

/** Rows that refer to no file: an address, content in the database, nothing at all. */
export async function insertWithoutFile(client: Client, number: number): Promise<void> {
  const inside = Buffer.from(`small, ${number}`);
  await client.query(
    `INSERT INTO ir_attachment (name, type, url, res_model, res_id, file_size, create_uid)
       VALUES ($1, 'url', $2, 'product.template', 1, 0, 2)`,
    [`link ${number}`, `https://example.com/${number}`],
  );
  await client.query(
    `INSERT INTO ir_attachment (name, type, db_datas, checksum, file_size, mimetype, create_uid)
       VALUES ($1, 'binary', $2, $3, $4, 'text/plain', 2)`,
    [`inside ${number}`, inside, createHash("sha1").update(inside).digest("hex"), inside.length],
  );
  await client.query(
    `INSERT INTO ir_attachment (name, type, checksum, file_size, mimetype, create_uid)
       VALUES ($1, 'binary', $2, 0, 'text/plain', 2)`,
    [`empty ${number}`, EMPTY_SHA1],
  );
}
