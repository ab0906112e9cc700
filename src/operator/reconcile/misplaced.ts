// A mover that was to run where its volume is held, and whose volume has moved: a Job keeps the node that it was made for, so that
// after the loss of a node its mover would wait for that node alone.
//
// Must never: end a mover that was given a node. It may be at work.

import type { Job } from "../cluster/kube-object.ts";
import type { RunState } from "../mover/run-state.ts";
import { LABEL } from "../names.ts";
import { chooseAffinity } from "../volumes/affinity.ts";
import type { Owner, ReconcileContext } from "./reconcile-context.ts";

/** True: no node is found for the mover, and a Job made now would look elsewhere. CLUSTER_*. */
export async function isMisplaced(
  context: ReconcileContext,
  { metadata, spec }: Owner,
  run: Extract<RunState, { kind: "running" }>,
): Promise<boolean> {
  const { job, problem, pods } = run;
  if (problem?.reason !== "Unschedulable" || spec.restic?.moverAffinity !== undefined) return false;
  if (pods.some((pod) => pod.spec.nodeName !== undefined && pod.status?.phase !== "Failed")) {
    return false;
  }
  const { nodeSelector } = job.spec.template.spec;
  // One of VolSync's is its own.
  if (nodeSelector === undefined || job.metadata.labels?.[LABEL.run] === undefined) return false;
  const { namespace } = metadata;
  const now = await chooseAffinity(context, { namespace, claims: claimsIn(job) });
  const key = "kubernetes.io/hostname";
  return now.nodeSelector?.[key] !== nodeSelector[key];
}

/** In the order of their weight, as the Job was made; the cache follows the mover. */
function claimsIn({ spec }: Job): string[] {
  return (spec.template.spec.volumes ?? []).flatMap(({ name, persistentVolumeClaim }) => {
    if (name === "cache" || persistentVolumeClaim === undefined) return [];
    return [persistentVolumeClaim.claimName];
  });
}
