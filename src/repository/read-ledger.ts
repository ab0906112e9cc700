// How many bytes of packs checks have read, day by day, kept between runs in a local file beside the verified packs: for a budget
// that holds over a month, because a storage bills what is read. Without the file nothing counts as read.
//
// Form: a JSON object from days (UTC) to bytes. Must never: make a check fail.

import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { dirname } from "node:path";

const DAY_MS = 86_400_000;
/** A month, of which today is the last day. */
const DAYS = 30;

/** Bytes read by day. Times are milliseconds since 1970. */
export class ReadLedger {
  readonly #path: string;
  readonly #days: Map<string, number>;

  constructor(path: string, days: Map<string, number> = new Map()) {
    this.#path = path;
    this.#days = days;
  }

  /** What the file at `path` says; nothing when it is not there or damaged. */
  static async load(path: string): Promise<ReadLedger> {
    const text = await readFile(path, "utf8").catch(() => "{}");
    return new ReadLedger(path, parse(text));
  }

  /** Bytes read today and in the 29 days before. */
  readInMonth(now: number): number {
    const first = dayOf(now - (DAYS - 1) * DAY_MS);
    let bytes = 0;
    for (const [day, read] of this.#days) if (day >= first) bytes += read;
    return bytes;
  }

  /** The first moment at which less than `bytes` count as read; `now` when that is so already. */
  roomAt(bytes: number, now: number): number {
    for (let later = now; ; later = (Math.floor(later / DAY_MS) + 1) * DAY_MS) {
      if (this.readInMonth(later) < bytes || later > now + DAYS * DAY_MS) return later;
    }
  }

  /** So many bytes were read. */
  add(bytes: number, now: number): void {
    const day = dayOf(now);
    this.#days.set(day, (this.#days.get(day) ?? 0) + bytes);
  }

  /** Writes the file, without what is too old to count; false when that cannot be. */
  async save(now: number): Promise<boolean> {
    const first = dayOf(now - DAYS * DAY_MS);
    const days = Object.fromEntries([...this.#days].filter(([day]) => day >= first));
    const temporary = `${this.#path}-tmp-${process.pid}`;
    try {
      await mkdir(dirname(this.#path), { recursive: true, mode: 0o700 });
      await writeFile(temporary, `${JSON.stringify(days)}\n`, { mode: 0o600 });
      await rename(temporary, this.#path);
      return true;
    } catch {
      return false;
    }
  }
}

function dayOf(time: number): string {
  return new Date(time).toISOString().slice(0, 10);
}

function parse(text: string): Map<string, number> {
  const days = new Map<string, number>();
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return days;
  }
  if (typeof value !== "object" || value === null) return days;
  for (const [day, bytes] of Object.entries(value)) {
    const isSound = typeof bytes === "number" && bytes >= 0 && Number.isFinite(bytes);
    if (isSound && /^\d{4}-\d\d-\d\d$/.test(day)) days.set(day, bytes);
  }
  return days;
}
