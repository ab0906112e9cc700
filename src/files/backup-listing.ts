// Reads one directory for a backup: its names, what lstat says of each, and which are excluded.

import { errnoOf } from "../base/errors.ts";
import type { Frame } from "./backup-frame.ts";
import { joinPath, readDirectoryNames } from "./entry-table.ts";
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

/** The names in a directory, ascending by their bytes. */
export function listNames(frame: Frame, report: ReportFailure): string[] {
  if (frame.targets !== undefined) return [...frame.targets.keys()].sort();
  try {
    return readDirectoryNames(frame.path!);
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") report(frame.path!, error);
    return [];
  }
}

/** Looks at one entry and adds it to the frame's table, unless it is excluded or gone. Sources are never excluded. */
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
  const chosen = source === undefined && excluder !== undefined;
  if (chosen && excluder.excludesPath(absolute(path, cwd))) return;
  try {
    table.addFrom(name, path, options.metadata.withAtime);
  } catch (error) {
    // Gone since it was listed: as if it had never been there.
    if (errnoOf(error) !== "ENOENT") report(path, error);
    return;
  }
  keepEntry(frame, path, options, source !== undefined);
}

/** Takes over what the listing thread found in the directory, without what is excluded. */
export function addListing(
  frame: Frame,
  listing: Listing,
  options: ListingOptions,
  report: ReportFailure,
): void {
  const { excluder, cwd } = options;
  const excludes = (path: string): boolean =>
    excluder !== undefined && excluder.excludesPath(absolute(path, cwd));
  for (const [entry, name] of listing.table.names.entries()) {
    const path = joinPath(frame.path!, name);
    if (excludes(path)) continue;
    frame.table.addCopy(listing.table, entry);
    keepEntry(frame, path, options, false);
  }
  for (const { name, code, message } of listing.failures) {
    const path = name === "" ? frame.path! : joinPath(frame.path!, name);
    if (code === "ENOENT" || (name !== "" && excludes(path))) continue;
    report(path, Object.assign(new Error(message), { code }));
  }
}

/** Decides by what the last entry is whether it stays. */
function keepEntry(frame: Frame, path: string, options: ListingOptions, isSource: boolean): void {
  const { table } = frame;
  const entry = table.length - 1;
  if (!isSource && excludesEntry(frame, entry, path, options)) table.removeLast();
  else if (table.ctime(entry) > options.startedAt - RACY_NS) frame.uncertain = true;
}

function excludesEntry(
  frame: Frame,
  entry: number,
  path: string,
  options: ListingOptions,
): boolean {
  const { excluder, cwd, oneFileSystem } = options;
  const { table } = frame;
  const isDirectory = table.kind(entry) === "dir";
  if (oneFileSystem && !isDirectory && table.deviceId(entry) !== frame.device) return true;
  if (excluder === undefined) return false;
  return excluder.excludesEntry(absolute(path, cwd), { isDirectory, size: table.size(entry) });
}

function absolute(path: string, cwd: string): string {
  return path.startsWith("/") ? path : joinPath(cwd, path);
}
