// What the operator keeps of a pod: thousands of them are watched, and little of each is ever looked at. Pure.

import type { Container, Pod } from "./kube-object.ts";
import { slimMetadata } from "./store.ts";

/** The pod without what no part of the operator reads; one that mounts no claim keeps nothing of its containers either. */
export function slimPod(pod: Pod): Pod {
  const { apiVersion, kind, metadata, spec, status } = pod;
  const { annotations: _, ...kept } = slimMetadata(metadata);
  const isPlain = claimsOf(pod).length === 0 && metadata.ownerReferences?.[0]?.kind !== "Job";
  const { nodeName, nodeSelector, tolerations, securityContext, volumes } = spec;
  const { phase, reason, message, conditions, containerStatuses } = status ?? {};
  return withoutAbsent({
    apiVersion,
    kind,
    metadata: kept,
    spec: withoutAbsent({
      nodeName,
      ...(isPlain ? {} : { nodeSelector, tolerations, securityContext }),
      volumes: isPlain
        ? undefined
        : volumes?.filter((each) => each.persistentVolumeClaim ?? each.ephemeral),
      containers: isPlain ? [] : spec.containers.map(slimContainer),
    }),
    status: withoutAbsent({
      phase,
      reason,
      message,
      ...(isPlain
        ? {}
        : {
            conditions,
            containerStatuses: containerStatuses?.map(({ name, state, user }) =>
              withoutAbsent({ name, state, user }),
            ),
          }),
    }),
  }) as Pod;
}

function slimContainer({ name, securityContext, volumeMounts }: Container): Container {
  return withoutAbsent({ name, securityContext, volumeMounts }) as Container;
}

/** Names of the claims that the pod mounts, those made for it alone among them. */
export function claimsOf({ metadata, spec }: Pod): string[] {
  return (spec.volumes ?? []).flatMap(({ name, persistentVolumeClaim, ephemeral }) => {
    if (persistentVolumeClaim !== undefined) return [persistentVolumeClaim.claimName];
    return ephemeral === undefined ? [] : [`${metadata.name}-${name}`];
  });
}

function withoutAbsent<T extends object>(value: T): T {
  const entries = Object.entries(value).filter(([, field]) => field !== undefined);
  return Object.fromEntries(entries) as T;
}
