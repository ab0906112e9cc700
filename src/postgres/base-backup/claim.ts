// The name of a new backup, and whether this archive is the place for it. A name is claimed by an object of its own, which
// only one of two that began in the same second can create.

import { parseBackupInfo, type BackupInfo } from "../../barman/backup-info.ts";
import { isBackupId, newBackupId, objectPath, readObjectName } from "../../barman/layout.ts";
import { readSegmentHeader } from "../../barman/wal-header.ts";
import type { Clock, Random } from "../../base/clock.ts";
import { toHex } from "../../base/bytes.ts";
import { HoldfastError, isHoldfastError } from "../../base/errors.ts";
import type { Archive } from "../archive.ts";
import { decompressWhole } from "../wal-codec.ts";

interface Cluster {
  readonly systemId: string;
  readonly segmentSize: number;
}

interface Options {
  readonly archive: Archive;
  readonly cluster: Cluster;
  readonly clock: Clock;
  readonly random: Random;
  /** Who makes it, for whoever finds it unfinished: "holdfast 1.0 on web1". */
  readonly by: string;
  readonly signal: AbortSignal;
}

/** How many names are tried: as many as may begin in one second. */
const TRIES = 60;

/** A name that nobody else has. Throws ARCHIVE_FOREIGN when the archive is another cluster's. */
export async function claimBackup(options: Options): Promise<string> {
  const { archive, clock, random, by, signal } = options;
  const { infos, ids } = await listBackups(options);
  await requireSameCluster(options, infos);
  let newest = ids.toSorted().at(-1);
  for (let tries = 0; tries < TRIES; tries++) {
    const id = newBackupId(new Date(clock.now()), newest);
    const claim = { id, by, began: new Date(clock.now()).toISOString(), token: toHex(random(16)) };
    const path = objectPath({ kind: "meta", backupId: id, name: "claim.json" });
    try {
      await archive.storage.put(path, Buffer.from(`${JSON.stringify(claim, null, 2)}\n`), {
        signal,
      });
      return id;
    } catch (error) {
      if (!isHoldfastError(error, "STORAGE_EXISTS")) throw error;
      newest = id;
    }
  }
  throw new HoldfastError("STORAGE_FAILED", `no name for a backup is free in ${archive.location}`, {
    hint: "Find out who begins so many backups of this server at once.",
    retryable: true,
  });
}

/** Everything that was ever begun, and the paths of the backups' own descriptions, newest first. */
async function listBackups({
  archive,
  signal,
}: Options): Promise<{ infos: string[]; ids: string[] }> {
  const ids = new Set<string>();
  const infos: string[] = [];
  for (const folder of ["base", "meta"]) {
    for await (const { key } of archive.storage.list(folder, { signal })) {
      const id = key.split("/")[1];
      if (id !== undefined && isBackupId(id)) ids.add(id);
      if (readObjectName(key).kind === "info") infos.push(key);
    }
  }
  return { infos: infos.toSorted().toReversed(), ids: [...ids] };
}

/** Judged by the newest backup that can be read, or else by a segment of WAL. */
async function requireSameCluster(options: Options, infos: readonly string[]): Promise<void> {
  const { archive, cluster } = options;
  const known = (await clusterOfBackups(options, infos)) ?? (await clusterOfWal(options));
  if (known === undefined) return;
  if (known.systemId !== cluster.systemId) {
    throw new HoldfastError(
      "ARCHIVE_FOREIGN",
      `${archive.location} is the archive of the cluster ${known.systemId}, and this server is of ${cluster.systemId}`,
      { hint: "Give every cluster, and every new one after initdb, a --server name of its own." },
    );
  }
  if (known.segmentSize === cluster.segmentSize) return;
  throw new HoldfastError(
    "ARCHIVE_FOREIGN",
    `${archive.location} has WAL in segments of ${known.segmentSize} bytes, and this server's have ${cluster.segmentSize}`,
    { hint: "After pg_resetwal --wal-segsize, begin a new archive under another --server name." },
  );
}

async function clusterOfBackups(
  { archive, signal }: Options,
  infos: readonly string[],
): Promise<Cluster | undefined> {
  for (const path of infos) {
    const info = await readInfo(archive, path, signal);
    if (info !== undefined && info.systemId !== null)
      return { systemId: info.systemId, segmentSize: info.segmentSize };
  }
  return undefined;
}

/** Undefined for one that is damaged, which says nothing about whose archive it is. */
async function readInfo(
  { storage }: Archive,
  path: string,
  signal: AbortSignal,
): Promise<BackupInfo | undefined> {
  try {
    return parseBackupInfo(await storage.get(path, { signal }), path);
  } catch (error) {
    if (isHoldfastError(error, "BARMAN_INFO_DAMAGED", "STORAGE_NOT_FOUND")) return undefined;
    throw error;
  }
}

async function clusterOfWal({ archive, signal }: Options): Promise<Cluster | undefined> {
  for await (const { key } of archive.storage.list("wals", { signal })) {
    const name = readObjectName(key);
    if (name.kind !== "wal" || name.wal.kind !== "segment") continue;
    const { compression } = name.wal;
    const stored = await archive.storage.get(key, { signal });
    const limit = 1 << 30;
    const content =
      compression === null
        ? stored
        : await decompressWhole(stored, { compression, limit, source: key });
    const { systemId, segmentSize } = readSegmentHeader(content, key);
    return { systemId: String(systemId), segmentSize };
  }
  return undefined;
}
