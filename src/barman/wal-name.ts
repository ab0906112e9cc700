// Names of what lies below `wals/`: segments, partial segments, backup labels and timeline histories, each perhaps
// compressed (docs/formats/barman.md#names-of-wal). Names come from a bucket, so anything that PostgreSQL and Barman do
// not write is no name at all: it is never guessed at.

import { HoldfastError } from "../base/errors.ts";
import { requireSegmentSize } from "./lsn.ts";

/** How an object's content is compressed. */
export type Compression = "gzip" | "bzip2" | "xz" | "snappy" | "zstd" | "lz4";

/** The suffix that each compression adds to a name. */
export const SUFFIXES: Readonly<Record<Compression, string>> = {
  gzip: ".gz",
  bzip2: ".bz2",
  xz: ".xz",
  snappy: ".snappy",
  zstd: ".zst",
  lz4: ".lz4",
};

const COMPRESSIONS: ReadonlyMap<string, Compression> = new Map(
  (Object.keys(SUFFIXES) as Compression[]).map((kind) => [SUFFIXES[kind], kind]),
);

interface Compressed {
  readonly compression: Compression | null;
}

/** A segment, whole or (`partial`) only begun. */
export interface SegmentName extends Compressed {
  readonly kind: "segment" | "partial";
  /** The 24 digits. */
  readonly name: string;
  readonly timeline: number;
}

/** What PostgreSQL archives of a backup that ended: a text beside the segment where the backup began. */
export interface LabelName extends Compressed {
  readonly kind: "label";
  readonly name: string;
  readonly timeline: number;
  /** Where in the segment the backup began. */
  readonly offset: number;
}

/** Where a timeline comes from. */
export interface HistoryName extends Compressed {
  readonly kind: "history";
  readonly timeline: number;
}

export type WalName = SegmentName | LabelName | HistoryName;

const NAME =
  /^([0-9A-F]{8})(?:([0-9A-F]{16})(?:(\.partial)|\.([0-9A-F]{8})\.backup)?|(\.history))(\.[a-z0-9]+)?$/;

/** The parts of an object's last name; undefined for what is no name of WAL. */
export function readWalName(text: string): WalName | undefined {
  const match = NAME.exec(text);
  if (!match) return undefined;
  const [, timelineDigits, rest, partial, offset, history, suffix] = match;
  const compression = suffix === undefined ? null : COMPRESSIONS.get(suffix);
  const timeline = Number.parseInt(timelineDigits!, 16);
  if (compression === undefined || timeline === 0) return undefined;
  if (history !== undefined) return { kind: "history", timeline, compression };
  const name = timelineDigits! + rest!;
  if (offset !== undefined)
    return { kind: "label", name, timeline, offset: Number.parseInt(offset, 16), compression };
  return { kind: partial === undefined ? "segment" : "partial", name, timeline, compression };
}

/** The object's last name; the other way round than `readWalName`. */
export function formatWalName(parts: WalName): string {
  const suffix = parts.compression === null ? "" : SUFFIXES[parts.compression];
  switch (parts.kind) {
    case "segment":
      return `${parts.name}${suffix}`;
    case "partial":
      return `${parts.name}.partial${suffix}`;
    case "label":
      return `${parts.name}.${hex(parts.offset)}.backup${suffix}`;
    case "history":
      return `${hex(parts.timeline)}.history${suffix}`;
  }
}

/** The folder below `wals/` in which an object of that name lies: 16 digits, or "" for a history. */
export function walFolder(parts: WalName): string {
  return parts.kind === "history" ? "" : parts.name.slice(0, 16);
}

/** The name, 24 digits, of a segment of a timeline. */
export function segmentName(timeline: number, segment: number, size: number): string {
  requireSegmentSize(size);
  const perFile = 2 ** 32 / size;
  const file = Math.floor(segment / perFile);
  if (!isUint32(timeline) || timeline === 0 || !Number.isSafeInteger(segment) || !isUint32(file)) {
    const message = `segment ${segment} of timeline ${timeline} has no name`;
    throw new HoldfastError("BARMAN_NAME_INVALID", message);
  }
  return `${hex(timeline)}${hex(file)}${hex(segment % perFile)}`;
}

/**
 * The place in the log of the segment called `name`, 24 digits. Throws BARMAN_NAME_INVALID for what is no name, and for
 * one that cannot be with segments of that size.
 */
export function segmentNumber(name: string, size: number): number {
  requireSegmentSize(size);
  const perFile = 2 ** 32 / size;
  const parts = readWalName(name);
  if (parts?.kind !== "segment" || parts.compression !== null)
    throw invalidName(name, "is no name of a WAL segment");
  const within = Number.parseInt(name.slice(16), 16);
  if (within >= perFile)
    throw invalidName(name, `cannot be the name of a WAL segment of ${size} bytes`);
  return Number.parseInt(name.slice(8, 16), 16) * perFile + within;
}

/** The names of the segments from `first` through `last`, both included. */
export function* segmentNames(options: {
  readonly timeline: number;
  readonly first: number;
  readonly last: number;
  readonly size: number;
}): Generator<string, void> {
  const { timeline, first, last, size } = options;
  for (let segment = first; segment <= last; segment++) yield segmentName(timeline, segment, size);
}

function invalidName(name: string, what: string): HoldfastError {
  return new HoldfastError("BARMAN_NAME_INVALID", `${JSON.stringify(name.slice(0, 80))} ${what}`, {
    hint: "Objects that no archiver wrote do not belong below wals/: move them elsewhere.",
  });
}

function isUint32(value: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= 0xffffffff;
}

function hex(value: number): string {
  return value.toString(16).toUpperCase().padStart(8, "0");
}
