// Which PostgreSQL cluster an archive belongs to. The first push writes it down as `meta/cluster.json`, create-only, so that
// every later one needs a single small read. It can be deleted at any time: it is made again from what the archive holds.

import { HoldfastError, isHoldfastError } from "../base/errors.ts";
import { parseBackupInfo } from "../barman/backup-info.ts";
import { readObjectName } from "../barman/layout.ts";
import { readSegmentHeader } from "../barman/wal-header.ts";
import type { Archive } from "./archive.ts";
import { decompressStream } from "./wal-codec.ts";

/** Relative to the server's folder. */
export const IDENTITY_PATH = "meta/cluster.json";

interface Options {
  readonly signal?: AbortSignal | undefined;
}

/** How many segments of an archive are looked at for its cluster: some may be damaged. */
const NEIGHBOURS_MAX = 5;

/** The system identifier that was written down; undefined without any. */
export async function readIdentity(
  archive: Archive,
  { signal }: Options = {},
): Promise<bigint | undefined> {
  try {
    const content = await archive.storage.get(IDENTITY_PATH, { signal });
    const text = Buffer.from(content).toString("utf8");
    const digits = /^\{"systemId":"(\d{1,20})"\}\n$/.exec(text)?.[1];
    if (digits !== undefined) return BigInt(digits);
  } catch (error) {
    if (isHoldfastError(error, "STORAGE_NOT_FOUND")) return undefined;
    throw error;
  }
  const message = `${archive.location}/${IDENTITY_PATH} is not what Holdfast writes`;
  throw new HoldfastError("ARCHIVE_FOREIGN", message, {
    hint: "Delete it: it is made again from what the archive holds.",
  });
}

/**
 * Makes sure that WAL of the cluster `systemId` belongs into the archive; `known` is what `readIdentity` said. An archive
 * that says nothing is asked for its newest backup and some of its WAL, and marked. Throws ARCHIVE_FOREIGN.
 */
export async function claimIdentity(
  archive: Archive,
  { systemId, known, signal }: { systemId: bigint; known: bigint | undefined } & Options,
): Promise<void> {
  if (known !== undefined) {
    requireSame(archive, systemId, known);
    return;
  }
  const found =
    (await systemOfBackup(archive, { signal })) ?? (await systemOfWal(archive, { signal }));
  if (found !== undefined) requireSame(archive, systemId, found);
  const content = Buffer.from(`{"systemId":"${systemId}"}\n`);
  try {
    await archive.storage.put(IDENTITY_PATH, content, { signal });
  } catch (error) {
    if (!isHoldfastError(error, "STORAGE_EXISTS")) throw error;
    // Another server was first, a moment ago.
    const first = await readIdentity(archive, { signal });
    if (first !== undefined) requireSame(archive, systemId, first);
  }
}

function requireSame(archive: Archive, systemId: bigint, known: bigint): void {
  if (systemId === known) return;
  throw new HoldfastError(
    "ARCHIVE_FOREIGN",
    `${archive.location} is the archive of the server with system identifier ${known}, and this is WAL of ${systemId}`,
    {
      hint: `Give every server, and every new one after initdb, a --server name of its own; of an archive that was emptied on purpose, delete ${IDENTITY_PATH} too.`,
    },
  );
}

/** What the newest backup says that says anything. */
async function systemOfBackup(archive: Archive, { signal }: Options): Promise<bigint | undefined> {
  const paths: string[] = [];
  for await (const { key } of archive.storage.list("base", { signal })) {
    if (readObjectName(key).kind === "info") paths.push(key);
  }
  for (const path of paths.toSorted().toReversed()) {
    const content = await archive.storage.get(path, { signal });
    try {
      const { systemId } = parseBackupInfo(content, path);
      if (systemId !== null && /^\d{1,20}$/.test(systemId)) return BigInt(systemId);
    } catch (error) {
      if (!isHoldfastError(error, "BARMAN_INFO_DAMAGED")) throw error;
    }
  }
  return undefined;
}

/** What WAL says that is there already. */
async function systemOfWal(archive: Archive, { signal }: Options): Promise<bigint | undefined> {
  let looked = 0;
  for await (const { key } of archive.storage.list("wals", { signal })) {
    const name = readObjectName(key);
    if (name.kind !== "wal" || (name.wal.kind !== "segment" && name.wal.kind !== "partial"))
      continue;
    const stored = await archive.storage.get(key, { signal });
    try {
      const { compression } = name.wal;
      for await (const piece of decompressStream([stored], { compression, source: key }))
        return readSegmentHeader(piece, key).systemId;
    } catch (error) {
      // It belongs to nobody that could be told, and keeps no other from being looked at.
      if (!isHoldfastError(error, "WAL_INVALID")) throw error;
    }
    looked += 1;
    if (looked === NEIGHBOURS_MAX) return undefined;
  }
  return undefined;
}
