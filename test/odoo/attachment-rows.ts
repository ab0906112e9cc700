// Rows of `ir_attachment` for tests, as statements.

import { createHash } from "node:crypto";
import { storePath } from "../../src/odoo/store-name.ts";

export function sha1Of(content: string | Uint8Array): string {
  return createHash("sha1").update(content).digest("hex");
}

/** A row whose content is the file that holds `text`; columns that are given win. */
export function fileRow(text: string, columns: Readonly<Record<string, unknown>> = {}): string {
  return insertRow({
    name: text,
    type: "binary",
    store_fname: storePath(sha1Of(text)),
    checksum: sha1Of(text),
    file_size: Buffer.byteLength(text),
    ...columns,
  });
}

export function insertRow(row: Readonly<Record<string, unknown>>): string {
  const literal = (value: unknown): string => {
    if (value === null) return "NULL";
    return typeof value === "string" ? `'${value.replaceAll("'", "''")}'` : JSON.stringify(value);
  };
  const names = Object.keys(row).join(", ");
  return `INSERT INTO ir_attachment (${names}) VALUES (${Object.values(row).map(literal).join(", ")});`;
}
