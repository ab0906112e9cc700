// A last look before snapshots go: has the newest one become suspiciously small? A source that lost its mount, or files
// that somebody deleted, look like any other backup; the snapshots from before are all that is left of them then, and a
// keep rule would thin them out as usual. Reads nothing but the summaries that snapshots carry.

import { HoldfastError } from "../base/errors.ts";
import { parseTime } from "../restic/go-time.ts";
import type { SnapshotSummary } from "../restic/snapshot.ts";
import { groupSnapshots } from "./snapshot-groups.ts";
import type { FoundSnapshot } from "./snapshots.ts";

/** Less than this part of the files or bytes that were there before is suspicious. */
const SUSPICIOUS_PART = 0.5;

/** Of fewer than this, half may go without meaning anything. All of them may not. */
const FILES_MIN = 10;
const BYTES_MIN = 2 ** 20;

/** Besides the one before, snapshots this much older than the newest count: thinning once a day sees what an hour lost. */
const LOOK_BACK_NANOSECONDS = 25n * 3_600_000_000_000n;

export interface Shrink {
  readonly newest: FoundSnapshot;
  /** The larger one before it. */
  readonly earlier: FoundSnapshot;
  readonly what: "files" | "bytes";
}

/**
 * The first source whose newest snapshot shrank, among snapshots in any order. A source is a host with the paths that it
 * backs up. Snapshots without a summary, which restic wrote before 0.17, cannot be compared.
 */
export function findShrink(snapshots: readonly FoundSnapshot[]): Shrink | undefined {
  for (const source of groupSnapshots(snapshots, { host: true, paths: true, tags: false })) {
    const timed = source.snapshots
      .map((found) => ({ found, time: parseTime(found.snapshot.time) }))
      .sort((a, b) => (a.time > b.time ? -1 : a.time < b.time ? 1 : 0));
    const [newest, ...earlier] = timed;
    if (newest === undefined) continue;
    for (const [place, { found, time }] of earlier.entries()) {
      if (place > 0 && newest.time - time > LOOK_BACK_NANOSECONDS) break;
      const what = shrankIn(newest.found.snapshot.summary, found.snapshot.summary);
      if (what !== undefined) return { newest: newest.found, earlier: found, what };
    }
  }
  return undefined;
}

/** Throws SNAPSHOT_SHRUNK, which names both snapshots, where one shrank. */
export function refuseShrink(snapshots: readonly FoundSnapshot[]): void {
  const shrink = findShrink(snapshots);
  if (shrink === undefined) return;
  const message = `refusing to remove snapshots: ${describeShrink(shrink)}`;
  throw new HoldfastError("SNAPSHOT_SHRUNK", message, {
    hint: "Look at what is gone with `diff`. If it may be gone, repeat this with --allow-shrink.",
  });
}

/** In words: what shrank, from what. */
export function describeShrink({ newest, earlier }: Shrink): string {
  const { hostname, paths } = newest.snapshot;
  const source = `[${paths.join(" ")}] on ${hostname}`;
  return `the newest of ${source}, ${sizeOf(newest)}, is much smaller than ${sizeOf(earlier)}`;
}

function shrankIn(
  now: SnapshotSummary | null,
  then: SnapshotSummary | null,
): Shrink["what"] | undefined {
  if (now === null || then === null) return undefined;
  if (shrank(now.totalFilesProcessed, then.totalFilesProcessed, FILES_MIN)) return "files";
  if (shrank(now.totalBytesProcessed, then.totalBytesProcessed, BYTES_MIN)) return "bytes";
  return undefined;
}

function shrank(now: number, then: number, least: number): boolean {
  if (now === 0) return then > 0;
  return then >= least && now < then * SUSPICIOUS_PART;
}

function sizeOf({ id, snapshot: { time, summary } }: FoundSnapshot): string {
  const { totalFilesProcessed: files = 0, totalBytesProcessed: bytes = 0 } = summary ?? {};
  return `${id.slice(0, 8)} of ${time} (${files} files, ${bytes} bytes)`;
}
