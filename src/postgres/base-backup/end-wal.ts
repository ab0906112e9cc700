// Waits until the archive has all WAL that a backup cannot be restored without. Who brings it is not our business here: the
// server's archiver, a receiver of ours or of others. Only what a listing of the archive shows counts.

import { readObjectName } from "../../barman/layout.ts";
import { listWal, holes, type ListedObject } from "../../barman/wal-listing.ts";
import { segmentName } from "../../barman/wal-name.ts";
import { HoldfastError } from "../../base/errors.ts";
import type { Clock } from "../../base/clock.ts";
import type { WalName } from "../../barman/wal-name.ts";
import type { Archive } from "../archive.ts";

export interface EndWalOptions {
  readonly archive: Archive;
  readonly timeline: number;
  /** Numbers of the first and the last segment that are needed. */
  readonly first: number;
  readonly last: number;
  readonly segmentSize: number;
  readonly clock: Clock;
  /** Milliseconds to wait at most. */
  readonly patience: number;
  readonly signal: AbortSignal;
  /** Told whenever less is missing: the first missing one, and how many. */
  readonly onWaiting: (missing: string, count: number) => void;
  /** Asked once, after a while: make the server finish the segment that it writes. */
  readonly nudge: () => Promise<void>;
  /** Why nothing may come, for the error: what the server's archiver says of itself. */
  readonly explain: () => Promise<string>;
}

const POLL_FIRST_MS = 250;
const POLL_MAX_MS = 5000;
const NUDGE_MS = 3000;

/** Resolves when all is there; throws WAL_MISSING, naming the first that is not, when it does not come in time. */
export async function waitForWal(options: EndWalOptions): Promise<void> {
  const { clock, patience, signal, timeline, segmentSize, archive, onWaiting, nudge } = options;
  const began = clock.monotonic();
  let [pause, told] = [POLL_FIRST_MS, Number.POSITIVE_INFINITY];
  let isNudged = false;
  for (;;) {
    const missing = await missingSegments(options);
    const [first] = missing;
    if (first === undefined) return;
    const name = segmentName(timeline, first.first, segmentSize);
    const count = missing.reduce((sum, hole) => sum + hole.last - hole.first + 1, 0);
    if (count < told) onWaiting(name, count);
    told = Math.min(told, count);
    const waited = clock.monotonic() - began;
    if (waited >= patience) {
      const reason = await options.explain();
      throw new HoldfastError(
        "WAL_MISSING",
        `WAL that the backup needs did not come into ${archive.location} within ${Math.round(patience / 1000)} s: ` +
          `${count === 1 ? name : `${count} segments from ${name} on`}${reason === "" ? "" : ` (${reason})`}`,
        {
          hint: "See that archive_command or a receiver stores WAL in this archive, then make the backup again.",
          retryable: true,
        },
      );
    }
    if (!isNudged && waited >= NUDGE_MS) {
      isNudged = true;
      await nudge();
    }
    await clock.sleep(Math.min(pause, Math.max(0, patience - waited)), signal);
    pause = Math.min(POLL_MAX_MS, pause * 1.5);
  }
}

async function missingSegments({
  archive,
  timeline,
  first,
  last,
  segmentSize,
  signal,
}: EndWalOptions): Promise<{ first: number; last: number }[]> {
  const folders = new Set<string>();
  for (let segment = first; segment <= last; segment++)
    folders.add(segmentName(timeline, segment, segmentSize).slice(0, 16));
  const found: { object: ListedObject; wal: WalName }[] = [];
  for (const folder of folders) {
    for await (const { key, size } of archive.storage.list(`wals/${folder}`, { signal })) {
      const name = readObjectName(key);
      if (name.kind === "wal") found.push({ object: { path: key, size, time: 0 }, wal: name.wal });
    }
  }
  const { timelines } = listWal(found, segmentSize);
  return holes(timelines.get(timeline)?.ranges ?? [], first, last);
}
