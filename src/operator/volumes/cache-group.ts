// A cache that the mover cannot write to: a new volume is root's, and only the kubelet gives it to a group, when a pod with an fsGroup
// mounts it. The mover of a source often has none, and is not to get one for the cache's sake: the kubelet would change the groups and modes
// of the data as well, which may be live, and which the snapshot is to have as they are. So a pod that mounts nothing but the cache
// has the group; it comes once and ends at once, after a run whose mover said that it had no cache, and the next mover is in that group.
//
// Must never: stand in the way of a run. Whatever fails here, the mover works without a cache, as before.

import { isHoldfastError } from "../../base/errors.ts";
import { CLAIM, POD } from "../cluster/kinds.ts";
import type { Job, Pod } from "../cluster/kube-object.ts";
import { controllerReference, isControlledBy } from "../cluster/owner.ts";
import type { OperatorContext } from "../context.ts";
import type { MoverOwner } from "../mover/owner.ts";
import { cachePodName, CREATED_BY, LABEL, moverName } from "../names.ts";
import { VOLUME_ANNOTATION } from "./annotations.ts";
import type { CacheVolume } from "./volume.ts";

/** That of the image's user; no workload's. */
const GROUP = 65_532;
/** Seconds. A mover that comes sooner does not wait. */
const DEADLINE = 300;
const PLACE = "/cache";

/** Has the source's cache made writable for the next mover: after one that could not write to it. */
export async function openCache(
  context: OperatorContext,
  owner: MoverOwner,
  { spec }: Job,
): Promise<void> {
  const { volumes = [], securityContext } = spec.template.spec;
  const name = volumes.find((each) => each.name === "cache")?.persistentVolumeClaim?.claimName;
  // What a user says of the mover counts as it is, and where a group was of no use it stays so.
  const isSaid = owner.spec.restic?.moverSecurityContext !== undefined;
  if (name === undefined || isSaid || securityContext?.fsGroup !== undefined) return;
  const { api, signal, settings } = context;
  const { namespace } = owner.metadata;
  await inPassing(async () => {
    const claim = await api.get(CLAIM, { namespace, name }, { signal });
    if (claim === undefined || !isControlledBy(claim, owner)) return;
    if (claim.metadata.annotations?.[VOLUME_ANNOTATION.cacheGroup] !== undefined) return;
    await api.create(POD, cachePod(owner, { claim: name, image: settings.image }), { signal });
  });
}

/** Removes the pod that gave the cache to a group, once it has ended: it would keep the claim. */
export async function settleCache(context: OperatorContext, owner: MoverOwner): Promise<void> {
  const pod = podOf(context, owner);
  const phase = pod?.status?.phase;
  if (pod === undefined || (phase !== "Succeeded" && phase !== "Failed")) return;
  await inPassing(() => endPod(context, pod));
}

/** The group in which the mover can write to the cache; undefined: none that is known of. No pod but the mover's has the cache then. */
export async function cacheGroup(
  context: OperatorContext,
  owner: MoverOwner,
  cache: CacheVolume,
): Promise<number | undefined> {
  if (!("claim" in cache)) return undefined;
  const pod = podOf(context, owner);
  if (pod !== undefined) await inPassing(() => endPod(context, pod));
  if (pod?.status?.phase === "Succeeded") return GROUP;
  const { annotations } = cache.claim.metadata;
  return Number(annotations?.[VOLUME_ANNOTATION.cacheGroup]) || undefined;
}

function podOf({ stores }: OperatorContext, owner: MoverOwner): Pod | undefined {
  const { namespace, name } = owner.metadata;
  const pod = stores.pods.get(namespace, cachePodName(name));
  return pod !== undefined && isControlledBy(pod, owner) ? pod : undefined;
}

async function endPod(
  { api, signal }: OperatorContext,
  { metadata, spec, status }: Pod,
): Promise<void> {
  const { namespace, name, uid } = metadata;
  const claim = spec.volumes?.[0]?.persistentVolumeClaim?.claimName;
  if (status?.phase === "Succeeded" && claim !== undefined) {
    const patch = { metadata: { annotations: { [VOLUME_ANNOTATION.cacheGroup]: String(GROUP) } } };
    await api.patch(CLAIM, { namespace, name: claim }, patch, { type: "merge", signal });
  }
  await api.delete(POD, { namespace, name }, { uid, signal });
}

async function inPassing(work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!isHoldfastError(error) || error.code === "CANCELLED") throw error;
  }
}

/** It says which version it is, and ends: by then the volume is the group's. */
function cachePod(
  owner: MoverOwner,
  { claim, image }: { readonly claim: string; readonly image: string },
): Pod {
  const { name, namespace } = owner.metadata;
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name: cachePodName(name),
      ...(namespace !== undefined && { namespace }),
      labels: { [LABEL.createdBy]: CREATED_BY },
      ownerReferences: [controllerReference(owner)],
    },
    spec: {
      restartPolicy: "Never",
      activeDeadlineSeconds: DEADLINE,
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      serviceAccountName: owner.spec.restic?.moverServiceAccount || moverName("source", name),
      securityContext: {
        runAsNonRoot: true,
        fsGroup: GROUP,
        fsGroupChangePolicy: "OnRootMismatch",
        seccompProfile: { type: "RuntimeDefault" },
      },
      containers: [
        {
          name: "cache",
          image,
          command: ["holdfast"],
          args: ["version"],
          volumeMounts: [{ name: "cache", mountPath: PLACE }],
          resources: { requests: { cpu: "1m", memory: "64Mi" }, limits: { memory: "256Mi" } },
          securityContext: {
            allowPrivilegeEscalation: false,
            privileged: false,
            readOnlyRootFilesystem: true,
            capabilities: { drop: ["ALL"] },
          },
        },
      ],
      volumes: [{ name: "cache", persistentVolumeClaim: { claimName: claim } }],
    },
  };
}
