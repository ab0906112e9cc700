// The log of a run after its mover is gone. A pod that has completed keeps its claims from being deleted and its volumes from
// being used elsewhere, so movers go at once; one pod without any volume stays in their place, prints what they printed, and ends
// with the verdict. `kubectl logs -l volsync.backube/source=NAME` finds either.

import { HoldfastError, isHoldfastError } from "../../base/errors.ts";
import type { Pod } from "../cluster/kube-object.ts";
import { POD } from "../cluster/kinds.ts";
import { controllerReference, isOwnedBy } from "../cluster/owner.ts";
import type { OperatorContext } from "../context.ts";
import type { MoverVerdict } from "../mover-verdict.ts";
import { MOVER_CONTAINER, VARIABLE } from "../mover-variables.ts";
import { LABEL, logPodName, moverName } from "../names.ts";
import type { Role } from "../names.ts";
import type { RunPlan } from "../run-plan.ts";
import { verbatim } from "./environment.ts";
import { ownerLabels } from "./job.ts";
import type { MoverOwner } from "./owner.ts";
import { podsOf } from "./run-state.ts";

type LogContext = Pick<OperatorContext, "api" | "stores" | "settings" | "signal">;

/** A variable of a process may have 128 KiB on Linux; nobody reads this much. */
const LOG_MAX = 48 * 1024;

/** What the newest pod of the resource's Job printed, its end if that is long; "" where there is nothing to be had. */
export async function readMoverLog(
  { api, stores, signal }: Pick<OperatorContext, "api" | "stores" | "signal">,
  owner: MoverOwner,
  role: Role,
): Promise<string> {
  const { namespace } = owner.metadata;
  const job = stores.jobs.get(namespace, moverName(role, owner.metadata.name));
  if (job === undefined || !isOwnedBy(job, owner)) return "";
  for (const pod of podsOf({ stores }, job)) {
    const { name } = pod.metadata;
    try {
      const text = await api.podLog(
        { namespace, name },
        { container: MOVER_CONTAINER, tailLines: 1000, signal },
      );
      if (text) return lastBytes(text, LOG_MAX);
    } catch (error) {
      // A log is worth less than the run that it tells of.
      if (!isHoldfastError(error)) throw error;
    }
  }
  return "";
}

/**
 * Replaces the pod that keeps the log of the resource by one that keeps this run's. Call it before the Job is deleted. The same
 * run again changes nothing. CLUSTER_*: a run that ended is none the worse for it.
 */
export async function keepLog(
  context: LogContext,
  owner: MoverOwner,
  role: Role,
  plan: Pick<RunPlan, "id">,
  verdict: MoverVerdict | undefined,
): Promise<void> {
  const { api, stores, signal } = context;
  const { namespace } = owner.metadata;
  const name = logPodName(role, owner.metadata.name);
  const kept = stores.pods.get(namespace, name);
  if (kept?.metadata.labels?.[LABEL.run] === plan.id) return;
  const log = await readMoverLog(context, owner, role);
  if (kept !== undefined) await removeLog(context, owner, role);
  const pod = logPod({ owner, role, plan, log, verdict, image: context.settings.image });
  try {
    await api.create(POD, pod, { signal });
  } catch (error) {
    // The old one is not gone yet, or this was done before and the store does not know.
    if (!isHoldfastError(error, "CLUSTER_EXISTS")) throw error;
  }
}

/** Removes it: when the next run starts. False when there is none of the resource. */
export async function removeLog(
  { api, stores, signal }: Pick<OperatorContext, "api" | "stores" | "signal">,
  owner: MoverOwner,
  role: Role,
): Promise<boolean> {
  const { namespace } = owner.metadata;
  const name = logPodName(role, owner.metadata.name);
  const pod = stores.pods.get(namespace, name);
  if (pod === undefined) return false;
  if (!isOwnedBy(pod, owner)) {
    throw new HoldfastError(
      "RESOURCE_INVALID",
      `pod ${namespace}/${name} belongs to somebody else`,
      {
        hint: "Remove it, or give the resource another name.",
      },
    );
  }
  // One that has completed is gone at once.
  return await api.delete(POD, { namespace, name }, { uid: pod.metadata.uid, signal });
}

export interface LogPodInput {
  readonly owner: MoverOwner;
  readonly role: Role;
  readonly plan: Pick<RunPlan, "id">;
  readonly log: string;
  readonly verdict: MoverVerdict | undefined;
  readonly image: string;
}

/** The pod: no volume, no token, no user of its own, hardly any memory. */
export function logPod({ owner, role, plan, log, verdict, image }: LogPodInput): Pod {
  const { name, namespace } = owner.metadata;
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name: logPodName(role, name),
      ...(namespace !== undefined && { namespace }),
      labels: { ...ownerLabels(role, name), [LABEL.run]: plan.id },
      ownerReferences: [controllerReference(owner)],
    },
    spec: {
      restartPolicy: "Never",
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      serviceAccountName: owner.spec.restic?.moverServiceAccount || moverName(role, name),
      securityContext: { runAsNonRoot: true, seccompProfile: { type: "RuntimeDefault" } },
      containers: [
        {
          name: MOVER_CONTAINER,
          image,
          command: ["holdfast"],
          args: ["mover", "log"],
          env: [
            { name: VARIABLE.log, value: escaped(lastBytes(log, LOG_MAX)) },
            ...(verdict === undefined
              ? []
              : [{ name: VARIABLE.verdict, value: escaped(JSON.stringify(verdict)) }]),
          ],
          resources: { requests: { cpu: "1m", memory: "64Mi" }, limits: { memory: "256Mi" } },
          securityContext: {
            allowPrivilegeEscalation: false,
            privileged: false,
            readOnlyRootFilesystem: true,
            capabilities: { drop: ["ALL"] },
          },
        },
      ],
    },
  };
}

/** A log may say anything. */
function escaped(text: string): string {
  return verbatim(text.replaceAll("\0", ""));
}

/** The end of `text`, from the beginning of a line. */
function lastBytes(text: string, most: number): string {
  const bytes = Buffer.from(text);
  if (bytes.length <= most) return text;
  const cut = bytes.subarray(-most).toString("utf8");
  return cut.slice(cut.indexOf("\n") + 1);
}
