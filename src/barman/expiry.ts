// What a retention policy lets go of in an archive: the backups that are no longer wanted, and the WAL that none of the
// others needs (docs/formats/barman.md#retention). A plan, not a deed: nothing here deletes.

import { branchesOf, liveBranches } from "./branches.ts";
import type { Catalogue } from "./catalogue.ts";
import type { CatalogueBackup } from "./catalogue-backup.ts";
import { isReleasable, walHolders } from "./needed-wal.ts";
import { readObjectName } from "./layout.ts";
import { judgeBackups, windowStart, type Judgement, type RetentionPolicy } from "./retention.ts";
import type { ListedObject } from "./wal-listing.ts";
import { segmentNumber } from "./wal-name.ts";
import { millisecondsOf } from "./zoned-time.ts";

export interface ExpiryPlan {
  /** By the id of the backup. */
  readonly judged: ReadonlyMap<string, Judgement>;
  /** Why nothing may be deleted, whatever was judged; undefined when it may. */
  readonly blocked: string | undefined;
  /** The first segment that each backup which stays needs, by its id. */
  readonly firstWal: ReadonlyMap<string, string>;
  /**
   * Segments, partial ones and labels that no backup which stays needs, and what else lies there under their names. In
   * the order of timelines and positions; none when deletion is blocked.
   */
  readonly releasable: readonly ListedObject[];
}

/**
 * Plans what `policy` lets go of at `now`, in milliseconds since 1970. `stays` are backups that could not be deleted,
 * whatever the policy says: their WAL is needed.
 */
export function planExpiry(options: {
  readonly catalogue: Catalogue;
  readonly policy: RetentionPolicy;
  readonly now: number;
  readonly minimum?: number;
  readonly stays?: ReadonlySet<string>;
}): ExpiryPlan {
  const { catalogue, policy, now, minimum = 0, stays } = options;
  const branches = liveBranches(catalogue, windowStart(policy, now)).filter(
    // Where no backup leads, there is nothing to keep one for; of unknown descent, all may.
    (timeline) =>
      catalogue.timelines.get(timeline) === undefined ||
      catalogue.backups.some(
        (backup) => isWhole(backup) && branchesOf(backup, [timeline], catalogue).size > 0,
      ),
  );
  const readable = catalogue.backups.flatMap((backup) => {
    const { id, info, keep, parent } = backup;
    return info ? [{ id, info, keep, parent, backup }] : [];
  });
  const judged = judgeBackups({
    backups: readable.map(({ id, info, keep, parent, backup }) => ({
      id,
      isDone: info.status === "DONE",
      endTime: info.endTime === null ? undefined : millisecondsOf(info.endTime),
      keep,
      isSound: isWhole(backup),
      parent,
      branches: info.status === "DONE" ? branchesOf(backup, branches, catalogue) : undefined,
    })),
    policy,
    now,
    minimum,
    branches,
  });
  for (const { id, info } of readable) {
    // Whoever deletes what describes a snapshot of disks leaves the snapshot itself behind, to be paid for ever.
    const isStuck = stays?.has(id) || info.snapshotsInfo !== null;
    if (isStuck && judged.get(id)!.verdict === "obsolete")
      judged.set(id, { verdict: "extra", wal: "all" });
  }
  const firstWal = readable.flatMap(({ id, info }) =>
    judged.get(id)!.wal === "none" ? [] : [[id, info.beginWal!] as const],
  );
  const blocked = whyBlocked(catalogue);
  const releasable =
    blocked === undefined ? releasableWal(catalogue, walHolders(readable, judged)) : [];
  return { judged, blocked, firstWal: new Map(firstWal), releasable };
}

/** An increment is whole as it is; that it has to be combined first is no flaw here. */
function isWhole({ state, flaws, parent }: CatalogueBackup): boolean {
  return state === "done" && (flaws.length === 0 || parent !== undefined);
}

function whyBlocked({ readOnly, backups, problems }: Catalogue): string | undefined {
  if (readOnly) return "a backup.info has fields of a program that is not known";
  const unreadable = backups.find(({ state }) => state === "unreadable");
  if (unreadable)
    return `nobody can say what backup ${unreadable.id} needs: ${unreadable.flaws[0]}`;
  return problems[0]?.message;
}

function releasableWal(
  { wal, timelines, segmentSize, orphans }: Catalogue,
  holders: ReturnType<typeof walHolders>,
): ListedObject[] {
  const counted = [...wal].flatMap(([timeline, { segments, partials, labels }]) =>
    [...segments, ...partials, ...labels].map(
      ([segment, object]) => [timeline, segment, object] as const,
    ),
  );
  // What does not count as a segment is litter once the segment itself is not needed.
  const uncounted = orphans.flatMap((object) => {
    const name = readObjectName(object.path);
    if (object.why === "foreign" || name.kind !== "wal" || name.wal.kind === "history") return [];
    return [[name.wal.timeline, segmentNumber(name.wal.name, segmentSize), object] as const];
  });
  return [...counted, ...uncounted]
    .filter(([timeline, segment]) =>
      isReleasable({ holders, timelines, segmentSize, timeline, segment }),
    )
    .toSorted(([timelineA, a], [timelineB, b]) => timelineA - timelineB || a - b)
    .map(([, , object]) => object);
}
