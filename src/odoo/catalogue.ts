// The attachment catalogue: what every attachment was called, belonged to and contained, from when to when, kept beside the
// captures so that one file can be found and brought back without a PostgreSQL server. It is written as captures are made:
// `load` it from the segments of the newest capture (or from nothing), `observe` at every tick, put `changes` into the next
// capture, and call `stored` when that is durable. New attachments are seen at once, changed and deleted ones at full
// observations. Nothing is lost when a capture fails: `changes` gives the same again. It is a convenience for people: whether
// a moment can be recovered never depends on it.

import { hash } from "node:crypto";
import { formatLsn } from "../barman/lsn.ts";
import type { Connection } from "../postgres/connection.ts";
import { atOneMoment, findAttachmentTable, type AttachmentTable } from "./attachment-table.ts";
import { contentText, endLine, readSeen, seenLine, versionLine } from "./catalogue-lines.ts";
import type { Observation } from "./catalogue-lines.ts";
import { eachRowNumber, readRows, type CatalogueRow } from "./catalogue-rows.ts";
import { CatalogueSegments, type SegmentChanges } from "./catalogue-segments.ts";
import { KnownRows } from "./known-rows.ts";
import { readPosition } from "./read-references.ts";
import type { JointPosition } from "./capture-mark.ts";

/** Rows whose content is read at one observation: more wait for the next one, so that no tick is long and none takes much memory. */
const ROWS_MAX = 20_000;

/** A past of fewer lines is not worth any work. */
const PAST_MIN = 10_000;

export interface ObserveOptions {
  /** To the instance's database, outside a transaction. */
  readonly connection: Connection;
  /** Looks at all rows for what changed and what is gone: a second for a million. Without it, only at new ones: a millisecond. */
  readonly full: boolean;
  readonly signal?: AbortSignal | undefined;
}

/** What an observation found. */
export interface Observed {
  readonly versions: number;
  readonly ends: number;
  /** Rows that are still to be read, at the next observation: as when a catalogue begins on a large database. */
  readonly waiting: number;
}

export class AttachmentCatalogue {
  readonly #segments = new CatalogueSegments();
  readonly #known = new KnownRows();
  readonly #rowsMax: number;
  /** Rows that a full observation found changed and that were not read yet; read from the end. */
  #waiting: number[] = [];
  /** Greatest number that was seen: what is above is new. */
  #lastId = 0;
  #mark = 0;
  /** Lines that were read and that say nothing of what is there now. */
  #past = 0;
  #seen: Observation | undefined;
  #seenFull: Observation | undefined;
  /** The full observation before the one that found what is waiting. */
  #waitingSince: Observation | undefined;

  /** `rowsMax`: for tests. */
  constructor({ rowsMax = ROWS_MAX }: { readonly rowsMax?: number } = {}) {
    this.#rowsMax = rowsMax;
  }

  /** Rows that are known to be there. */
  get size(): number {
    return this.#known.size;
  }

  /** More of the catalogue is past than present: `compactSegments` would make it smaller. */
  get isLarge(): boolean {
    return this.#past > PAST_MIN && this.#past > this.#known.size;
  }

  /** Names of the segments that a capture has to have, in order. */
  get segmentNames(): string[] {
    return this.#segments.names;
  }

  /** Takes a segment that is stored; call it for all of them, in the order of their names. Damaged lines are passed over. */
  load(name: string, bytes: Uint8Array): void {
    this.#segments.load(name, bytes);
    const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    for (let at = 0; at < text.length;) {
      const newline = text.indexOf(0x0a, at);
      const end = newline < 0 ? text.length : newline;
      this.#loadLine(text.toString("utf8", at, end));
      at = end + 1;
    }
  }

  /** Looks at the database. Throws ODOO_NOT_FOUND, what the server refused, CANCELLED; the catalogue is then as before. */
  async observe({ connection, full, signal }: ObserveOptions): Promise<Observed> {
    const position = await readPosition(connection, { signal });
    const isFull = full || this.#seenFull === undefined || !this.#isContinued(position);
    const found = await atOneMoment(connection, signal, async () => {
      const table = await findAttachmentTable(connection, signal);
      const scanned = isFull ? await this.#scan(connection, position, signal) : undefined;
      const rows = await this.#read(connection, table, { scanned, signal });
      return { scanned, rows };
    });
    return this.#take(position, found);
  }

  /** What is to be stored with the next capture. */
  changes(): SegmentChanges {
    return this.#segments.changes();
  }

  /** The changes are durable. */
  stored(): void {
    this.#segments.stored();
  }

  #loadLine(line: string): void {
    const version = VERSION.exec(line);
    if (version) {
      const id = Number(version[1]);
      if (version[3] !== undefined || this.#known.find(id) >= 0) this.#past++;
      if (version[3] === undefined) this.#known.set(id, Number(version[2]), printOf(version[4]!));
      else this.#known.remove(id);
      this.#lastId = Math.max(this.#lastId, id);
      return;
    }
    const end = END.exec(line);
    if (end) {
      this.#past++;
      this.#known.remove(Number(end[1]));
      return;
    }
    const seen = readSeen(line);
    if (seen === undefined) return;
    this.#seen = seen;
    if (seen.full) this.#seenFull = seen;
  }

  /** False when this may be another past than the one that was seen: numbers of transactions then mean nothing. */
  #isContinued({ systemId, timeline, lsn }: JointPosition): boolean {
    const seen = this.#seen;
    if (seen === undefined) return false;
    return seen.system === systemId && seen.timeline === timeline && seen.position <= lsn;
  }

  /** All rows: which changed, and which are known and gone. */
  async #scan(
    connection: Connection,
    position: JointPosition,
    signal: AbortSignal | undefined,
  ): Promise<Scanned> {
    const known = this.#known;
    const trusts = this.#isContinued(position);
    const mark = (this.#mark = (this.#mark % 255) + 1);
    const changed: number[] = [];
    let lastId = 0;
    const take = (id: number, xmin: number): void => {
      if (id > lastId) lastId = id;
      const slot = known.find(id);
      if (slot >= 0) known.mark(slot, mark);
      if (slot < 0 || !trusts || known.xmin(slot) !== xmin) changed.push(id);
    };
    await eachRowNumber(connection, take, signal);
    return { changed, gone: [...known.without(mark)], lastId };
  }

  async #read(
    connection: Connection,
    table: AttachmentTable,
    { scanned, signal }: { scanned: Scanned | undefined; signal: AbortSignal | undefined },
  ): Promise<CatalogueRow[]> {
    const waiting = scanned?.changed ?? this.#waiting;
    if (waiting.length > 0) {
      const ids = waiting.slice(-this.#rowsMax);
      return await readRows(connection, table, { ids }, signal);
    }
    const limit = this.#rowsMax;
    return await readRows(
      connection,
      table,
      { after: scanned?.lastId ?? this.#lastId, limit },
      signal,
    );
  }

  /** Nothing fails from here on. */
  #take(position: JointPosition, { scanned, rows }: Found): Observed {
    const time = new Date(position.time).toISOString();
    const lsn = formatLsn(position.lsn);
    const lines: string[] = [];
    if (scanned !== undefined) {
      if (this.#waiting.length === 0) this.#waitingSince = this.#seenFull;
      this.#waiting = scanned.changed;
      this.#lastId = scanned.lastId;
      const after = this.#seenFull?.time ?? time;
      for (const id of scanned.gone) {
        lines.push(endLine(id, { lsn, time, after }));
        this.#known.remove(id);
      }
    }
    const ends = lines.length;
    const wasWaiting = this.#waiting.length > 0;
    if (wasWaiting) this.#waiting.length -= Math.min(this.#rowsMax, this.#waiting.length);
    const before = wasWaiting ? this.#waitingSince : this.#seen;
    for (const { id, xmin, written, content } of rows) {
      const text = contentText(content);
      const print = printOf(text);
      const slot = this.#known.find(id);
      const isSame = slot >= 0 && this.#known.print(slot) === print;
      this.#known.set(id, xmin, print, this.#mark);
      this.#lastId = Math.max(this.#lastId, id);
      if (isSame) continue;
      // What Odoo says is believed only where it can be: a transaction may be long, and some do not tell.
      const isWithin =
        written !== undefined &&
        written <= position.time &&
        (before === undefined || written > Date.parse(before.time));
      const from = { lsn, time: isWithin ? new Date(written).toISOString() : time };
      lines.push(versionLine({ id, xmin, from }, text));
    }
    this.#note(position, { lines, isFull: scanned !== undefined });
    return { versions: lines.length - ends, ends, waiting: this.#waiting.length };
  }

  /** Adds the lines, if there are any, behind one that says when they were seen. */
  #note(position: JointPosition, { lines, isFull }: { lines: string[]; isFull: boolean }): void {
    const seen: Observation = {
      system: position.systemId,
      timeline: position.timeline,
      lsn: formatLsn(position.lsn),
      position: position.lsn,
      time: new Date(position.time).toISOString(),
      full: isFull,
    };
    const isNewPast = !this.#isContinued(position);
    this.#seen = seen;
    if (isFull) this.#seenFull = seen;
    // One line a tick that says that nothing happened would be most of the catalogue.
    if (lines.length > 0 || isNewPast) {
      this.#segments.append([seenLine(seen), ...lines].join(""));
    }
  }
}

interface Scanned {
  readonly changed: number[];
  readonly gone: readonly number[];
  readonly lastId: number;
}

interface Found {
  readonly scanned: Scanned | undefined;
  readonly rows: readonly CatalogueRow[];
}

const VERSION = /^\{"id":(\d{1,10}),"xmin":(\d+),"from":\{[^{}]*\}(,"to":\{[^{}]*\})?,("name":.*)$/;
const END = /^\{"id":(\d{1,10}),"to":\{/;

/** 48 bits of a hash, which two contents of one row share by accident about never. */
function printOf(text: string): number {
  return hash("sha1", text, "buffer").readUIntBE(0, 6);
}
