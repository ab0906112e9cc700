// WAL for a recovery: as the archive holds it, but a hole in the log is never told as its end. To PostgreSQL both look alike, and
// it opens the database at either (docs/operations/wal.md#exit-statuses).

import { open } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "../base/clock.ts";
import { errnoOf, HoldfastError, isHoldfastError } from "../base/errors.ts";
import { LONG_HEADER_BYTES, requireSegmentHeader } from "../barman/wal-header.ts";
import { fetchWal, type FetchedWal, type FetchWalOptions } from "./wal-fetch.ts";
import { findLaterWal } from "./wal-gap.ts";

export interface RecoveryFetchOptions extends FetchWalOptions {
  /** Bytes of a segment of the server that recovers. */
  readonly segmentSize: number;
  /** The server's folder of WAL: it goes on with what it has there when the archive has nothing. */
  readonly walFolder: string;
  /** How long to wait for a segment that others overtook on their way to the archive, in milliseconds. */
  readonly patience: number;
  readonly clock: Clock;
  /** Told when waiting begins. */
  readonly onWait?: (why: string) => void;
}

/** Archivers send several segments at once, and not always in order: a hole as young as this may still be filled. */
const LATE_MS = 15 * 60_000;
const LOOK_MS = 2_000;

/**
 * As `fetchWal`. Throws WAL_MISSING where neither the archive nor the server has the whole segment, and the archive shows that
 * there was more of the log.
 */
export async function fetchForRecovery(
  options: RecoveryFetchOptions,
): Promise<FetchedWal | undefined> {
  const { archive, name, segmentSize, walFolder, clock, signal } = options;
  const since = clock.monotonic();
  for (let attempt = 1; ; attempt++) {
    const found = await fetchWal(options);
    if (name.kind !== "segment" || found?.partial === false) return found;
    const later = await findLaterWal(archive, { name, segmentSize, signal });
    if (later === undefined) return found;
    if (await isInPlace(walFolder, name.name, options.systemId)) return undefined;
    const why = `${archive.location} has ${found ? "only the beginning of" : "no"} ${name.name}, but ${later.proof}`;
    const isLate = later.time === undefined || clock.now() - later.time < LATE_MS;
    const left = options.patience - (clock.monotonic() - since);
    if (!isLate || left <= 0) throw missing(why);
    if (attempt === 1) options.onWait?.(why);
    await clock.sleep(Math.min(LOOK_MS, left), signal);
  }
}

/** True when the server has the segment itself. Files that it keeps for later use have names of segments too. */
async function isInPlace(
  folder: string,
  name: string,
  systemId: bigint | undefined,
): Promise<boolean> {
  const path = join(folder, name);
  try {
    const file = await open(path, "r");
    try {
      const start = Buffer.alloc(LONG_HEADER_BYTES);
      const { bytesRead } = await file.read(start, 0, start.length, 0);
      requireSegmentHeader(start.subarray(0, bytesRead), { name, source: path, systemId });
      return true;
    } finally {
      await file.close();
    }
  } catch (error) {
    if (errnoOf(error) === undefined && !isHoldfastError(error)) throw error;
    return false;
  }
}

function missing(why: string): HoldfastError {
  return new HoldfastError("WAL_MISSING", `the log has a hole: ${why}`, {
    hint: "Look for the segment on the old server (pg_wal) and push it; or recover to a target before it, or from a later backup.",
  });
}
