// What the operator keeps of claims, snapshots, Jobs and anything else that it watches: the fields that it reads. Pure.
//
// Must never: lose a field that a decision is made from, or an owner: what is patched later writes all owners anew.

import type { Job, KubeObject, PersistentVolumeClaim, VolumeSnapshot } from "./kube-object.ts";
import { VARIABLE } from "../mover-variables.ts";
import { slimMetadata, withoutAbsent } from "./slim-metadata.ts";

/** Characters of a value that somebody else gave an object of his own. */
const VALUE_MAX = 1024;
/** Variables of a mover that are looked up in its Job. */
const VARIABLES: readonly string[] = ["RESTIC_REPOSITORY", VARIABLE.pointInTime, VARIABLE.identity];

export function slimClaim({
  apiVersion,
  kind,
  metadata,
  spec,
  status,
}: PersistentVolumeClaim): PersistentVolumeClaim {
  const { accessModes, resources, storageClassName, volumeName, volumeMode } = spec;
  const { dataSource, dataSourceRef } = spec;
  const { phase, capacity, accessModes: modes } = status ?? {};
  return {
    apiVersion,
    kind,
    metadata: bounded(slimMetadata(metadata)),
    spec: withoutAbsent({
      accessModes,
      resources: resources && withoutAbsent({ requests: resources.requests }),
      storageClassName,
      volumeName,
      volumeMode,
      dataSource,
      dataSourceRef,
    }) as PersistentVolumeClaim["spec"],
    ...(status && {
      status: withoutAbsent({ phase, capacity, accessModes: modes }) as NonNullable<
        PersistentVolumeClaim["status"]
      >,
    }),
  };
}

export function slimSnapshot({
  apiVersion,
  kind,
  metadata,
  spec,
  status,
}: VolumeSnapshot): VolumeSnapshot {
  const { volumeSnapshotClassName, source } = spec;
  return {
    apiVersion,
    kind,
    metadata: bounded(slimMetadata(metadata)),
    spec: withoutAbsent({ volumeSnapshotClassName, source }) as VolumeSnapshot["spec"],
    ...(status && { status }),
  };
}

/** Those that VolSync made, too: what its containers are told stands in their arguments. */
export function slimJob({ apiVersion, kind, metadata, spec, status }: Job): Job {
  const { parallelism, template } = spec;
  const { nodeSelector, securityContext, volumes, containers } = template.spec;
  return {
    apiVersion,
    kind,
    metadata: bounded(slimMetadata(metadata)),
    spec: withoutAbsent({
      parallelism,
      template: {
        spec: withoutAbsent({
          nodeSelector,
          securityContext,
          volumes: volumes?.filter(({ persistentVolumeClaim: claim }) => claim !== undefined),
          containers: containers.map(({ name, args, env }) =>
            withoutAbsent({
              name,
              args,
              env: env?.filter((each) => VARIABLES.includes(each.name)),
            }),
          ),
        }),
      },
    }) as Job["spec"],
    ...(status && { status }),
  };
}

export function slimObject<T extends KubeObject>(object: T): T {
  return { ...object, metadata: slimMetadata(object.metadata) };
}

/** Whole values are read from the API server, where they matter. */
function bounded(metadata: KubeObject["metadata"]): KubeObject["metadata"] {
  const { annotations } = metadata;
  if (annotations === undefined) return metadata;
  const entries = Object.entries(annotations);
  const cut = entries.map(([name, value]) => [name, value.slice(0, VALUE_MAX)] as const);
  return { ...metadata, annotations: Object.fromEntries(cut) };
}
