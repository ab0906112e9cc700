// The lines of a `backup.info`, and the value of one field at a time (docs/formats/barman.md#backupinfo). Knows forms,
// not meanings: those are in src/barman/backup-info.ts.

import type { BackupStatus, Tablespace } from "./backup-info.ts";
import { infoError } from "./info-rules.ts";
import { isSegmentSize, readLsn, SEGMENT_SIZE_DEFAULT, type Lsn } from "./lsn.ts";
import { readLiteral, type Literal } from "./python-literal.ts";
import { readWalName } from "./wal-name.ts";
import { readZonedTime, type ZonedTime } from "./zoned-time.ts";

/** A label and some statistics make a few kilobytes. */
const SIZE_MAX = 8 << 20;

const STATUSES: ReadonlySet<string> = new Set([
  "EMPTY",
  "STARTED",
  "WAITING_FOR_WALS",
  "DONE",
  "SYNCING",
  "FAILED",
]);

/** What Python's strip takes away. */
const SPACE = /[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]/;

function strip(text: string): string {
  let [start, end] = [0, text.length];
  while (start < end && SPACE.test(text[start]!)) start++;
  while (start < end && SPACE.test(text[end - 1]!)) end--;
  return text.slice(start, end);
}

interface Line {
  readonly value: string;
  readonly number: number;
}

export class LineReader {
  readonly #source: string;
  readonly #lines = new Map<string, Line>();
  readonly #taken = new Set<string>();
  readonly comments: string[] = [];

  /** Throws BARMAN_INFO_DAMAGED for a line that is none, and for a field that has two values. */
  constructor(content: Uint8Array, source: string) {
    this.#source = source;
    if (content.length > SIZE_MAX) throw infoError(source, "the file is too large to be one");
    let number = 0;
    for (let start = 0; start < content.length;) {
      const end = content.indexOf(0x0a, start);
      number++;
      this.#read(content.subarray(start, end === -1 ? content.length : end), number);
      start = end === -1 ? content.length : end + 1;
    }
  }

  #read(bytes: Uint8Array, number: number): void {
    const place = `${this.#source}:${number}`;
    let line: string;
    try {
      line = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch {
      throw infoError(place, "the line is not UTF-8");
    }
    if (line.startsWith("#")) {
      this.comments.push(line.slice(1));
      return;
    }
    const text = strip(line);
    if (text === "") return;
    const equals = text.indexOf("=");
    const key = strip(text.slice(0, Math.max(equals, 0)));
    if (!/^[A-Za-z_]\w*$/.test(key))
      throw infoError(place, "the line is not of the form key=value");
    const value = strip(text.slice(equals + 1));
    const before = this.#lines.get(key);
    if (before !== undefined && before.value !== value)
      throw infoError(place, `${key} has another value in line ${before.number}`);
    this.#lines.set(key, { value, number });
  }

  /** Where a field stands, for an error: the file and the line, or the file alone when the field is not there. */
  placeOf(key: string): string {
    const line = this.#lines.get(key);
    return line ? `${this.#source}:${line.number}` : this.#source;
  }

  /** The fields that nobody asked for, as they stand. */
  rest(): ReadonlyMap<string, string> {
    const left = [...this.#lines].filter(([key]) => !this.#taken.has(key));
    return new Map(left.map(([key, { value }]) => [key, value]));
  }

  text(key: string): string | null {
    this.#taken.add(key);
    const value = this.#lines.get(key)?.value ?? "None";
    return value === "None" ? null : value;
  }

  #typed<T>(key: string, what: string, read: (text: string) => T | undefined): T | null {
    const text = this.text(key);
    if (text === null) return null;
    const value = read(text);
    if (value !== undefined) return value;
    const shown = JSON.stringify(text.slice(0, 60));
    throw infoError(this.placeOf(key), `${key} is ${shown}, and not ${what}`);
  }

  count(key: string): number | null {
    return this.#typed(key, "a count", (text) =>
      /^\d{1,16}$/.test(text) && Number.isSafeInteger(Number(text)) ? Number(text) : undefined,
    );
  }

  timeline(key: string): number | null {
    return this.#typed(key, "a timeline", (text) => {
      const timeline = /^\d{1,10}$/.test(text) ? Number(text) : 0;
      return timeline > 0 && timeline <= 0xffffffff ? timeline : undefined;
    });
  }

  segmentSize(key: string): number {
    const size = this.#typed(key, "the size of a WAL segment", (text) =>
      /^\d{1,10}$/.test(text) && isSegmentSize(Number(text)) ? Number(text) : undefined,
    );
    return size ?? SEGMENT_SIZE_DEFAULT;
  }

  segment(key: string): string | null {
    return this.#typed(key, "the name of a WAL segment", (text) => {
      const parts = readWalName(text);
      return parts?.kind === "segment" && parts.compression === null ? text : undefined;
    });
  }

  lsn(key: string): Lsn | null {
    return this.#typed(key, "a position in the log", readLsn);
  }

  time(key: string): ZonedTime | null {
    return this.#typed(key, "a time", readZonedTime);
  }

  status(key: string): BackupStatus {
    const status = this.#typed(key, "a state that Barman knows", (text) =>
      STATUSES.has(text) ? (text as BackupStatus) : undefined,
    );
    return status ?? "EMPTY";
  }

  quoted(key: string): string | null {
    return this.#typed(key, "a quoted text", (text) => {
      const value = readLiteral(text);
      return typeof value === "string" ? value : undefined;
    });
  }

  texts(key: string): readonly string[] | null {
    return this.#typed(key, "a list of texts", (text) => {
      const value = readLiteral(text);
      const isList = Array.isArray(value) && value.every((item) => typeof item === "string");
      return isList ? (value as string[]) : undefined;
    });
  }

  tablespaces(key: string): readonly Tablespace[] | null {
    const list = this.#typed(key, "a list of tablespaces", (text) => {
      const value = readLiteral(text);
      const all = Array.isArray(value) ? value.map(tablespaceOf) : undefined;
      return all?.every((one) => one !== undefined) ? all : undefined;
    });
    return list?.length ? list : null;
  }
}

/** Object ids are part of object names: nothing but a number will do. */
function tablespaceOf(literal: Literal): Tablespace | undefined {
  if (!Array.isArray(literal) || literal.length !== 3) return undefined;
  const [name, given, location] = literal;
  const oid = typeof given === "string" && /^\d{1,10}$/.test(given) ? Number(given) : given;
  if (typeof name !== "string" || typeof location !== "string" || typeof oid !== "number")
    return undefined;
  return Number.isInteger(oid) && oid > 0 && oid <= 0xffffffff
    ? { name, oid, location }
    : undefined;
}
