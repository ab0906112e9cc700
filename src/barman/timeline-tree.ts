// The timelines of an archive as a tree, for people: where each one leaves its parent, and what the archive has of it.

import type { Catalogue } from "./catalogue.ts";
import type { Lsn } from "./lsn.ts";

export interface TimelineNode {
  readonly timeline: number;
  /** The timeline that it came out of; undefined for the first one, and where the archive does not say. */
  readonly parent: number | undefined;
  /** Where it left its parent. */
  readonly forkLsn: Lsn | undefined;
  /** When its history was stored, in milliseconds since 1970. */
  readonly begun: number | undefined;
  /** False when the archive does not say where it comes from. */
  readonly isKnown: boolean;
  /** How many timelines it stands below in the tree. */
  readonly depth: number;
}

/** The timelines with WAL, a backup or a history, and their ancestors; each below its parent, in ascending order. */
export function timelineTree(catalogue: Catalogue): TimelineNode[] {
  const { wal, backups, timelines, historyTimes } = catalogue;
  const all = new Set([...wal.keys(), ...historyTimes.keys()]);
  for (const { info } of backups) if (info?.timeline) all.add(info.timeline);
  // A set hands out what is put in while it is gone through.
  for (const timeline of all) {
    const parent = timelines.forkOf(timeline)?.timeline;
    if (parent !== undefined) all.add(parent);
  }
  const nodes = [...all]
    .toSorted((a, b) => a - b)
    .map((timeline) => {
      const fork = timelines.forkOf(timeline);
      return {
        timeline,
        parent: fork?.timeline,
        forkLsn: fork?.at,
        begun: historyTimes.get(timeline),
        isKnown: fork !== undefined || timeline === 1,
      };
    });
  const ordered: TimelineNode[] = [];
  // Children have larger numbers than their parents, so there is an end. A stack, as chains may be long.
  const stack = nodes
    .filter(({ parent }) => parent === undefined)
    .map((node) => ({ ...node, depth: 0 }))
    .toReversed();
  const children = Map.groupBy(nodes, ({ parent }) => parent);
  for (let node = stack.pop(); node; node = stack.pop()) {
    ordered.push(node);
    const below = (children.get(node.timeline) ?? []).toReversed();
    for (const child of below) stack.push({ ...child, depth: node.depth + 1 });
  }
  return ordered;
}
