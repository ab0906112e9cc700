// Which pods use a claim. Movers of our own and of VolSync are no users of it: they come and go with their runs.

import type { PersistentVolumeClaim, Pod } from "../cluster/kube-object.ts";
import type { OperatorContext } from "../context.ts";
import { CREATED_BY, LABEL } from "../names.ts";

/** All pods that are not at their end and name the claim, movers too. */
export function holdersOf(
  { stores }: OperatorContext,
  { namespace, name }: { readonly namespace: string | undefined; readonly name: string },
): Pod[] {
  const pods = stores.pods.indexed("claim", `${namespace}/${name}`);
  return pods.filter(({ status }) => status?.phase !== "Succeeded" && status?.phase !== "Failed");
}

/** Pods of applications that mount the claim, or are about to. */
export function mountedBy(context: OperatorContext, claim: PersistentVolumeClaim): Pod[] {
  const { namespace, name } = claim.metadata;
  return holdersOf(context, { namespace, name }).filter((pod) => !isMover(pod));
}

export function isMover({ metadata }: Pod): boolean {
  return metadata.labels?.[LABEL.createdBy] === CREATED_BY;
}
