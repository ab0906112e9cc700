// Where a piece of WAL lies in an archive, whatever it is compressed with (docs/formats/barman.md#names-of-wal). What is
// found here decides whether a recovery goes on or ends, so absence is told only when the storage said so.

import { mapLimit } from "../base/concurrency.ts";
import { isHoldfastError } from "../base/errors.ts";
import { isServerNote, objectPath, readObjectName } from "../barman/layout.ts";
import { walFolder, type Compression, type WalName } from "../barman/wal-name.ts";
import type { Archive } from "./archive.ts";

/** An object that holds a piece of WAL. */
export interface WalObject {
  /** Relative to the server's folder. */
  readonly path: string;
  readonly wal: WalName;
  /** Bytes as they are stored. */
  readonly size: number;
}

interface Options {
  readonly signal?: AbortSignal | undefined;
}

/** Not compressed comes first, then what costs least to open. */
const ORDER: readonly (Compression | null)[] = [
  null,
  "lz4",
  "snappy",
  "zstd",
  "gzip",
  "xz",
  "bzip2",
];

/**
 * The objects in the folder of `name` with that name or one behind it, from one listing: whole, partial and labels, in an
 * order that is always the same. Not for histories, which lie beside all the folders.
 */
export async function listWalFolder(
  archive: Archive,
  name: Exclude<WalName, { kind: "history" }>,
  { signal }: Options = {},
): Promise<WalObject[]> {
  const found: WalObject[] = [];
  const folder = `wals/${walFolder(name)}`;
  const after = justBefore(`${folder}/${name.name}`);
  for await (const { key, size } of archive.storage.list(folder, { signal, after })) {
    const object = readObjectName(key);
    if (object.kind === "wal" && key > after) found.push({ path: key, wal: object.wal, size });
  }
  return found.toSorted(inOrder);
}

/** Those of `objects` that hold the same piece as `name`, best first. */
export function copiesOf(
  objects: readonly WalObject[],
  name: WalName,
  kind: WalName["kind"] = name.kind,
): WalObject[] {
  const wanted = objectPath({ kind: "wal", wal: { ...name, kind, compression: null } as WalName });
  return objects.filter(
    ({ wal }) => objectPath({ kind: "wal", wal: { ...wal, compression: null } }) === wanted,
  );
}

/**
 * The objects that hold the history of a timeline, best first. Each name is asked for by itself: a listing would be one of
 * all WAL there is.
 */
export async function findHistory(
  archive: Archive,
  timeline: number,
  { signal }: Options = {},
): Promise<WalObject[]> {
  const found = await mapLimit(
    ORDER,
    Math.min(ORDER.length, archive.storage.traits.connections),
    async (compression, _, within): Promise<WalObject[]> => {
      const wal: WalName = { kind: "history", timeline, compression };
      const path = objectPath({ kind: "wal", wal });
      try {
        const { size } = await archive.storage.stat(path, { signal: within });
        return [{ path, wal, size }];
      } catch (error) {
        if (isHoldfastError(error, "STORAGE_NOT_FOUND")) return [];
        throw error;
      }
    },
    { signal },
  );
  return found.flat();
}

/**
 * True when a listing shows that something of an archive lies in the server's folder. Without it nothing may be called absent: a
 * misspelt bucket or server holds no WAL either.
 */
export async function isThere(archive: Archive, { signal }: Options = {}): Promise<boolean> {
  for (const area of ["wals", "base", "meta"]) {
    for await (const { key } of archive.storage.list(area, { signal })) {
      if (isServerNote(key) || readObjectName(key).kind !== "foreign") return true;
    }
  }
  return false;
}

/** True when the archive holds WAL of that timeline. One listing, which is left at the first object that tells. */
export async function hasTimeline(
  archive: Archive,
  timeline: number,
  { signal }: Options = {},
): Promise<boolean> {
  const start = `wals/${timeline.toString(16).toUpperCase().padStart(8, "0")}`;
  for await (const { key } of archive.storage.list("wals", { signal, after: start })) {
    const object = key.startsWith(start) ? readObjectName(key) : undefined;
    if (object?.kind === "wal" && object.wal.kind !== "history") return true;
  }
  return false;
}

/** A key that comes before `key`, and behind all names of earlier segments that are as long. */
function justBefore(key: string): string {
  const last = key.codePointAt(key.length - 1)! - 1;
  return `${key.slice(0, -1)}${String.fromCodePoint(last)}~`;
}

function inOrder(a: WalObject, b: WalObject): number {
  const rank = ORDER.indexOf(a.wal.compression) - ORDER.indexOf(b.wal.compression);
  return rank === 0 ? (a.path < b.path ? -1 : 1) : rank;
}
