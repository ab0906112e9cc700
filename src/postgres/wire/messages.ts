// The bodies of the messages of PostgreSQL's protocol that a client of the simple query protocol meets. Pure: bytes in,
// values out, and the other way round.

/** A row by the names of its columns, every value as the server's text. */
export type Row = Readonly<Record<string, string | null>>;

/** Fields of an error or a notice, by their letters: C is the SQLSTATE, M the message, D the detail, H the hint. */
export type ServerFields = ReadonlyMap<string, string>;

/** The names of the columns of a RowDescription. */
export function readColumns(body: Buffer): string[] {
  const columns: string[] = [];
  let at = 2;
  for (let left = body.readUInt16BE(0); left > 0; left--) {
    const end = body.indexOf(0, at);
    columns.push(body.toString("utf8", at, end));
    at = end + 19;
  }
  return columns;
}

/** The row of a DataRow with those columns. */
export function readRow(body: Buffer, columns: readonly string[]): Row {
  const row: Record<string, string | null> = {};
  let at = 2;
  const count = body.readUInt16BE(0);
  for (let column = 0; column < count; column++) {
    const length = body.readInt32BE(at);
    at += 4;
    row[columns[column] ?? `column${column}`] =
      length < 0 ? null : body.toString("utf8", at, at + length);
    at += Math.max(0, length);
  }
  return row;
}

/** The fields of an ErrorResponse or a NoticeResponse. */
export function readFields(body: Buffer): ServerFields {
  const fields = new Map<string, string>();
  let at = 0;
  while (at < body.length && body[at] !== 0) {
    const end = body.indexOf(0, at + 1);
    if (end < 0) break;
    fields.set(String.fromCharCode(body[at]!), body.toString("utf8", at + 1, end));
    at = end + 1;
  }
  return fields;
}

/** The text of a body that is one, with a zero at its end. */
export function readText(body: Buffer, from = 0): string {
  const end = body.indexOf(0, from);
  return body.toString("utf8", from, end < 0 ? body.length : end);
}

/** A message for the server. */
export function message(type: string, body: Uint8Array = new Uint8Array()): Buffer {
  const whole = Buffer.allocUnsafe(5 + body.length);
  whole.writeUInt8(type.charCodeAt(0), 0);
  whole.writeUInt32BE(4 + body.length, 1);
  whole.set(body, 5);
  return whole;
}

/** The message that runs `text`, which may be a command of the replication protocol. */
export function queryMessage(text: string): Buffer {
  return message("Q", Buffer.from(`${text}\0`));
}
