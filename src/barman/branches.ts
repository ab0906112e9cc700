// The timelines on which a policy's moments lie, and which backups lead there (docs/formats/barman.md#retention). After a
// recovery to an earlier moment the newest backups may be of a branch that was left behind: nothing of what the server writes
// now can be recovered with them.

import type { Catalogue } from "./catalogue.ts";
import type { CatalogueBackup } from "./catalogue-backup.ts";
import { pathFrom } from "./recovery-wal.ts";

/** Archivers of a server that was left behind may still have been at work. */
const MEANWHILE = 86_400_000;

/**
 * The timelines of which WAL was stored since that moment, in milliseconds since 1970; without one, that which is written
 * now. What has no time counts as new.
 */
export function liveBranches({ wal }: Catalogue, since: number | undefined): number[] {
  const last = [...wal.values()].flatMap(({ timeline, segments, partials }) => {
    let newest = -Infinity;
    for (const { time } of [...segments.values(), ...partials.values()])
      newest = Math.max(newest, time === 0 ? Infinity : time);
    return newest === -Infinity ? [] : [{ timeline, newest }];
  });
  const from = since ?? Math.max(...last.map(({ newest }) => newest)) - MEANWHILE;
  const found = last.filter(({ newest }) => newest >= from).map(({ timeline }) => timeline);
  return since === undefined ? found.toSorted((a, b) => a - b).slice(-1) : found;
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
