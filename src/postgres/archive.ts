// The archive of one server: its folder below a destination path (docs/formats/barman.md#object-names), and the
// catalogue of what lies in it. Reads; needs no more than a viewer's rights.

import { mapLimit } from "../base/concurrency.ts";
import { HoldfastError, isHoldfastError } from "../base/errors.ts";
import { isDescription, readCatalogue, type Catalogue } from "../barman/catalogue.ts";
import { isServerName, readObjectName, serverNames } from "../barman/layout.ts";
import type { ListedObject } from "../barman/wal-listing.ts";
import { below } from "../storage/below.ts";
import type { Storage } from "../storage/storage.ts";
import { decompressWhole } from "./wal-codec.ts";

export interface Archive {
  /** Keys are relative to the server's folder: "wals/…", "base/…". */
  readonly storage: Storage;
  readonly server: string;
  /** Where it is, for people: never with a credential. */
  readonly location: string;
}

/** What describes others is small; more than this is none of it. */
const DESCRIPTION_BYTES_MAX = 16 << 20;

/** The names of the servers below a destination path, sorted. Lists all of it. */
export async function findServers(
  storage: Storage,
  { signal }: { readonly signal?: AbortSignal | undefined } = {},
): Promise<string[]> {
  const paths: string[] = [];
  for await (const { key } of storage.list("", { signal })) paths.push(key);
  return serverNames(paths);
}

/** The archive of `server` below the destination path that `storage` is. Nothing is asked of the storage. */
export function archiveOf(storage: Storage, server: string): Archive {
  if (!isServerName(server)) {
    const message = `${JSON.stringify(server.slice(0, 80))} cannot be the name of a server in an archive`;
    throw new HoldfastError("USAGE", message, { hint: "A name is one folder of the bucket." });
  }
  const scoped = below(storage, server);
  return { storage: scoped, server, location: scoped.location };
}

/**
 * The archive of `server`, or of the only one there is when none is named. Throws ARCHIVE_NOT_FOUND without any, USAGE
 * when there are several to choose from.
 */
export async function openArchive(options: {
  readonly storage: Storage;
  readonly server?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}): Promise<Archive> {
  const { storage, server, signal } = options;
  if (server !== undefined) return archiveOf(storage, server);
  const [only, ...more] = await findServers(storage, { signal });
  if (only === undefined) {
    throw new HoldfastError(
      "ARCHIVE_NOT_FOUND",
      `no server has an archive at ${storage.location}`,
      {
        hint: "Name the destination path as Barman knows it: the folder above those of the servers.",
      },
    );
  }
  if (more.length === 0) return archiveOf(storage, only);
  const names = [only, ...more].join(", ");
  throw new HoldfastError("USAGE", `several servers have an archive at ${storage.location}`, {
    hint: `Choose one with --server: ${names}.`,
  });
}

/** All objects of the archive, with paths relative to the server's folder. */
export async function listArchive(
  archive: Archive,
  { signal }: { readonly signal?: AbortSignal | undefined } = {},
): Promise<ListedObject[]> {
  const objects: ListedObject[] = [];
  for await (const { key, size, modified } of archive.storage.list("", { signal })) {
    // Without a time an object counts as old: a hole before it is lost and not late.
    objects.push({ path: key, size, time: modified ?? 0 });
  }
  return objects;
}

/** The catalogue of the archive as it is now; `now` in milliseconds since 1970. What cannot be read becomes a problem in it. */
export async function loadCatalogue(
  archive: Archive,
  options: { readonly now: number; readonly signal?: AbortSignal | undefined },
): Promise<Catalogue> {
  const { now, signal } = options;
  const objects = await listArchive(archive, { signal });
  const described = objects.filter(({ path }) => isDescription(path));
  const contents = new Map<string, Uint8Array>();
  await mapLimit(
    described,
    archive.storage.traits.connections,
    async ({ path, size }, _, within) => {
      const content = await readDescription(archive, { path, size }, within);
      if (content) contents.set(path, content);
    },
    { signal },
  );
  return readCatalogue({ objects, contents, now });
}

/**
 * Throws ARCHIVE_NOT_FOUND where nothing of an archive lies: of a misspelt name nothing may be called sound, and nothing
 * expired.
 */
export function requireArchive(
  { location }: Archive,
  { backups, wal, historyTimes, orphans }: Catalogue,
): void {
  if (backups.length + wal.size + historyTimes.size + orphans.length > 0) return;
  throw new HoldfastError("ARCHIVE_NOT_FOUND", `there is no archive at ${location}`, {
    hint: "Check --archive and --server; `holdfast pg info` without --server lists the servers.",
  });
}

/** The content without its compression; undefined when this one cannot be had, which hides no other. */
async function readDescription(
  { storage }: Archive,
  { path, size }: { readonly path: string; readonly size: number },
  signal: AbortSignal,
): Promise<Uint8Array | undefined> {
  if (size > DESCRIPTION_BYTES_MAX) return undefined;
  try {
    const content = await storage.get(path, { signal });
    const name = readObjectName(path);
    const compression = name.kind === "wal" ? name.wal.compression : null;
    if (compression === null) return content;
    return await decompressWhole(content, { compression, limit: DESCRIPTION_BYTES_MAX });
  } catch (error) {
    const passed = isHoldfastError(
      error,
      "STORAGE_NOT_FOUND",
      "STORAGE_DENIED",
      "STORAGE_FAILED",
      "WAL_INVALID",
    );
    if (passed) return undefined;
    throw error;
  }
}
