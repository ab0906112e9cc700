// Writing the status of a resource: the whole of it, and only over the version it was worked out from. Whoever wrote in between makes
// the write fail, and everything is decided anew from what is there then; nothing is ever written from memory.

import type { Kind } from "../cluster/kinds.ts";
import type { OperatorContext } from "../context.ts";
import { isSameStatus, knownProblem, type StatusStep } from "../machine/next-status.ts";
import type { SyncStatus } from "../machine/sync-resource.ts";
import { recordMovers } from "../mover/dead-locks.ts";
import { EXTERNAL } from "../names.ts";
import type { Owner, RolePart } from "./reconcile-context.ts";

/** What a status is worked out from: the resource, the time, and the pods of movers that are to be remembered. */
export function stepOf<T extends Owner>(
  context: Pick<OperatorContext, "clock" | "stores">,
  { role }: Pick<RolePart<T>, "role">,
  resource: T,
): StatusStep & { readonly resource: T } {
  const movers = recordMovers(context, resource);
  return { resource, role, now: context.clock.now(), movers };
}

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
  const failures = (owner: T): string | undefined => owner.status?.external?.[EXTERNAL.failures];
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
