// The resources of CSI snapshots (snapshot.storage.k8s.io/v1), as far as operators use them: real clusters get them from
// external-snapshotter. Structural, so that the API server drops what they do not name.

import type { KubeObject } from "../../../src/operator/cluster/kube-object.ts";

type Schema = Readonly<Record<string, unknown>>;

const text: Schema = { type: "string" };
const time: Schema = { type: "string", format: "date-time" };
const flag: Schema = { type: "boolean" };
const quantity: Schema = {
  anyOf: [{ type: "integer" }, { type: "string" }],
  "x-kubernetes-int-or-string": true,
};
const policy: Schema = { type: "string", enum: ["Delete", "Retain"] };
const error: Schema = object({ message: text, time });
const reference: Schema = object({
  apiVersion: text,
  kind: text,
  name: text,
  namespace: text,
  uid: text,
  resourceVersion: text,
});

/** VolumeSnapshot, VolumeSnapshotContent and VolumeSnapshotClass. */
export const SNAPSHOT_CRDS: readonly KubeObject[] = [
  crd({
    kind: "VolumeSnapshot",
    plural: "volumesnapshots",
    scope: "Namespaced",
    schema: {
      spec: object(
        {
          source: {
            ...object({ persistentVolumeClaimName: text, volumeSnapshotContentName: text }),
            oneOf: [
              { required: ["persistentVolumeClaimName"] },
              { required: ["volumeSnapshotContentName"] },
            ],
          },
          volumeSnapshotClassName: text,
        },
        ["source"],
      ),
      status: object({
        boundVolumeSnapshotContentName: text,
        creationTime: time,
        readyToUse: flag,
        restoreSize: quantity,
        error,
      }),
    },
  }),
  crd({
    kind: "VolumeSnapshotContent",
    plural: "volumesnapshotcontents",
    scope: "Cluster",
    schema: {
      spec: object(
        {
          deletionPolicy: policy,
          driver: text,
          source: object({ volumeHandle: text, snapshotHandle: text }),
          volumeSnapshotClassName: text,
          volumeSnapshotRef: reference,
        },
        ["deletionPolicy", "driver", "source", "volumeSnapshotRef"],
      ),
      status: object({
        creationTime: { type: "integer", format: "int64" },
        readyToUse: flag,
        restoreSize: { type: "integer", format: "int64" },
        snapshotHandle: text,
        error,
      }),
    },
  }),
  crd({
    kind: "VolumeSnapshotClass",
    plural: "volumesnapshotclasses",
    scope: "Cluster",
    schema: {
      driver: text,
      deletionPolicy: policy,
      parameters: { type: "object", additionalProperties: text },
    },
    required: ["driver", "deletionPolicy"],
  }),
];

function object(properties: Record<string, Schema>, required: readonly string[] = []): Schema {
  return { type: "object", properties, ...(required.length > 0 ? { required } : {}) };
}

function crd(options: {
  readonly kind: string;
  readonly plural: string;
  readonly scope: "Namespaced" | "Cluster";
  readonly schema: Record<string, Schema>;
  readonly required?: readonly string[];
}): KubeObject {
  const { kind, plural, scope, schema, required } = options;
  const group = "snapshot.storage.k8s.io";
  const version = {
    name: "v1",
    served: true,
    storage: true,
    schema: {
      openAPIV3Schema: object(
        { apiVersion: text, kind: text, metadata: { type: "object" }, ...schema },
        required ?? ["spec"],
      ),
    },
    ...("status" in schema ? { subresources: { status: {} } } : {}),
  };
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: {
      name: `${plural}.${group}`,
      // Names below *.k8s.io are protected.
      annotations: {
        "api-approved.kubernetes.io":
          "https://github.com/kubernetes-csi/external-snapshotter/pull/665",
      },
    },
    spec: {
      group,
      scope,
      names: { kind, plural, singular: kind.toLowerCase(), listKind: `${kind}List` },
      versions: [version],
    },
  } as KubeObject;
}
