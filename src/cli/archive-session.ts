// From what a person typed to an archive: its location and its server.
// --archive or HOLDFAST_ARCHIVE, --server or HOLDFAST_ARCHIVE_SERVER.

import type { Command } from "commander";
import { HoldfastError } from "../base/errors.ts";
import { archiveOf, openArchive, type Archive } from "../postgres/archive.ts";
import { openStorage } from "../storage/open-storage.ts";
import type { Storage } from "../storage/storage.ts";
import type { Context } from "./command.ts";
import { storageOptions } from "./session.ts";

export interface ArchiveFlags {
  archive?: string;
  server?: string;
}

/** Adds the options that `openNamedArchive` reads. */
export function addArchiveOptions(command: Command): void {
  command
    .option("--archive <location>", "the archive: Barman's destination path (or HOLDFAST_ARCHIVE)")
    .option("--server <name>", "its server (or HOLDFAST_ARCHIVE_SERVER; default: the only one)");
}

/** Where the archive is and what server was named, from flags or else from variables. Throws USAGE without a location. */
export function namedArchive(
  context: Context,
  flags: ArchiveFlags,
): { location: string; server: string | undefined } {
  const { environment } = context;
  const location = flags.archive || environment["HOLDFAST_ARCHIVE"];
  const server = flags.server || environment["HOLDFAST_ARCHIVE_SERVER"] || undefined;
  if (location) return { location, server };
  throw new HoldfastError("USAGE", "no archive is named", {
    hint: "Use --archive gs://bucket/path or the variable HOLDFAST_ARCHIVE.",
  });
}

/** The storage of the named archive: the destination path above all servers. Closed when the run ends. */
export async function openArchiveStorage(
  context: Context,
  flags: ArchiveFlags,
  options: { readonly create?: boolean } = {},
): Promise<Storage> {
  const { location } = namedArchive(context, flags);
  const { create = false } = options;
  const settings = await storageOptions(context);
  const opened = await openStorage(location, { ...settings, create, purpose: "archive" });
  return context.closers.add(opened);
}

/**
 * The named archive, to read. Without a server's name the only one there is; `create` makes the place of a first write,
 * and then a server has to be named.
 */
export async function openNamedArchive(
  context: Context,
  flags: ArchiveFlags,
  options: { readonly create?: boolean } = {},
): Promise<Archive> {
  const { server } = namedArchive(context, flags);
  if (options.create && server === undefined) {
    throw new HoldfastError("USAGE", "no server of the archive is named", {
      hint: "Use --server NAME or the variable HOLDFAST_ARCHIVE_SERVER.",
    });
  }
  const storage = await openArchiveStorage(context, flags, options);
  return server === undefined
    ? await openArchive({ storage, signal: context.signal })
    : archiveOf(storage, server);
}
