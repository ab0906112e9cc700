// What the operator keeps of a pod: thousands of them are watched, and little of each is ever looked at. Pure.

import type { Container, Pod, Volume } from "./kube-object.ts";
import { slimMetadata, withoutAbsent } from "./slim-metadata.ts";

/** The pod without what no part of the operator reads; one that mounts no claim keeps nothing of its containers either. */
export function slimPod(pod: Pod): Pod {
  const { apiVersion, kind, metadata, spec, status } = pod;
  const { annotations: _, ...names } = slimMetadata(metadata);
  const isPlain = claimsOf(pod).length === 0 && metadata.ownerReferences?.[0]?.kind !== "Job";
  const { nodeName, nodeSelector, tolerations, securityContext, volumes } = spec;
  const kept = (volumes ?? []).filter((each) => each.persistentVolumeClaim ?? each.ephemeral);
  const { phase, reason, message, conditions, containerStatuses } = status ?? {};
  return withoutAbsent({
    apiVersion,
    kind,
    metadata: names,
    spec: withoutAbsent({
      nodeName,
      ...(isPlain ? {} : { nodeSelector, tolerations, securityContext }),
      volumes: isPlain ? undefined : kept,
      containers: isPlain ? [] : spec.containers.map((each) => slimContainer(each, kept)),
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

function slimContainer(
  { name, securityContext, volumeMounts }: Container,
  volumes: readonly Volume[],
): Container {
  const names = new Set(volumes.map((each) => each.name));
  return withoutAbsent({
    name,
    securityContext,
    volumeMounts: volumeMounts?.filter((mount) => names.has(mount.name)),
  }) as Container;
}

/** Names of the claims that the pod mounts, those made for it alone among them. */
export function claimsOf({ metadata, spec }: Pod): string[] {
  return (spec.volumes ?? []).flatMap(({ name, persistentVolumeClaim, ephemeral }) => {
    if (persistentVolumeClaim !== undefined) return [persistentVolumeClaim.claimName];
    return ephemeral === undefined ? [] : [`${metadata.name}-${name}`];
  });
}
