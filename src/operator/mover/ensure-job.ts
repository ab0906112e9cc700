// A mover's Job in the cluster: made once for an attempt, never changed while it runs (a pause is for the next one; its end gives a Job
// that was made without a pod its pod), and removed with its pods.

import { HoldfastError, isHoldfastError } from "../../base/errors.ts";
import type { Job } from "../cluster/kube-object.ts";
import { JOB } from "../cluster/kinds.ts";
import { isOwnedBy } from "../cluster/owner.ts";
import type { OperatorContext } from "../context.ts";
import { moverName } from "../names.ts";
import type { Role } from "../names.ts";
import type { MoverOwner } from "./owner.ts";

/**
 * The Job as it is in the cluster: `wanted`, made now, or the one that is there already, whatever it was made with. Of that one
 * only a `parallelism` of 0 follows, when it is to be 1. RESOURCE_INVALID when the name belongs to somebody else; CLUSTER_*.
 */
export async function ensureJob(
  context: Pick<OperatorContext, "api" | "stores" | "signal">,
  wanted: Job,
): Promise<Job> {
  const { api, stores, signal } = context;
  const { name, namespace } = wanted.metadata;
  let found = stores.jobs.get(namespace, name);
  if (found === undefined) {
    try {
      return await api.create(JOB, wanted, { signal });
    } catch (error) {
      if (!isHoldfastError(error, "CLUSTER_EXISTS")) throw error;
      found = await api.get(JOB, { namespace, name }, { signal });
      if (found === undefined) throw error;
    }
  }
  refuseForeign(found, wanted);
  const { parallelism } = wanted.spec;
  if (parallelism === 0 || found.spec.parallelism !== 0 || isFinished(found)) return found;
  const patch = { spec: { parallelism } };
  return await api.patch(JOB, { namespace, name }, patch, { type: "merge", signal });
}

/** Removes the Job and its pods; false when there is none. Only that of the resource, whoever made it. CLUSTER_*. */
export async function deleteJob(
  { api, stores, signal }: Pick<OperatorContext, "api" | "stores" | "signal">,
  owner: MoverOwner,
  role: Role,
): Promise<boolean> {
  const { namespace } = owner.metadata;
  const name = moverName(role, owner.metadata.name);
  const job =
    stores.jobs.get(namespace, name) ?? (await api.get(JOB, { namespace, name }, { signal }));
  if (job === undefined || !isOwnedBy(job, owner)) return false;
  const { uid } = job.metadata;
  return await api.delete(JOB, { namespace, name }, { uid, propagation: "Background", signal });
}

/** True when no more pods will be made. */
export function isFinished({ status }: Job): boolean {
  const conditions = status?.conditions ?? [];
  return conditions.some(
    ({ type, status: is }) => is === "True" && (type === "Complete" || type === "Failed"),
  );
}

function refuseForeign(found: Job, wanted: Job): void {
  const ours = wanted.metadata.ownerReferences?.[0]?.uid;
  const theirs = found.metadata.ownerReferences ?? [];
  if (ours !== undefined && theirs.some(({ uid }) => uid === ours)) return;
  const { name, namespace } = found.metadata;
  throw new HoldfastError("RESOURCE_INVALID", `Job ${namespace}/${name} belongs to somebody else`, {
    hint: "Remove it, or give the resource another name.",
  });
}
