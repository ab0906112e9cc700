// Snapshots that change: their files cannot, so a changed snapshot is a new file, and the old one goes once that is durable.
// The new one remembers the first snapshot of which it is a changed copy.

import type { Id } from "../base/bytes.ts";
import { encodeSnapshot } from "../restic/snapshot.ts";
import type { Snapshot } from "../restic/snapshot.ts";
import type { Repository } from "./repository.ts";
import type { FoundSnapshot } from "./snapshots.ts";

/**
 * Stores `changed` in place of the snapshot `old`, for which the caller holds an exclusive lock; the new id. When it
 * fails between the two steps, both are there.
 */
export async function replaceSnapshot(
  repository: Repository,
  old: FoundSnapshot,
  changed: Snapshot,
  signal?: AbortSignal,
): Promise<Id> {
  const original = changed.original ?? old.id;
  const id = await repository.save("snapshot", encodeSnapshot({ ...changed, original }), signal);
  await repository.remove("snapshot", old.id, signal);
  return id;
}

export interface TagChange {
  /** These instead of all others; undefined to keep what is there. */
  set: readonly string[] | undefined;
  add: readonly string[];
  remove: readonly string[];
}

/** The tags after a change, undefined where it changes nothing. Setting always counts as a change. */
export function changeTags(
  tags: readonly string[],
  { set, add, remove }: TagChange,
): string[] | undefined {
  if (set !== undefined) return [...set];
  const changed = [...tags];
  let differs = false;
  for (const tag of add) {
    if (changed.includes(tag)) continue;
    changed.push(tag);
    differs = true;
  }
  for (const tag of remove) {
    const place = changed.indexOf(tag);
    if (place < 0) continue;
    // As in restic, the last one takes the place: the order shows in tables.
    const last = changed.pop()!;
    if (place < changed.length) changed[place] = last;
    differs = true;
  }
  return differs ? changed : undefined;
}
