// The files that lie beside the filestore in a capture, below /holdfast/<database>/: lists of what was missing or corrupt at the
// source, as lines of JSON, so that every program that reads restic's repositories can show them.

/** The folder of a database's side files in a capture. */
export function sideFolder(database: string): string {
  return `/holdfast/${encodeURIComponent(database)}`;
}

/** Files that rows refer to and that are not at the source; those that are not in the pool either are counted. */
export const MISSING_FILE = "missing.jsonl";
/** Files at the source whose content is not that of their name. */
export const CORRUPT_FILE = "corrupt.jsonl";

/** A line of `MISSING_FILE`. */
export interface MissingAtSource {
  readonly sha1: string;
  /** Below the filestore: "ab/ab01…". */
  readonly path: string;
  /** When it was found first, RFC 3339. */
  readonly since: string;
  /** Whether a good copy is in the pool. */
  readonly stored: boolean;
}

/** A line of `CORRUPT_FILE`. */
export interface CorruptAtSource extends MissingAtSource {
  /** Bytes at the source. */
  readonly size: number;
  /** Whether rows refer to it; null when no database was asked. */
  readonly referenced: boolean | null;
}

/** Lines of JSON. */
export function encodeLines(lines: readonly object[]): Buffer {
  return Buffer.from(lines.map((line) => `${JSON.stringify(line)}\n`).join(""), "utf8");
}

/** Reads lines of JSON objects; a damaged one is passed over. */
export function decodeLines<T extends MissingAtSource>(bytes: Uint8Array): T[] {
  const lines: T[] = [];
  for (const line of Buffer.from(bytes).toString("utf8").split("\n")) {
    if (line === "") continue;
    try {
      const value: unknown = JSON.parse(line);
      if (isEntry(value)) lines.push(value as T);
    } catch {
      // The others still count.
    }
  }
  return lines;
}

function isEntry(value: unknown): boolean {
  const { sha1, path, since } = (value ?? {}) as Record<string, unknown>;
  return typeof sha1 === "string" && typeof path === "string" && typeof since === "string";
}
