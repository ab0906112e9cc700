// A snapshot as --json tells it: the members of its file, in their order, and its id; and that another one took its place.

import type { Id } from "../base/bytes.ts";
import type { FoundSnapshot } from "../repository/snapshots.ts";
import { snapshotMembers } from "../restic/snapshot.ts";
import { shortId } from "./format.ts";

/** The members that `snapshots`, `ls` and `forget` print of a snapshot. */
export function snapshotMessage({ id, snapshot }: FoundSnapshot): Record<string, unknown> {
  return { ...snapshotMembers(snapshot), id, short_id: shortId(id) };
}

/** What `tag`, `rewrite` and `repair snapshots` print of a snapshot that has another one in its place. */
export function changedMessage(old: Id, fresh: Id): Record<string, unknown> {
  return { message_type: "changed", old_snapshot_id: old, new_snapshot_id: fresh };
}
