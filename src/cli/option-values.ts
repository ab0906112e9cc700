// Values of options that several commands share.

import type { SnapshotFilter } from "../repository/snapshots.ts";

/** Collects the values of an option that may be repeated. */
export function collect(value: string, list: string[]): string[] {
  return [...list, value];
}

/** Which snapshots --host, --tag and --path choose. */
export function snapshotFilter(flags: {
  host?: readonly string[];
  tag?: readonly string[];
  path?: readonly string[];
}): SnapshotFilter {
  return {
    hosts: flags.host ?? [],
    tags: (flags.tag ?? []).map((tags) => tags.split(",").map((tag) => tag.trim())),
    paths: flags.path ?? [],
  };
}
