// The service account of movers: one for each resource, as VolSync has them, and adopted where VolSync made it. It has no role,
// because a mover asks nothing of the API server; what it is for is a cloud's workload identity, and pull secrets.

import { HoldfastError, isHoldfastError } from "../../base/errors.ts";
import { SERVICE_ACCOUNT } from "../cluster/kinds.ts";
import { controllerReference } from "../cluster/owner.ts";
import type { OperatorContext } from "../context.ts";
import { CREATED_BY, LABEL, moverName } from "../names.ts";
import type { Role } from "../names.ts";
import type { MoverOwner } from "./owner.ts";

/** The name of the account that movers of the resource run under; made if it is ours and missing. RESOURCE_INVALID, CLUSTER_*. */
export async function ensureServiceAccount(
  { api, signal }: Pick<OperatorContext, "api" | "signal">,
  owner: MoverOwner,
  role: Role,
): Promise<string> {
  const { namespace } = owner.metadata;
  const named = owner.spec.restic?.moverServiceAccount ?? "";
  if (named !== "") {
    const found = await api.get(SERVICE_ACCOUNT, { namespace, name: named }, { signal });
    if (found !== undefined) return named;
    throw new HoldfastError(
      "RESOURCE_INVALID",
      `moverServiceAccount: there is no ServiceAccount ${namespace}/${named}`,
      { hint: "Make it, or leave moverServiceAccount out.", retryable: true },
    );
  }
  const name = moverName(role, owner.metadata.name);
  if ((await api.get(SERVICE_ACCOUNT, { namespace, name }, { signal })) !== undefined) return name;
  const account = {
    apiVersion: "v1",
    kind: "ServiceAccount",
    metadata: {
      name,
      ...(namespace !== undefined && { namespace }),
      labels: { [LABEL.createdBy]: CREATED_BY },
      ownerReferences: [controllerReference(owner)],
    },
    automountServiceAccountToken: false,
  };
  try {
    await api.create(SERVICE_ACCOUNT, account, { signal });
  } catch (error) {
    if (!isHoldfastError(error, "CLUSTER_EXISTS")) throw error;
  }
  return name;
}
