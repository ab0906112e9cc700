// Whether the log of an archive ends at a segment that is not there, or only has a hole. To PostgreSQL both look alike: it ends
// the recovery and opens the database, and what comes behind the hole is lost for it. So a hole is never told as an end.

import { readObjectName } from "../barman/layout.ts";
import { parseHistory, type History } from "../barman/history.ts";
import { formatLsn } from "../barman/lsn.ts";
import { segmentNumber, type SegmentName } from "../barman/wal-name.ts";
import type { Archive } from "./archive.ts";
import { fetchWal } from "./wal-fetch.ts";
import { isHoldfastError } from "../base/errors.ts";

/** What shows that there was more of the log than the archive has. */
export interface LaterWal {
  /** For people. */
  readonly proof: string;
  /** When it was stored, in milliseconds since 1970; undefined where that is not known. */
  readonly time: number | undefined;
}

/**
 * What shows that the segment `name`, which the archive does not hold whole, existed: a later segment of its timeline, or a
 * timeline that left it further on. Undefined when nothing does. One listing of what comes behind it.
 */
export async function findLaterWal(
  archive: Archive,
  options: {
    readonly name: SegmentName;
    readonly segmentSize: number;
    readonly signal?: AbortSignal | undefined;
  },
): Promise<LaterWal | undefined> {
  const { name, segmentSize, signal } = options;
  const after = `wals/${name.name.slice(0, 16)}/${name.name}~`;
  const timelines = new Map<number, number | undefined>();
  for await (const { key, modified } of archive.storage.list("wals", { signal, after })) {
    const object = key > after ? readObjectName(key) : undefined;
    if (object?.kind !== "wal") continue;
    const { wal } = object;
    if (wal.kind === "history") timelines.set(wal.timeline, modified);
    else if (wal.kind !== "label" && wal.timeline === name.timeline)
      return { proof: `${wal.name} is in the archive`, time: modified };
  }
  const segment = segmentNumber(name.name, segmentSize);
  for (const [timeline, time] of timelines) {
    const history = await readHistory(archive, timeline, signal);
    const fork = history?.forks.find((each) => each.timeline === name.timeline);
    // The segment in which a timeline left may be on that timeline alone.
    if (fork === undefined || Number(fork.at / BigInt(segmentSize)) <= segment) continue;
    const proof = `timeline ${timeline} left timeline ${name.timeline} behind it, at ${formatLsn(fork.at)}`;
    return { proof, time };
  }
  return undefined;
}

/** Undefined for one that says nothing: it proves nothing. */
async function readHistory(
  archive: Archive,
  timeline: number,
  signal: AbortSignal | undefined,
): Promise<History | undefined> {
  try {
    const name = { kind: "history", timeline, compression: null } as const;
    const found = await fetchWal({ archive, name, signal });
    return found && parseHistory({ timeline, content: found.content, source: found.object });
  } catch (error) {
    if (isHoldfastError(error, "WAL_INVALID", "BARMAN_HISTORY_DAMAGED")) return undefined;
    throw error;
  }
}
