// The house: every folder of src/, its rank, and which ones are pure. The one place where this is written for
// machines; ARCHITECTURE.md draws it for people, and test/tidy.test.ts keeps the two equal.

export interface Room {
  readonly folder: string;
  /** A folder imports only from lower ranks, never from a sibling of its own. */
  readonly rank: number;
  /** Bytes and values in, bytes and values out: no I/O, clock, randomness or `process`. */
  readonly pure?: true;
}

export const HOUSE: readonly Room[] = [
  { folder: "base", rank: 0 },
  { folder: "restic", rank: 1, pure: true },
  { folder: "barman", rank: 1, pure: true },
  { folder: "sops", rank: 1 },
  { folder: "storage", rank: 1 },
  { folder: "repository", rank: 2 },
  { folder: "postgres", rank: 2 },
  { folder: "files", rank: 3 },
  { folder: "odoo", rank: 4 },
  { folder: "plan", rank: 5 },
  { folder: "operator", rank: 6 },
  { folder: "console", rank: 6 },
  { folder: "cli", rank: 7 },
];

/** Lines a file may have. */
export const LINES_MAX = 400;

/** Files that may be longer, each with the reason. Only what a program wrote belongs here. */
export const LONG_FILES: Readonly<Record<string, string>> = {};

/** Names that say nothing about what is inside. */
export const EMPTY_NAMES: readonly string[] = [
  "common",
  "helper",
  "helpers",
  "index",
  "lib",
  "misc",
  "shared",
  "stuff",
  "util",
  "utils",
];
