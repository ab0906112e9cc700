// Whose archive it is. A receiver marks the server's folder as its own when it first writes there, and takes no folder in
// which others have left WAL or backups unless it is told to: two programs that archive under one name can cut each
// other's recovery short (docs/decisions/receiver.md#whose-archive).

import { HoldfastError, isHoldfastError } from "../../base/errors.ts";
import type { Clock } from "../../base/clock.ts";
import { readObjectName } from "../../barman/layout.ts";
import type { ListedObject } from "../../barman/wal-listing.ts";
import type { Archive } from "../archive.ts";
import { claimIdentity, readIdentity } from "../archive-identity.ts";
import type { SpoolIdentity } from "./spool-file.ts";

/** Relative to the server's folder. */
export const MARK_PATH = "meta/receiver.json";

export interface ReceiverMark extends SpoolIdentity {
  /** Others archive under this name as well, and the person knows. */
  readonly shared: boolean;
}

/** The mark of the receiver that writes here; undefined without any. Throws ARCHIVE_FOREIGN for one that is none of ours. */
export async function readMark(
  archive: Archive,
  signal: AbortSignal | undefined,
): Promise<ReceiverMark | undefined> {
  let content: Uint8Array;
  try {
    content = await archive.storage.get(MARK_PATH, { signal });
  } catch (error) {
    if (isHoldfastError(error, "STORAGE_NOT_FOUND")) return undefined;
    throw error;
  }
  const mark = parseMark(Buffer.from(content).toString("utf8"));
  if (mark !== undefined) return mark;
  throw new HoldfastError(
    "ARCHIVE_FOREIGN",
    `${archive.location}/${MARK_PATH} is not what a receiver writes`,
    { hint: "Find out who wrote it, or give the receiver a --server name of its own." },
  );
}

function parseMark(text: string): ReceiverMark | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const { systemId, segmentSize, shared } = value as Record<string, unknown>;
  const isMark =
    typeof systemId === "string" &&
    /^\d{1,20}$/.test(systemId) &&
    typeof segmentSize === "number" &&
    typeof shared === "boolean";
  return isMark ? { systemId, segmentSize, shared } : undefined;
}

/** Throws ARCHIVE_FOREIGN when the archive is another cluster's than `server`. */
export function requireSameCluster(
  archive: Archive,
  known: SpoolIdentity,
  server: SpoolIdentity,
): void {
  if (known.systemId !== server.systemId) {
    throw new HoldfastError(
      "ARCHIVE_FOREIGN",
      `${archive.location} is the archive of the cluster ${known.systemId}, and the server is ${server.systemId}`,
      { hint: "Give every cluster, and every new one after initdb, a --server name of its own." },
    );
  }
  if (known.segmentSize === server.segmentSize) return;
  throw new HoldfastError(
    "ARCHIVE_FOREIGN",
    `${archive.location} has segments of ${known.segmentSize} bytes, and the server writes ${server.segmentSize}`,
    { hint: "After pg_resetwal --wal-segsize, begin a new archive under another --server name." },
  );
}

/**
 * Marks the archive as this receiver's. Throws ARCHIVE_FOREIGN when it holds what others archived, unless `shared`, and
 * when it is another cluster's.
 */
export async function claimArchive(options: {
  readonly archive: Archive;
  /** Everything in it. */
  readonly objects: readonly ListedObject[];
  readonly identity: SpoolIdentity;
  readonly shared: boolean;
  readonly clock: Clock;
  readonly signal?: AbortSignal | undefined;
}): Promise<ReceiverMark> {
  const { archive, objects, identity, shared, clock, signal } = options;
  const others = archivedByOthers(objects);
  if (others !== undefined && !shared) {
    throw new HoldfastError(
      "ARCHIVE_FOREIGN",
      `${archive.location} holds ${others} that this receiver did not write`,
      {
        hint: "Give the receiver a --server name of its own, or say --shared-server if that archiver is yours as well.",
      },
    );
  }
  const known = await readIdentity(archive, { signal });
  await claimIdentity(archive, { systemId: BigInt(identity.systemId), known, signal });
  const mark: ReceiverMark = { ...identity, shared };
  const since = new Date(clock.now()).toISOString();
  const text = `${JSON.stringify({ ...mark, since }, null, 2)}\n`;
  try {
    await archive.storage.put(MARK_PATH, Buffer.from(text), { signal });
    return mark;
  } catch (error) {
    if (!isHoldfastError(error, "STORAGE_EXISTS")) throw error;
  }
  // Another one was first, a moment ago.
  const first = await readMark(archive, signal);
  if (first !== undefined) requireSameCluster(archive, first, identity);
  return { ...mark, shared: shared || first?.shared === true };
}

/** What others left; undefined when all that is there may be our own. */
function archivedByOthers(objects: readonly ListedObject[]): string | undefined {
  const backups = new Set<string>();
  const ours = new Set<string>();
  let segments = 0;
  for (const { path } of objects) {
    const name = readObjectName(path);
    if (name.kind === "wal") segments += 1;
    else if (name.kind === "meta") ours.add(name.backupId);
    else if (name.kind !== "foreign") backups.add(name.backupId);
  }
  if (segments > 0) return `WAL (${segments} ${segments === 1 ? "object" : "objects"})`;
  // Each backup of ours has claimed its name there.
  const foreign = [...backups].find((id) => !ours.has(id));
  return foreign === undefined ? undefined : `the base backup ${foreign}`;
}
