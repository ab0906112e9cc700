// Snapshots that belong together: restic's --group-by.

import { HoldfastError } from "../base/errors.ts";

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
