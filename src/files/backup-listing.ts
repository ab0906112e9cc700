// Reads one directory for a backup: its names, what lstat says of each, and which are excluded.

import { errnoOf } from "../base/errors.ts";
import { identityOf } from "./backup-frame.ts";
import type { Frame } from "./backup-frame.ts";
import { EntryTable, joinPath, readDirectoryNames } from "./entry-table.ts";
import type { Excluder } from "./excludes.ts";
import type { Listing } from "./listing-ahead.ts";
import type { MetadataContext } from "./metadata.ts";

/** An entry that changed this shortly before the walk may change again without a new time. */
const RACY_NS = 2_000_000_000n;

export interface ListingOptions {
  /** Absolute; relative sources are below it. */
  cwd: string;
  excluder: Excluder | undefined;
  oneFileSystem: boolean;
  metadata: MetadataContext;
  /** Nanoseconds since 1970 at the start. */
  startedAt: bigint;
}

/** Called for what cannot be read. */
export type ReportFailure = (path: string, error: unknown) => void;

/** The names in a directory, ascending by their bytes; undefined when it cannot be listed. */
export function listNames(frame: Frame, report: ReportFailure): string[] | undefined {
  if (frame.targets !== undefined) return [...frame.targets.keys()].sort();
  try {
    return readDirectoryNames(frame.path!);
  } catch (error) {
    // Gone since its parent was listed: as if it had never been there, unless it was asked for.
    if (frame.isNamed || errnoOf(error) !== "ENOENT") report(frame.path!, error);
    return undefined;
  }
}

/**
 * False when something else has taken the directory's place since its parent was listed, such as a link, or the empty
 * mount point of a volume that is gone: what was read below its path may have been anybody's.
 */
export function isStillThere(frame: Frame, report: ReportFailure): boolean {
  const { path, identity, isNamed } = frame;
  if (path === undefined || identity === undefined) return true;
  const now = new EntryTable(1);
  try {
    if (frame.targets === undefined) now.addFrom("", path, false);
    else now.addThroughLink("", path, false);
  } catch (error) {
    // Removed after it was read: it was there.
    if (isNamed || errnoOf(error) !== "ENOENT") report(path, error);
    return true;
  }
  if (identityOf(now, 0) === identity) return true;
  report(path, new Error("something else took its place during the backup"));
  return false;
}

/** Looks at one entry and adds it to the frame's table, unless it is excluded or gone. What was named is neither. */
export function addEntry(
  frame: Frame,
  name: string,
  options: ListingOptions,
  report: ReportFailure,
): void {
  const { table } = frame;
  const source = frame.targets?.get(name);
  const path = source === undefined ? joinPath(frame.path ?? "", name) : (source.path ?? name);
  const { excluder, cwd } = options;
  const isWanted = source !== undefined && (source.isNamed || source.children !== undefined);
  if (!isWanted && excluder?.excludesPath(absolute(path, cwd)) === true) return;
  const { withAtime } = options.metadata;
  try {
    // The directories above a source are there for its path: a link among them is followed, or nothing would be stored.
    if (source?.children === undefined) table.addFrom(name, path, withAtime);
    else table.addThroughLink(name, path, withAtime);
  } catch (error) {
    // Gone since it was listed: as if it had never been there, unless it was asked for.
    if (isWanted || errnoOf(error) !== "ENOENT") report(path, error);
    return;
  }
  keepEntry(frame, path, options, { isWanted, device: source?.device ?? frame.device });
}

/** Takes over what the listing thread found in the directory, without what is excluded. False when it found none. */
export function addListing(
  frame: Frame,
  listing: Listing,
  options: ListingOptions,
  report: ReportFailure,
): boolean {
  const { excluder, cwd } = options;
  const excludes = (path: string): boolean =>
    excluder !== undefined && excluder.excludesPath(absolute(path, cwd));
  for (const [entry, name] of listing.table.names.entries()) {
    const path = joinPath(frame.path!, name);
    if (excludes(path)) continue;
    frame.table.addCopy(listing.table, entry);
    keepEntry(frame, path, options, { isWanted: false, device: frame.device });
  }
  let isListed = true;
  for (const { name, code, message } of listing.failures) {
    const path = name === "" ? frame.path! : joinPath(frame.path!, name);
    if (name === "") isListed = false;
    const isWanted = name === "" && frame.isNamed;
    if ((code === "ENOENT" && !isWanted) || (name !== "" && excludes(path))) continue;
    report(path, Object.assign(new Error(message), { code }));
  }
  return isListed;
}

interface Place {
  /** Named by the person, or above what was. */
  isWanted: boolean;
  /** Of the source it belongs to. */
  device: number | bigint | undefined;
}

/** Decides by what the last entry is whether it stays. */
function keepEntry(frame: Frame, path: string, options: ListingOptions, place: Place): void {
  const { table } = frame;
  const entry = table.length - 1;
  if (!place.isWanted && excludesEntry(frame, path, options, place.device)) table.removeLast();
  else if (table.ctime(entry) > options.startedAt - RACY_NS) frame.uncertain = true;
}

function excludesEntry(
  frame: Frame,
  path: string,
  options: ListingOptions,
  device: Place["device"],
): boolean {
  const { excluder, cwd, oneFileSystem } = options;
  const { table } = frame;
  const entry = table.length - 1;
  const isDirectory = table.kind(entry) === "dir";
  if (oneFileSystem && !isDirectory && table.deviceId(entry) !== device) return true;
  if (excluder === undefined) return false;
  return excluder.excludesEntry(absolute(path, cwd), { isDirectory, size: table.size(entry) });
}

function absolute(path: string, cwd: string): string {
  return path.startsWith("/") ? path : joinPath(cwd, path);
}
