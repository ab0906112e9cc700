// Snapshots that belong together: restic's --group-by.

export interface GroupBy {
  host: boolean;
  paths: boolean;
  tags: boolean;
}

/** restic's default for backup, forget and snapshots. */
export const GROUP_BY_DEFAULT: GroupBy = { host: true, paths: true, tags: false };

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
