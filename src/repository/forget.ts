// `forget`: first the whole plan, which refuses to empty a group, then the removal. Only snapshot files go; what they
// alone refer to is prune's. Whoever removes holds an exclusive lock from before the plan was made.

import { mapLimit } from "../base/concurrency.ts";
import { HoldfastError, isHoldfastError } from "../base/errors.ts";
import type { Id } from "../base/bytes.ts";
import { applyPolicy, isEmptyPolicy } from "./keep-policy.ts";
import type { KeepContext, KeepDecision, KeepPolicy } from "./keep-policy.ts";
import type { Repository } from "./repository.ts";
import { groupSnapshots } from "./snapshot-groups.ts";
import type { GroupBy, SnapshotGroup } from "./snapshot-groups.ts";
import type { FoundSnapshot } from "./snapshots.ts";

/** What becomes of the snapshots of one group. */
export interface ForgetGroup extends SnapshotGroup, KeepDecision<FoundSnapshot> {}

export interface ForgetPlanOptions extends KeepContext {
  by: GroupBy;
  policy: KeepPolicy;
}

/**
 * Decides about every snapshot, group by group. Throws SNAPSHOT_LAST when a rule was given that would keep nothing of a
 * group; without any rule, everything goes.
 */
export function planForget(
  snapshots: readonly FoundSnapshot[],
  { by, policy, ...context }: ForgetPlanOptions,
): ForgetGroup[] {
  const groups = groupSnapshots(snapshots, by).map((group) => ({
    ...group,
    ...applyPolicy(group.snapshots, policy, context),
  }));
  const emptied = groups.find(({ keep }) => keep.length === 0);
  if (emptied !== undefined && !isEmptyPolicy(policy)) {
    throw new HoldfastError(
      "SNAPSHOT_LAST",
      `refusing to delete last snapshot of snapshot group "${groupName(emptied)}"`,
      {
        hint: "Give a rule that keeps one, or name the snapshots to remove by their ids.",
      },
    );
  }
  return groups;
}

/** "host web1, path [/srv /etc], tags [nightly]", in restic's words. */
function groupName({ hostname, paths = [], tags = [] }: SnapshotGroup): string {
  const parts: string[] = [];
  if (hostname !== "") parts.push(`host ${hostname}`);
  if (paths.length > 0) parts.push(`path [${paths.join(" ")}]`);
  if (tags.length > 0) parts.push(`tags [${tags.join(" ")}]`);
  return parts.join(", ");
}

export interface RemovalEvents {
  onRemoved?(id: Id): void;
  /** One could not be removed; the others go all the same. */
  onFailed?(id: Id, error: HoldfastError): void;
}

/** Removes snapshot files; those that are gone already count as removed. How many could not be. */
export async function removeSnapshots(
  repository: Repository,
  ids: readonly Id[],
  { onRemoved, onFailed, signal }: RemovalEvents & { signal?: AbortSignal | undefined },
): Promise<number> {
  let failed = 0;
  await mapLimit(ids, repository.storage.traits.connections, async (id) => {
    try {
      await repository.remove("snapshot", id, signal);
    } catch (error) {
      if (signal?.aborted || !isHoldfastError(error)) throw error;
      failed++;
      onFailed?.(id, error);
      return;
    }
    onRemoved?.(id);
  });
  return failed;
}
