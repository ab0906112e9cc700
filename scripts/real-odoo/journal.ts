// The journal of truth: what Odoo committed, and between which two moments. The state at a moment follows from it, apart from
// transactions that were just being committed then, which may be in or out. Knows nothing of Holdfast.

import { readFileSync } from "node:fs";

/** One line: a transaction, or something that changes no row. Moments are seconds since 1970. */
export interface JournalLine {
  readonly kind: string;
  /** Before COMMIT was sent; absent for what is no transaction. */
  readonly before?: number;
  /** After it was answered. */
  readonly after: number;
  /** SHA-1 of each attachment by id; null for one that is gone. */
  readonly changes?: Readonly<Record<string, string | null>>;
  readonly done?: boolean;
  readonly removed?: number;
  readonly seconds?: number;
}

/** What must be true at a moment. */
export interface Truth {
  /** SHA-1 of each attachment that certainly existed, by id. */
  readonly present: ReadonlyMap<number, string>;
  /** Those that a transaction touched at that very moment: nothing can be said of them. */
  readonly open: ReadonlySet<number>;
  /** Those that certainly did not exist, or not any more. */
  readonly absent: ReadonlySet<number>;
}

/** All lines of the files, in the order of their COMMITs. */
export function readJournal(paths: readonly string[]): JournalLine[] {
  const lines = paths.flatMap((path) =>
    readFileSync(path, "utf8")
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as JournalLine),
  );
  return lines.toSorted((a, b) => a.after - b.after);
}

/** What must be true at a moment that lies between two, in seconds since 1970. */
export function truthAt(
  journal: readonly JournalLine[],
  { from, to }: { from: number; to: number },
): Truth {
  const present = new Map<number, string>();
  const open = new Set<number>();
  const absent = new Set<number>();
  for (const { before, after, changes = {} } of journal) {
    for (const [key, sha1] of Object.entries(changes)) {
      const id = Number(key);
      if (before !== undefined && before <= to && after > from) open.add(id);
      if (after <= from) {
        if (sha1 !== null) present.set(id, sha1);
        else present.delete(id);
      }
      if (!present.has(id)) absent.add(id);
      else absent.delete(id);
    }
  }
  for (const id of open) {
    present.delete(id);
    absent.delete(id);
  }
  return { present, open, absent };
}

/** A moment, in seconds since 1970, as commands take it. */
export function timeWords(seconds: number): string {
  const text = new Date(seconds * 1000).toISOString();
  return `${text.slice(0, 10)} ${text.slice(11, 23)}+00:00`;
}
