// Snapshots that belong together: restic's --group-by. A backup takes its parent from the group, forget applies its rules
// to each group by itself, and listings print one table for each.

import { HoldfastError } from "../base/errors.ts";
import type { FoundSnapshot } from "./snapshots.ts";

export interface GroupBy {
  host: boolean;
  paths: boolean;
  tags: boolean;
}

/** restic's default for backup, forget and snapshots. */
export const GROUP_BY_DEFAULT: GroupBy = { host: true, paths: true, tags: false };

/** The value of --group-by: any of host, paths and tags, separated by commas; "" makes one group of all. */
export function parseGroupBy(text: string): GroupBy {
  const by = { host: false, paths: false, tags: false };
  for (const key of text.split(",")) {
    if (key === "host" || key === "hosts") by.host = true;
    else if (key === "path" || key === "paths") by.paths = true;
    else if (key === "tag" || key === "tags") by.tags = true;
    else if (key !== "") {
      throw new HoldfastError("USAGE", `unknown grouping ${JSON.stringify(key)}`, {
        hint: "--group-by takes host, paths and tags, separated by commas.",
      });
    }
  }
  return by;
}

/** A text that is equal for snapshots of one group. */
export function groupKey(
  by: GroupBy,
  of: { hostname: string; paths: readonly string[]; tags: readonly string[] },
): string {
  return JSON.stringify([
    by.host ? of.hostname : null,
    by.paths ? [...of.paths].sort() : null,
    by.tags ? [...of.tags].sort() : null,
  ]);
}

/** Snapshots of one group, and what they have in common: "" or undefined for what they were not grouped by. */
export interface SnapshotGroup {
  readonly hostname: string;
  readonly paths: readonly string[] | undefined;
  /** Undefined for snapshots without tags as well. */
  readonly tags: readonly string[] | undefined;
  /** In the order in which they were given. */
  readonly snapshots: readonly FoundSnapshot[];
}

/** Divides snapshots into groups, which come in the order of their first snapshots. */
export function groupSnapshots(snapshots: readonly FoundSnapshot[], by: GroupBy): SnapshotGroup[] {
  const groups = Map.groupBy(
    snapshots.map((found) => inOrder(found, by)),
    ({ snapshot }) => groupKey(by, snapshot),
  );
  return [...groups.values()].map((group) => {
    const { hostname, paths, tags } = group[0]!.snapshot;
    return {
      hostname: by.host ? hostname : "",
      paths: by.paths ? paths : undefined,
      tags: by.tags && tags.length > 0 ? tags : undefined,
      snapshots: group,
    };
  });
}

/** restic lists paths, and tags that it groups by, in the order of their bytes. */
function inOrder({ id, snapshot }: FoundSnapshot, by: GroupBy): FoundSnapshot {
  const sorted = (texts: readonly string[]): string[] =>
    texts.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  const tags = by.tags ? sorted(snapshot.tags) : snapshot.tags;
  return { id, snapshot: { ...snapshot, paths: sorted(snapshot.paths), tags } };
}
