// Locations as restic writes them, and Barman: `/path`, `path`, `local:path`, `scheme:target` or `scheme://target`.
// Also how a location is shown: redactLocation is the only form that may reach a message, a log or a metric.

import { HoldfastError } from "../base/errors.ts";

/** The schemes of restic's locations; which of them open is decided in src/storage/open-storage.ts. */
export const SCHEMES = [
  "local",
  "rclone",
  "gs",
  "s3",
  "rest",
  "b2",
  "azure",
  "swift",
  "sftp",
] as const;

/** What a location is for: a restic repository or a Barman archive. */
export type LocationPurpose = "repository" | "archive";

export type Scheme = (typeof SCHEMES)[number];

export interface StorageLocation {
  readonly scheme: Scheme;
  /** What follows `scheme:`, as written: a path, a URL, `bucket:prefix` … It may hold a credential. */
  readonly target: string;
}

const AMBIGUOUS = "write local:<path> for a directory whose name has a colon";

/** The parts of a location; USAGE when it has none of the known forms. */
export function parseLocation(text: string): StorageLocation {
  const colon = text.indexOf(":");
  const scheme = SCHEMES.find((known) => text.slice(0, Math.max(0, colon)) === known);
  const target = scheme === undefined ? text : text.slice(colon + 1);
  if (target === "") throw new HoldfastError("USAGE", "the repository location is empty");
  if (target.includes("\0")) {
    throw new HoldfastError("USAGE", "the repository location contains a zero byte");
  }
  if (scheme !== undefined) return { scheme, target };
  if (colon >= 0 && !isPath(text)) {
    // What stands before the colon may be anything, so only a word is repeated.
    const named = /^[a-z][a-z0-9+.-]*(?=:)/i.exec(text)?.[0];
    const what = named === undefined ? "this form" : `"${named}:"`;
    throw new HoldfastError("USAGE", `repository locations of ${what} are not known`, {
      hint: AMBIGUOUS,
    });
  }
  return { scheme: "local", target };
}

/** The location with every credential replaced by `***`. Never throws, whatever the text is. */
export function redactLocation(text: string): string {
  const redacted = redactQuery(redactUserInfo(text));
  return redacted.startsWith("rclone:") ? redactConnectionString(redacted) : redacted;
}

function isPath(text: string): boolean {
  return /^(?:\/|\.\.?(?:\/|$))/.test(text);
}

/**
 * `//user:secret@host` becomes `//user:***@host`. The secret ends at the last "@", because it may hold an unescaped
 * "/" or "@": a path with an "@" behind a port loses too much here, which is better than a secret losing too little.
 */
function redactUserInfo(text: string): string {
  return text.replace(/(\/\/[^:]*?:).*@/s, "$1***@");
}

/** What is behind the path of a URL may be a signature or a token; no storage of ours takes any of it. */
function redactQuery(text: string): string {
  return text.replace(/(:\/\/[^?#]*[?#]).+$/s, "$1***");
}

/** Parameters of an rclone connection string: `rclone:remote,token=secret:path` becomes `…,token=***:path`. */
function redactConnectionString(text: string): string {
  return text.replace(/(,\s*[\w.-]+=)(?:"(?:[^"]|"")*"|'(?:[^']|'')*'|[^,:]*)/g, "$1***");
}
