// The manifest that PostgreSQL makes of a base backup: every file with size and checksum, the WAL that the backup needs,
// and a SHA-256 of itself (docs/formats/barman.md#backup_manifest). PostgreSQL judges it by its lines, as its own
// checksum covers all but the last one, and so do we. Line by line, so that a manifest of a million files costs little
// beside what is kept of it. Paths come from a bucket: one that could leave the data directory is damage.

import { asBuffer, equalBytes, sha256Hex } from "../base/bytes.ts";
import { HoldfastError } from "../base/errors.ts";
import { readLsn, type Lsn } from "./lsn.ts";

/** How the files of a manifest are summed. */
export type ManifestAlgorithm = "NONE" | "CRC32C" | "SHA224" | "SHA256" | "SHA384" | "SHA512";

/** Hexadecimal digits of each checksum. */
const DIGITS: Readonly<Record<ManifestAlgorithm, number>> = {
  NONE: 0,
  CRC32C: 8,
  SHA224: 56,
  SHA256: 64,
  SHA384: 96,
  SHA512: 128,
};

export interface ManifestFile {
  /** Bytes. */
  readonly size: number;
  readonly algorithm: ManifestAlgorithm;
  /** Lower-case hexadecimal digits; "" without an algorithm. A CRC-32C stands in the order of its bytes in memory. */
  readonly checksum: string;
}

/** WAL of one timeline without which the backup is not consistent. */
export interface ManifestWalRange {
  readonly timeline: number;
  readonly start: Lsn;
  readonly end: Lsn;
}

export interface BackupManifest {
  readonly version: 1 | 2;
  /** Decimal digits; undefined in version 1, which does not tell it. */
  readonly systemId: string | undefined;
  /**
   * By path below the data directory, `pg_tblspc/<oid>/…` for those of tablespaces. A path is a byte string: one
   * character for each byte, whatever they mean (`manifestPath`).
   */
  readonly files: ReadonlyMap<string, ManifestFile>;
  readonly walRanges: readonly ManifestWalRange[];
  /** The SHA-256 that the manifest has of itself; 64 digits. */
  readonly checksum: string;
}

/** The path of a file as the keys of `BackupManifest.files` have it; of text it is that of its UTF-8. */
export function manifestPath(path: string | Uint8Array): string {
  return (typeof path === "string" ? Buffer.from(path) : asBuffer(path)).toString("latin1");
}

const LINE_FEED = 0x0a;
/** PostgreSQL's are a few hundred bytes; a path has 1024 at most, twice that as hexadecimal digits. */
const LINE_MAX = 16_384;
const CHECKSUM_LINE = /^"Manifest-Checksum": "([0-9a-f]{64})"\}$/;

/**
 * Reads a manifest of version 1 (PostgreSQL 13 to 16) or 2 (17 and later), and proves it against its own checksum.
 * `source` is what errors call it, with the line. Throws BACKUP_DAMAGED.
 */
export function parseManifest(bytes: Uint8Array, source: string): BackupManifest {
  const checksum = verifiedChecksum(bytes, source);
  const lines = new Lines(bytes, source);
  const version = lines.match(/^\{ "PostgreSQL-Backup-Manifest-Version": (\d{1,9}),$/, "a version");
  if (version !== "1" && version !== "2") {
    throw new HoldfastError(
      "BACKUP_DAMAGED",
      `${source}:1: version ${version} of manifests is not known`,
      { hint: "Use a newer Holdfast, or PostgreSQL's pg_verifybackup, for this backup." },
    );
  }
  const systemId =
    version === "2"
      ? lines.match(/^"System-Identifier": (\d{1,20}),$/, "an identifier")
      : undefined;
  lines.match(/^("Files"): \[$/, "the list of files");
  const files = new Map<string, ManifestFile>();
  for (const entry of lines.entries()) {
    const [path, file] = readFile(entry, lines);
    if (files.has(path)) throw lines.damaged("the file is there twice");
    files.set(path, file);
  }
  lines.match(/^("WAL-Ranges"): \[$/, "the WAL ranges");
  const walRanges: ManifestWalRange[] = [];
  for (const entry of lines.entries()) walRanges.push(readRange(entry, lines));
  lines.match(CHECKSUM_LINE, "the checksum");
  lines.end();
  return { version: version === "1" ? 1 : 2, systemId, files, walRanges, checksum };
}

/** The checksum in the last line, which is that of all lines before it. */
function verifiedChecksum(bytes: Uint8Array, source: string): string {
  const content = asBuffer(bytes);
  const end = content.length - 1;
  const start = content.lastIndexOf(LINE_FEED, end - 1) + 1;
  const last = content.toString("latin1", start, Math.min(end, start + LINE_MAX));
  const checksum = CHECKSUM_LINE.exec(last)?.[1];
  if (checksum === undefined || content[end] !== LINE_FEED)
    throw damagedManifest(source, "it does not end with its checksum: it was cut off");
  const actual = sha256Hex(content.subarray(0, start));
  if (actual !== checksum)
    throw damagedManifest(source, `its checksum is ${actual}, not the ${checksum} that it tells`);
  return checksum;
}

/** The lines of a manifest, one after the other. */
class Lines {
  readonly #content: Buffer;
  readonly #source: string;
  #at = 0;
  #line = 0;

  constructor(bytes: Uint8Array, source: string) {
    this.#content = asBuffer(bytes);
    this.#source = source;
  }

  /** What `pattern` captures of the next line; `what` is what it should be. */
  match(pattern: RegExp, what: string): string {
    const found = pattern.exec(this.#next())?.[1];
    if (found === undefined) throw this.damaged(`the line is not ${what}`);
    return found;
  }

  /** The objects of a list, through the line that ends it. */
  *entries(): Generator<Record<string, unknown>, void> {
    let isLast = false;
    for (;;) {
      const line = this.#next();
      if (line === "],") return;
      if (isLast) throw this.damaged("a comma is missing in the line above");
      isLast = !line.endsWith(",");
      yield this.#object(isLast ? line : line.slice(0, -1));
    }
  }

  end(): void {
    if (this.#at !== this.#content.length) throw this.damaged("more follows behind the checksum");
  }

  damaged(what: string): HoldfastError {
    return damagedManifest(`${this.#source}:${this.#line}`, what);
  }

  #next(): string {
    this.#line++;
    const end = this.#content.indexOf(LINE_FEED, this.#at);
    if (end === -1) throw this.damaged("the manifest ends too early");
    if (end - this.#at > LINE_MAX) throw this.damaged("the line is too long");
    const bytes = this.#content.subarray(this.#at, end);
    this.#at = end + 1;
    const line = bytes.toString("utf8");
    // Names that are not UTF-8 are written as digits: nothing here may be replaced in reading.
    if (line.includes("\ufffd") && !equalBytes(Buffer.from(line), bytes))
      throw this.damaged("the line is not UTF-8");
    return line;
  }

  #object(line: string): Record<string, unknown> {
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch {
      throw this.damaged("the line is not JSON");
    }
    if (typeof value === "object" && value !== null && !Array.isArray(value))
      return value as Record<string, unknown>;
    throw this.damaged("the line is no object");
  }
}

function readFile(entry: Record<string, unknown>, lines: Lines): [string, ManifestFile] {
  const {
    Path: path,
    "Encoded-Path": encoded,
    Size: size,
    "Checksum-Algorithm": algorithm = "NONE",
    Checksum: checksum = "",
  } = entry;
  if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0)
    throw lines.damaged("the size of the file is no number of bytes");
  if (typeof algorithm !== "string" || !Object.hasOwn(DIGITS, algorithm))
    throw lines.damaged("the checksum is of a kind that is not known");
  const known = algorithm as ManifestAlgorithm;
  const isSum =
    typeof checksum === "string" &&
    checksum.length === DIGITS[known] &&
    /^[0-9a-f]*$/i.test(checksum);
  if (!isSum) throw lines.damaged(`the checksum is none of ${known}`);
  return [
    readPath(path, encoded, lines),
    { size, algorithm: known, checksum: checksum.toLowerCase() },
  ];
}

function readPath(path: unknown, encoded: unknown, lines: Lines): string {
  if ((path === undefined) === (encoded === undefined))
    throw lines.damaged("the file does not have one path");
  let bytes: string;
  if (typeof path === "string" && path.isWellFormed()) bytes = manifestPath(path);
  else if (typeof encoded === "string" && /^(?:[0-9a-f]{2})+$/i.test(encoded))
    bytes = Buffer.from(encoded, "hex").toString("latin1");
  else throw lines.damaged("the path of the file cannot be read");
  const isInside =
    !bytes.includes("\0") &&
    bytes.split("/").every((part) => part !== "" && part !== "." && part !== "..");
  if (!isInside) throw lines.damaged("the path leaves the data directory");
  return bytes;
}

function readRange(entry: Record<string, unknown>, lines: Lines): ManifestWalRange {
  const { Timeline: timeline, "Start-LSN": startText, "End-LSN": endText } = entry;
  const start = typeof startText === "string" ? readLsn(startText) : undefined;
  const end = typeof endText === "string" ? readLsn(endText) : undefined;
  const isRange =
    typeof timeline === "number" &&
    Number.isInteger(timeline) &&
    timeline > 0 &&
    timeline <= 0xffffffff &&
    start !== undefined &&
    end !== undefined &&
    start <= end;
  if (!isRange) throw lines.damaged("the line is no range of WAL");
  return { timeline, start, end };
}

function damagedManifest(place: string, what: string): HoldfastError {
  return new HoldfastError("BACKUP_DAMAGED", `${place}: ${what}`, {
    hint: "Make a new base backup; until then recover with an older one.",
  });
}
