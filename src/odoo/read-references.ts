// Reads what the rows of `ir_attachment` refer to, and the position of the database that they stand for: the two halves of a
// joint point. Works on a primary and on a standby, also on one whose recovery is paused.

import { parseLsn } from "../barman/lsn.ts";
import { HoldfastError } from "../base/errors.ts";
import type { Connection } from "../postgres/connection.ts";
import { ATTACHMENTS, atOneMoment, findAttachmentTable } from "./attachment-table.ts";
import type { AttachmentTable } from "./attachment-table.ts";
import type { JointPosition } from "./capture-mark.ts";
import { unescapeField } from "./copy-text.ts";
import { REFERENCE } from "./references.ts";
import type { References } from "./references.ts";
import { Sha1Set } from "./sha1-set.ts";
import { readStoreName, SHA1_DIGITS } from "./store-name.ts";

interface ReadOptions {
  signal?: AbortSignal | undefined;
}

interface ReferenceOptions extends ReadOptions {
  /** A snapshot that another transaction exported: its moment is read, and the position may be a later one. */
  snapshot?: string | undefined;
}

/**
 * Where the database stands. On a standby, what it has replayed: the position, and the time of the last commit there, because
 * its clock says nothing about that. A primary that is new may be on a later timeline than its control file says, so the
 * timeline is that of its WAL. Throws what the server refused.
 */
export async function readPosition(
  connection: Connection,
  { signal }: ReadOptions = {},
): Promise<JointPosition> {
  const [row] = await connection.query(
    `SELECT s.system_identifier AS system,
      CASE WHEN r.standby THEN pg_catalog.pg_last_wal_replay_lsn() ELSE pg_catalog.pg_current_wal_flush_lsn() END AS lsn,
      CASE WHEN r.standby THEN NULL ELSE pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_flush_lsn()) END AS segment,
      greatest(c.timeline_id, v.min_recovery_end_timeline) AS timeline,
      floor(extract(epoch FROM CASE WHEN r.standby
        THEN coalesce(pg_catalog.pg_last_xact_replay_timestamp(), pg_catalog.clock_timestamp())
        ELSE pg_catalog.clock_timestamp() END) * 1000)::bigint AS time
     FROM pg_catalog.pg_control_system() s, pg_catalog.pg_control_checkpoint() c, pg_catalog.pg_control_recovery() v,
      (SELECT pg_catalog.pg_is_in_recovery() AS standby) r`,
    { signal },
  );
  const { system, lsn, segment, timeline, time } = row ?? {};
  if (!system || !lsn) throw new HoldfastError("BUG", "the server told no position");
  return {
    systemId: system,
    timeline: segment ? Number.parseInt(segment.slice(0, 8), 16) : Number(timeline),
    lsn: parseLsn(lsn, "the server"),
    time: Number(time),
  };
}

/**
 * All references, at one moment. The position is read before the snapshot is taken, so that the rows are at least those of
 * that position: a commit between the two is seen and not claimed. Takes about 60 bytes of memory a file. Throws
 * ODOO_NOT_FOUND, what the server refused, CANCELLED.
 */
export async function readReferences(
  connection: Connection,
  options: ReferenceOptions = {},
): Promise<References> {
  const { signal } = options;
  const [{ name } = {}] = await connection.query("SELECT pg_catalog.current_database() AS name", {
    signal,
  });
  const position = await readPosition(connection, options);
  const read = async (): Promise<References> => {
    const table = await findAttachmentTable(connection, signal);
    const rows = new ReferenceRows();
    // A row is looked at only until the next one comes.
    for await (const event of connection.run(rowsOf(table), { signal, lendsMemory: true })) {
      if (event.kind === "data") rows.add(event.bytes);
    }
    return rows.finish(name ?? "", position);
  };
  return await atOneMoment(connection, signal, read, options.snapshot);
}

/** A character that says what the row is, the size, the name: nothing that is not needed crosses the wire. */
function rowsOf(table: AttachmentTable): string {
  const { isBundle, kind } = table;
  const checksum = table.column("checksum");
  const differs = `${checksum} <> right(a.store_fname, ${SHA1_DIGITS})`;
  const flags = `CASE WHEN ${isBundle} THEN ${REFERENCE.regenerable} ELSE 0 END + CASE WHEN ${differs} THEN ${REFERENCE.contradictory} ELSE 0 END`;
  return `COPY (SELECT CASE k.kind WHEN 'f' THEN (${flags})::text ELSE k.kind END,
      CASE k.kind WHEN 'f' THEN ${table.column("file_size")} END, CASE k.kind WHEN 'f' THEN a.store_fname END
    FROM ${ATTACHMENTS} a, LATERAL (SELECT ${kind} AS kind) k) TO STDOUT`;
}

const TAB = 0x09;
const SLASH = 0x2f;
const ZERO = 0x30;
const NINE = 0x39;
/** "ab/" and a SHA-1, with the end of the line. */
const USUAL = 3 + SHA1_DIGITS + 1;
const UNKNOWN_MAX = 100;

/** The rows as they come. */
class ReferenceRows {
  readonly #names = new Sha1Set(4096);
  #sizes = new Float64Array(4096);
  #rows = new Uint32Array(4096);
  #flags = new Uint8Array(4096);
  readonly #oldPaths = new Map<string, string>();
  readonly #external = new Map<string, number>();
  readonly #unknown = new Set<string>();
  readonly #kinds = new Map<string, number>();
  #all = 0;

  /** A line of the copy: kind or flags, size, name. */
  add(line: Buffer): void {
    this.#all++;
    const first = line[0]!;
    if (first < ZERO || first > NINE) {
      const kind = String.fromCharCode(first);
      this.#kinds.set(kind, (this.#kinds.get(kind) ?? 0) + 1);
      return;
    }
    let size = 0;
    let at = 2;
    for (let byte = line[at]!; byte !== TAB; byte = line[++at]!) {
      // "\N", for none.
      if (byte < ZERO || byte > NINE) size = -Infinity;
      else size = size * 10 + byte - ZERO;
    }
    this.#addName(line, at + 1, size < 0 ? -1 : size, first - ZERO);
  }

  #addName(line: Buffer, at: number, size: number, flags: number): void {
    const isUsual =
      line.length - at === USUAL &&
      line[at + 2] === SLASH &&
      line[at] === line[at + 3] &&
      line[at + 1] === line[at + 4];
    const number = isUsual ? this.#names.addDigits(line, at + 3) : -1;
    if (number >= 0) {
      this.#count(number, size, flags);
      return;
    }
    const text = unescapeField(line.toString("utf8", at, line.length - 1));
    const name = readStoreName(text);
    if (name.kind === "local") {
      this.#count(this.#names.add(name.sha1), size, flags);
      if (name.path.indexOf("/") === 3) this.#oldPaths.set(name.sha1, name.path);
    } else if (name.kind === "external") {
      this.#external.set(name.scheme, (this.#external.get(name.scheme) ?? 0) + 1);
    } else if (this.#unknown.size < UNKNOWN_MAX) this.#unknown.add(text);
  }

  #count(number: number, size: number, flags: number): void {
    if (number >= this.#sizes.length) this.#grow();
    const rows = ++this.#rows[number]!;
    if (rows === 1) {
      this.#sizes[number] = size;
      this.#flags[number] = flags;
      return;
    }
    const before = this.#flags[number]!;
    const known = this.#sizes[number]!;
    const differs = size >= 0 && known >= 0 && size !== known ? REFERENCE.contradictory : 0;
    if (known < 0) this.#sizes[number] = size;
    // Regenerable only if all rows are.
    this.#flags[number] =
      (before & flags & REFERENCE.regenerable) |
      ((before | flags | differs) & REFERENCE.contradictory);
  }

  #grow(): void {
    const { length } = this.#sizes;
    const larger = <T extends Float64Array | Uint32Array | Uint8Array>(from: T, to: T): T => {
      to.set(from);
      return to;
    };
    this.#sizes = larger(this.#sizes, new Float64Array(length * 2));
    this.#rows = larger(this.#rows, new Uint32Array(length * 2));
    this.#flags = larger(this.#flags, new Uint8Array(length * 2));
  }

  finish(database: string, position: JointPosition): References {
    const { size } = this.#names;
    const kind = (letter: string): number => this.#kinds.get(letter) ?? 0;
    return {
      database,
      position,
      files: {
        names: this.#names,
        sizes: this.#sizes.subarray(0, size),
        rows: this.#rows.subarray(0, size),
        flags: this.#flags.subarray(0, size),
        oldPaths: this.#oldPaths,
      },
      rows: this.#all,
      external: this.#external,
      cloud: kind("c"),
      urls: kind("u"),
      inDatabase: kind("d"),
      empty: kind("e"),
      unknown: [...this.#unknown],
    };
  }
}
