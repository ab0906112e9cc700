// Everything that a person wants to know of an archive, drawn from its catalogue: which cluster it is of, what depends
// on which backup, what is left over, and how much there is of everything.

import type { Catalogue } from "./catalogue.ts";
import { findDependents, type Dependents } from "./dependents.ts";
import { findLeftovers, type Leftover } from "./leftovers.ts";
import { timelineTree, type TimelineNode } from "./timeline-tree.ts";
import type { ListedObject, Orphan } from "./wal-listing.ts";

export interface Inventory {
  readonly catalogue: Catalogue;
  /** Of the newest backup that tells it. */
  readonly systemId: string | undefined;
  /** As the server tells it: 150018. */
  readonly version: number | undefined;
  readonly timelines: readonly TimelineNode[];
  readonly dependents: ReadonlyMap<string, Dependents>;
  readonly leftovers: readonly Leftover[];
  /** What is of no use and is never deleted, as nobody knows what it is for. */
  readonly others: readonly Orphan[];
  readonly totals: Totals;
}

/** Bytes as they are stored. */
export interface Totals {
  /** Backups that can be restored. */
  readonly restorable: number;
  readonly backups: number;
  readonly backupBytes: number;
  readonly segments: number;
  readonly walBytes: number;
  readonly leftoverObjects: number;
  readonly leftoverBytes: number;
}

/** Takes stock; `now` in milliseconds since 1970. */
export function takeInventory(catalogue: Catalogue, now: number): Inventory {
  const { backups, wal, orphans } = catalogue;
  const newest = backups.toReversed().map(({ info }) => info);
  const leftovers = findLeftovers(catalogue, { now });
  const others = orphans.filter(
    ({ why }) => why === "foreign" || why === "duplicate" || why === "truncated",
  );
  const lines = [...wal.values()];
  const left = [...others, ...leftovers.flatMap(({ objects }) => objects)];
  // What failed is counted as a backup: it lies in the folder of one.
  const ids = new Set(backups.map(({ id }) => id));
  const leftObjects = left.filter(({ path }) => !isOfBackup(path, ids));
  return {
    catalogue,
    systemId: newest.find((info) => info?.systemId)?.systemId ?? undefined,
    version: newest.find((info) => info?.version)?.version ?? undefined,
    timelines: timelineTree(catalogue),
    dependents: findDependents(catalogue),
    leftovers,
    others,
    totals: {
      restorable: backups.filter(({ flaws }) => flaws.length === 0).length,
      backups: backups.length,
      backupBytes: sizeOf(backups.flatMap(({ objects }) => objects)),
      segments: lines.reduce((sum, { segments }) => sum + segments.size, 0),
      walBytes: lines.reduce((sum, { bytes }) => sum + bytes, 0),
      leftoverObjects: leftObjects.length,
      leftoverBytes: sizeOf(leftObjects),
    },
  };
}

function isOfBackup(path: string, ids: ReadonlySet<string>): boolean {
  const [area, id = ""] = path.split("/");
  return (area === "base" || area === "meta") && ids.has(id);
}

function sizeOf(objects: readonly ListedObject[]): number {
  return objects.reduce((sum, { size }) => sum + size, 0);
}
