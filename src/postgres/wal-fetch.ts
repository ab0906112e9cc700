// One piece of WAL out of an archive. "Absent" may end a recovery, so it is said only when listings that succeeded showed that the archive is there, and holds neither the segment nor a beginning of
// it. Everything else that keeps it from being served is thrown (docs/operations/wal.md#exit-statuses).

import { HoldfastError, isHoldfastError } from "../base/errors.ts";
import { parseHistory } from "../barman/history.ts";
import { readWalName, type SegmentName, type WalName } from "../barman/wal-name.ts";
import type { Archive } from "./archive.ts";
import { copiesOf, findHistory, isThere, listWalFolder, type WalObject } from "./find-wal.ts";
import { readSegment } from "./read-segment.ts";
import { decompressWhole } from "./wal-codec.ts";

export interface FetchWalOptions {
  readonly archive: Archive;
  /** As PostgreSQL asks for it: without compression. */
  readonly name: WalName;
  /** System identifier of the server that asks; WAL of another one is refused. */
  readonly systemId?: bigint | undefined;
  /** What the archive lists in the folder of `name`, when that is known. */
  readonly folder?: readonly WalObject[] | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface FetchedWal {
  /** As PostgreSQL takes it: a segment has the exact size. */
  readonly content: Uint8Array;
  /** Relative to the server's folder. */
  readonly object: string;
  /** Stored bytes. */
  readonly storedBytes: number;
  /** Only the beginning is there; how many bytes behind it are zeros that were not stored. */
  readonly partial: boolean;
  readonly paddedBytes: number;
}

const TEXT_BYTES_MAX = 16 << 20;

/** Reads what PostgreSQL puts for %f. Throws USAGE for anything but a name of WAL. */
export function requireWalName(text: string): WalName {
  const name = readWalName(text);
  if (name !== undefined && name.compression === null) return name;
  const message = `${JSON.stringify(text.slice(0, 80))} is not what PostgreSQL calls a file of WAL`;
  throw new HoldfastError("USAGE", message, {
    hint: "In restore_command, %f stands for the name and %p for where it goes: restore_command = 'holdfast pg wal-fetch %f %p'.",
  });
}

/**
 * The piece of that name; undefined when the archive surely holds none. A whole segment is preferred to a partial one,
 * whatever either is compressed with; of several copies, the first that is sound in an order that is always the same.
 * Throws ARCHIVE_NOT_FOUND where there is no archive at all, WAL_INVALID when all copies are damaged, ARCHIVE_FOREIGN for
 * WAL of another server.
 */
export async function fetchWal(options: FetchWalOptions): Promise<FetchedWal | undefined> {
  const { archive, signal } = options;
  for (let attempt = 1; ; attempt++) {
    const copies = await findCopies(options, attempt);
    if (copies.length === 0) {
      if (await isThere(archive, { signal })) return undefined;
      throw new HoldfastError("ARCHIVE_NOT_FOUND", `there is no archive at ${archive.location}`, {
        hint: "Check --archive and --server: recovery must not end because of a name.",
      });
    }
    try {
      return await firstSound(copies, options);
    } catch (error) {
      // A receiver replaces and removes partial segments at any time: what is there now counts.
      if (attempt === 3 || !isHoldfastError(error, "STORAGE_NOT_FOUND")) throw error;
    }
  }
}

async function findCopies(options: FetchWalOptions, attempt: number): Promise<WalObject[]> {
  const { archive, name, signal } = options;
  if (name.kind === "history") return await findHistory(archive, name.timeline, { signal });
  const known = attempt === 1 ? options.folder : undefined;
  const folder = known ?? (await listWalFolder(archive, name, { signal }));
  const same = copiesOf(folder, name);
  return name.kind === "segment" && same.length === 0 ? copiesOf(folder, name, "partial") : same;
}

async function firstSound(
  copies: readonly WalObject[],
  options: FetchWalOptions,
): Promise<FetchedWal> {
  let failure: HoldfastError | undefined;
  for (const copy of copies) {
    try {
      return await open(copy, options);
    } catch (error) {
      if (!isHoldfastError(error, "WAL_INVALID", "BARMAN_HISTORY_DAMAGED")) throw error;
      failure ??= error;
    }
  }
  throw failure;
}

async function open(
  { path, wal, size }: WalObject,
  { archive, systemId, signal }: FetchWalOptions,
): Promise<FetchedWal> {
  const stored = await archive.storage.get(path, { signal });
  const source = `${archive.location}/${path}`;
  const object = { object: path, storedBytes: size };
  if (wal.kind === "segment" || wal.kind === "partial") {
    const { bytes, paddedBytes } = await readSegment(stored, {
      name: wal as SegmentName,
      source,
      systemId,
    });
    return { content: bytes, ...object, partial: wal.kind === "partial", paddedBytes };
  }
  const { compression } = wal;
  const limit = TEXT_BYTES_MAX;
  const content =
    compression === null ? stored : await decompressWhole(stored, { compression, limit, source });
  if (wal.kind === "history") parseHistory({ timeline: wal.timeline, content, source });
  return { content, ...object, partial: false, paddedBytes: 0 };
}
