// The timelines on which a policy's moments lie, and which backups lead there (docs/formats/barman.md#retention). After a
// recovery to an earlier moment the newest backups may be of a branch that was left behind: nothing of what the server writes
// now can be recovered with them.

import type { Catalogue } from "./catalogue.ts";
import type { CatalogueBackup } from "./catalogue-backup.ts";
import { pathFrom } from "./recovery-wal.ts";
import { millisecondsOf } from "./zoned-time.ts";

/** Archivers of a server that was left behind may still have been at work. */
const MEANWHILE = 86_400_000;

/**
 * The timeline that is written now, and those of which WAL was stored since that moment, in milliseconds since 1970. Where a
 * storage tells no times, the backups do, and the newest timeline is the one that is written.
 */
export function liveBranches({ wal, backups }: Catalogue, since: number | undefined): number[] {
  const withWal = [...wal.values()].filter(
    ({ segments, partials }) => segments.size + partials.size > 0,
  );
  const newest = Math.max(...withWal.map(({ timeline }) => timeline));
  const ends = new Map<number, number>();
  for (const { info } of backups) {
    if (info?.status !== "DONE" || info.endTime === null) continue;
    ends.set(info.timeline!, Math.max(ends.get(info.timeline!) ?? 0, millisecondsOf(info.endTime)));
  }
  const last = withWal.map(({ timeline, segments, partials }) => {
    let time = 0;
    for (const object of [...segments.values(), ...partials.values()])
      time = Math.max(time, object.time);
    if (time === 0) time = timeline === newest ? Infinity : (ends.get(timeline) ?? 0);
    return { timeline, time };
  });
  const recent = Math.max(...last.map(({ time }) => time)) - MEANWHILE;
  const now = last.filter(({ time }) => time >= recent).map(({ timeline }) => timeline);
  // A server that has been idle for longer than the window is still the one to recover.
  const written = Math.max(...now);
  return last
    .filter(({ time, timeline }) => timeline === written || (since !== undefined && time >= since))
    .map(({ timeline }) => timeline);
}

/** Those of `branches` that a recovery from the backup, which is done, can follow. */
export function branchesOf(
  backup: CatalogueBackup,
  branches: readonly number[],
  { timelines }: Catalogue,
): Set<number> {
  const own = backup.info!.timeline!;
  return new Set(
    branches.filter((timeline) => {
      const path = timelines.get(timeline);
      return path === undefined ? timeline === own : pathFrom(backup, path) !== undefined;
    }),
  );
}
