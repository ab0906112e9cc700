// Storing one piece of WAL in an archive, once and for all: create-only, equal content is success, different content is
// refused (docs/formats/barman.md#names-of-wal). When it resolves, the piece is durable. Never replaces anything.

import { HoldfastError, isHoldfastError } from "../base/errors.ts";
import { equalBytes } from "../base/bytes.ts";
import { objectPath, readObjectName } from "../barman/layout.ts";
import type { Compression, WalName } from "../barman/wal-name.ts";
import type { Archive } from "./archive.ts";
import { copiesOf, findHistory, listWalFolder, type WalObject } from "./find-wal.ts";
import { compressWhole, decompressWhole, GZIP_FAST, type WalCompression } from "./wal-codec.ts";

export interface StoreWalOptions {
  /** What it is called. Its `compression` is that of the object we make. */
  readonly name: WalName;
  /** Without compression. */
  readonly content: Uint8Array;
  readonly compression?: WalCompression;
  /**
   * Look for the same piece under the suffix of another compression first: needed wherever another program archives too.
   * Costs a listing of one folder, unless what it would find is given.
   */
  readonly lookForOthers?: boolean | readonly WalObject[];
  readonly signal?: AbortSignal | undefined;
}

export interface StoredWal {
  /** Relative to the server's folder. */
  readonly path: string;
  /** False when it was there already. */
  readonly isNew: boolean;
}

/** Stores `content`. Throws WAL_DIFFERS when the archive holds other content under that name, whatever its compression. */
export async function storeWal(archive: Archive, options: StoreWalOptions): Promise<StoredWal> {
  const { content, compression = GZIP_FAST, lookForOthers = false, signal } = options;
  const name: WalName = { ...options.name, compression: compression.kind };
  const path = objectPath({ kind: "wal", wal: name });
  if (lookForOthers !== false) {
    const found = lookForOthers === true ? await samePieces(archive, name, signal) : lookForOthers;
    // Whether the one of our own name is equal, a put finds out without fetching it.
    for (const other of found.filter((one) => one.path !== path)) {
      await requireEqual(archive, { path: other.path, content, signal });
      return { path: other.path, isNew: false };
    }
  }
  const body = await compressWhole(content, compression);
  try {
    // A repeated put cannot be told from a first one, and need not be.
    await archive.storage.put(path, body, { signal });
    return { path, isNew: true };
  } catch (error) {
    if (!isHoldfastError(error, "STORAGE_EXISTS")) throw error;
  }
  // The same WAL, compressed by another version or level, is the same WAL.
  await requireEqual(archive, { path, content, signal });
  return { path, isNew: false };
}

/** The objects that hold the piece of that name, best first. */
async function samePieces(
  archive: Archive,
  name: WalName,
  signal: AbortSignal | undefined,
): Promise<WalObject[]> {
  if (name.kind === "history") return await findHistory(archive, name.timeline, { signal });
  return copiesOf(await listWalFolder(archive, name, { signal }), name);
}

async function requireEqual(
  archive: Archive,
  { path, content, signal }: { path: string; content: Uint8Array; signal: AbortSignal | undefined },
): Promise<void> {
  const stored = await archive.storage.get(path, { signal });
  const parts = readObjectName(path);
  const compression: Compression | null = parts.kind === "wal" ? parts.wal.compression : null;
  const known = await contentOf(stored, { compression, path, limit: content.length });
  if (known !== undefined && equalBytes(known, content)) return;
  throw new HoldfastError(
    "WAL_DIFFERS",
    `${archive.location} holds other content under the name ${path.slice(path.lastIndexOf("/") + 1)}`,
    {
      hint: "Two servers archive under one name: give this one a --server name of its own, and keep the object until you know whose it is.",
    },
  );
}

/** Undefined for what is damaged, or longer than `limit`: it is not equal to anything. */
async function contentOf(
  stored: Uint8Array,
  options: { compression: Compression | null; path: string; limit: number },
): Promise<Uint8Array | undefined> {
  const { compression, path, limit } = options;
  if (compression === null) return stored;
  try {
    return await decompressWhole(stored, { compression, limit, source: path });
  } catch (error) {
    if (isHoldfastError(error, "WAL_INVALID")) return undefined;
    throw error;
  }
}
