// Where things lie below the destination path of an archive (docs/formats/barman.md#object-names). Names come from a
// bucket that others write to: what is not exactly of the layout is foreign, and is shown, never touched. Nothing here
// makes a path of a file system out of a name.

import { HoldfastError } from "../base/errors.ts";
import { formatWalName, readWalName, SUFFIXES, walFolder } from "./wal-name.ts";
import type { Compression, WalName } from "./wal-name.ts";

/** A backup's folder below `base/`: the time when it began, which also orders backups. */
const BACKUP_ID = /^\d{8}T\d{6}$/;

/** The first tar of PGDATA (`oid` null) or of a tablespace is part 0, the next one `_0001`. */
export interface TarName {
  readonly kind: "tar";
  readonly backupId: string;
  readonly oid: number | null;
  readonly part: number;
  readonly compression: Compression | null;
}

export type ObjectName =
  | { readonly kind: "info" | "label"; readonly backupId: string }
  | TarName
  | { readonly kind: "annotation"; readonly backupId: string; readonly key: string }
  /** Anything else in a backup's folder; Barman's tools skip it. */
  | { readonly kind: "sidecar"; readonly backupId: string; readonly name: string }
  /** Ours of a backup, outside its folder: Barman, which would leave it behind there, never meets it. */
  | { readonly kind: "meta"; readonly backupId: string; readonly name: string }
  | { readonly kind: "wal"; readonly wal: WalName }
  /** Not of the layout. */
  | { readonly kind: "foreign" };

const TAR = /^(?:data|([1-9]\d{0,9}))(?:_(\d{4,6}))?\.tar(\.[a-z0-9]+)?$/;

/** The compressions that tars have: Barman's, and lz4 and zstd of its newer versions. */
const TAR_COMPRESSIONS: readonly Compression[] = ["gzip", "bzip2", "snappy", "lz4", "zstd"];

export function isBackupId(text: string): boolean {
  return BACKUP_ID.test(text);
}

/** True for what can be one part of an object name and a folder of a server. */
export function isServerName(text: string): boolean {
  return (
    text !== "" &&
    text !== "." &&
    text !== ".." &&
    text.length <= 255 &&
    !/[/\\\x00-\x1f\x7f]/.test(text)
  );
}

/** The id of a backup that begins at `now`, later than that of `newest`, whatever the clock says: ids order backups. */
export function newBackupId(now: Date, newest: string | undefined): string {
  const id = idOf(now);
  if (newest === undefined || newest < id) return id;
  const [, year, month, day, hour, minute, second] =
    /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)$/.exec(newest) ?? [];
  const at = Date.UTC(+year!, +month! - 1, +day!, +hour!, +minute!, +second! + 1);
  const next = Number.isNaN(at) ? "" : idOf(new Date(at));
  if (next > newest) return next;
  throw new HoldfastError("BARMAN_NAME_INVALID", `no backup can be later than ${newest}`, {
    hint: "A folder of that name below base/ is not a backup of any server: move it elsewhere.",
  });
}

function idOf(time: Date): string {
  return time.toISOString().slice(0, 19).replace(/[-:]/g, "");
}

/** True for what we note of a server itself, beside the folders of its backups below `meta/`: it can be made again. */
export function isServerNote(path: string): boolean {
  return /^meta\/[a-z-]+\.json$/.test(path);
}

/** What the object at `path`, relative to the server's folder, is. */
export function readObjectName(path: string): ObjectName {
  const [area, ...parts] = path.split("/");
  if (area === "wals") return walObject(parts);
  const [backupId, name, key, ...more] = parts;
  if (backupId === undefined || !isBackupId(backupId) || !name) return { kind: "foreign" };
  if (area === "meta") return { kind: "meta", backupId, name: parts.slice(1).join("/") };
  if (area !== "base") return { kind: "foreign" };
  if (key !== undefined) {
    if (name === "annotations" && key !== "" && more.length === 0)
      return { kind: "annotation", backupId, key };
    return { kind: "sidecar", backupId, name: parts.slice(1).join("/") };
  }
  if (name === "backup.info") return { kind: "info", backupId };
  if (name === "backup_label") return { kind: "label", backupId };
  return tarName(backupId, name) ?? { kind: "sidecar", backupId, name };
}

function walObject(parts: readonly string[]): ObjectName {
  const wal = readWalName(parts.at(-1) ?? "");
  if (wal === undefined) return { kind: "foreign" };
  const folder = walFolder(wal);
  const isHome =
    parts.slice(0, -1).join("/") === folder && parts.length === (folder === "" ? 1 : 2);
  return isHome ? { kind: "wal", wal } : { kind: "foreign" };
}

function tarName(backupId: string, name: string): TarName | undefined {
  const match = TAR.exec(name);
  if (!match) return undefined;
  const [, digits, partDigits, suffix] = match;
  const compression =
    suffix === undefined ? null : TAR_COMPRESSIONS.find((kind) => SUFFIXES[kind] === suffix);
  const oid = digits === undefined ? null : Number(digits);
  const part = partDigits === undefined ? 0 : Number(partDigits);
  // A number with more digits than it needs is another name for the same part.
  const isCanonical = part === 0 ? partDigits === undefined : partDigits === fourDigits(part);
  if (compression === undefined || !isCanonical || (oid ?? 0) > 0xffffffff) return undefined;
  return { kind: "tar", backupId, oid, part, compression };
}

function fourDigits(part: number): string {
  return String(part).padStart(4, "0");
}

/** The path, relative to the server's folder, of an object; the other way round than `readObjectName`. */
export function objectPath(name: Exclude<ObjectName, { kind: "foreign" }>): string {
  if (name.kind === "wal") {
    return ["wals", walFolder(name.wal), formatWalName(name.wal)]
      .filter((part) => part !== "")
      .join("/");
  }
  if (name.kind === "meta") return `meta/${name.backupId}/${name.name}`;
  return `base/${name.backupId}/${nameInBackup(name)}`;
}

function nameInBackup(name: Exclude<ObjectName, { kind: "foreign" | "wal" | "meta" }>): string {
  switch (name.kind) {
    case "info":
      return "backup.info";
    case "label":
      return "backup_label";
    case "annotation":
      return `annotations/${name.key}`;
    case "sidecar":
      return name.name;
    case "tar": {
      const part = name.part === 0 ? "" : `_${fourDigits(name.part)}`;
      const suffix = name.compression === null ? "" : SUFFIXES[name.compression];
      return `${name.oid ?? "data"}${part}.tar${suffix}`;
    }
  }
}

/**
 * The servers with an archive among `paths`, which are relative to the destination path: every first part of a name
 * below which something of the layout lies. Sorted.
 */
export function serverNames(paths: Iterable<string>): string[] {
  const found = new Set<string>();
  for (const path of paths) {
    const slash = path.indexOf("/");
    const server = path.slice(0, Math.max(slash, 0));
    if (found.has(server) || !isServerName(server)) continue;
    const { kind } = readObjectName(path.slice(slash + 1));
    // Whatever has a folder with a time for its name may be somebody else's; these are nobody else's.
    if (kind === "info" || kind === "tar" || kind === "wal") found.add(server);
  }
  return [...found].toSorted();
}
