// Writing the status of a resource: the whole of it, and only over the version it was worked out from. Whoever wrote in between makes
// the write fail, and everything is decided anew from what is there then; nothing is ever written from memory.

import type { Kind } from "../cluster/kinds.ts";
import type { OperatorContext } from "../context.ts";
import { isSameStatus, knownProblem } from "../machine/next-status.ts";
import type { SyncStatus } from "../machine/sync-resource.ts";
import type { Owner } from "./reconcile-context.ts";

/** Writes `status`, unless it says what is there already. The resource as it is then. CLUSTER_CONFLICT, CLUSTER_*. */
export async function writeStatus<T extends Owner>(
  { api, events, signal }: Pick<OperatorContext, "api" | "events" | "signal">,
  kind: Kind<T>,
  owner: T,
  status: SyncStatus,
): Promise<T> {
  if (isSameStatus(owner.status, status)) return owner;
  const written = await api.replaceStatus(kind, { ...owner, status } as T, { signal });
  tellProblem({ events }, owner, written);
  return written;
}

/** A Warning when a problem came or became another one. Its count comes from the recorder. */
function tellProblem<T extends Owner>(
  { events }: Pick<OperatorContext, "events">,
  before: T,
  after: T,
): void {
  const problem = knownProblem(after);
  if (problem === undefined) return;
  const known = knownProblem(before);
  const failures = (owner: T): string | undefined =>
    owner.status?.external?.["holdfast.dev/failures"];
  const isSame = known?.reason === problem.reason && known.message === problem.message;
  if (isSame && failures(before) === failures(after)) return;
  events.record({
    about: after,
    type: "Warning",
    reason: problem.reason,
    action: "Synchronizing",
    message: problem.message,
  });
}
