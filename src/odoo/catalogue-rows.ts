// What a catalogue reads of `ir_attachment`: the numbers and transactions of all rows, and the whole content of some.

import type { Connection } from "../postgres/connection.ts";
import { ATTACHMENTS, type AttachmentTable } from "./attachment-table.ts";
import type { AttachmentContent, Elsewhere } from "./catalogue-lines.ts";
import { readCopyRow } from "./copy-text.ts";
import { isSha1, readStoreName } from "./store-name.ts";

/** A row as it is now. */
export interface CatalogueRow {
  readonly id: number;
  readonly xmin: number;
  /** Milliseconds since 1970 when Odoo says that it was written; undefined where it does not. */
  readonly written: number | undefined;
  readonly content: AttachmentContent;
}

const PLACES: Readonly<Record<string, Elsewhere>> = {
  c: "cloud",
  u: "url",
  d: "database",
  e: "empty",
};

/** Numbers and writing transactions of all rows, in no order. */
export async function eachRowNumber(
  connection: Connection,
  take: (id: number, xmin: number) => void,
  signal: AbortSignal | undefined,
): Promise<void> {
  const text = `COPY (SELECT a.id, a.xmin FROM ${ATTACHMENTS} a) TO STDOUT`;
  for await (const event of connection.run(text, { signal, lendsMemory: true })) {
    if (event.kind !== "data") continue;
    const [id, at] = numberAt(event.bytes, 0);
    take(id, numberAt(event.bytes, at + 1)[0]);
  }
}

/** The number at `at`, and where it ends. */
function numberAt(line: Buffer, at: number): [value: number, end: number] {
  let value = 0;
  let end = at;
  for (let byte = line[end]!; byte >= 0x30 && byte <= 0x39; byte = line[++end]!) {
    value = value * 10 + byte - 0x30;
  }
  return [value, end];
}

/** The rows with these numbers that are still there, or those behind `after`, at most `limit` of them in order. */
export async function readRows(
  connection: Connection,
  table: AttachmentTable,
  which: { readonly ids: readonly number[] } | { readonly after: number; readonly limit: number },
  signal: AbortSignal | undefined,
): Promise<CatalogueRow[]> {
  const chosen =
    "ids" in which
      ? `WHERE a.id = ANY ('{${which.ids.join(",")}}'::int[])`
      : `WHERE a.id > ${which.after} ORDER BY a.id LIMIT ${which.limit}`;
  const column = (name: string): string => table.column(name);
  const written = `coalesce(${column("write_date")}, ${column("create_date")})`;
  const text = `COPY (SELECT a.id, a.xmin, ${table.kind}, floor(extract(epoch FROM ${written}) * 1000)::bigint,
    ${column("name")}, ${column("res_model")}, ${column("res_field")}, ${column("res_id")}, ${column("mimetype")},
    ${column("file_size")}, a.store_fname, ${column("checksum")} FROM ${ATTACHMENTS} a ${chosen}) TO STDOUT`;
  const rows: CatalogueRow[] = [];
  for await (const event of connection.run(text, { signal, lendsMemory: true })) {
    if (event.kind === "data") rows.push(rowOf(readCopyRow(event.bytes)));
  }
  return rows;
}

function rowOf(fields: readonly (string | null)[]): CatalogueRow {
  const [id, xmin, kind, written, name, resModel, resField, resId, mimetype, size, file, checksum] =
    fields;
  const number = (text: string | null | undefined): number | null =>
    text === null || text === undefined ? null : Number(text);
  const stored = kind === "f" ? readStoreName(file ?? "") : undefined;
  const said = checksum && isSha1(checksum) ? checksum : null;
  const elsewhere: Elsewhere | undefined =
    stored?.kind === "local" ? undefined : stored ? "external" : PLACES[kind ?? ""];
  return {
    id: Number(id),
    xmin: Number(xmin),
    written: number(written) ?? undefined,
    content: {
      name: name ?? "",
      res_model: resModel ?? null,
      res_field: resField ?? null,
      res_id: number(resId),
      mimetype: mimetype ?? null,
      size: number(size),
      sha1: stored?.kind === "local" ? stored.sha1 : said,
      ...(elsewhere !== undefined && { elsewhere }),
    },
  };
}
