// A snapshot as --json tells it: the members of its file, in their order, and its id.

import type { FoundSnapshot } from "../repository/snapshots.ts";
import { snapshotMembers } from "../restic/snapshot.ts";
import { shortId } from "./format.ts";

/** The members that `snapshots`, `ls` and `forget` print of a snapshot. */
export function snapshotMessage({ id, snapshot }: FoundSnapshot): Record<string, unknown> {
  return { ...snapshotMembers(snapshot), id, short_id: shortId(id) };
}
