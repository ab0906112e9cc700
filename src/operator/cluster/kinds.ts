// The kinds of object that the operator deals with: where the API server has each one.

import { HoldfastError } from "../../base/errors.ts";
import type {
  ConfigMap,
  Job,
  KubeObject,
  Lease,
  Namespace,
  Node,
  PersistentVolume,
  PersistentVolumeClaim,
  Pod,
  Secret,
  StorageClass,
  VolumeSnapshot,
  VolumeSnapshotClass,
  Workload,
} from "./kube-object.ts";

/** Where objects of a kind are, and, for the compiler alone, what they look like. */
export interface Kind<T extends KubeObject = KubeObject> {
  /** `v1`, `apps/v1`. */
  readonly apiVersion: string;
  readonly kind: string;
  /** Name in paths. */
  readonly plural: string;
  readonly namespaced: boolean;
  readonly example?: T;
}

/** Makes a kind; that of a custom resource is made where its schema is. */
export function kind<T extends KubeObject>(
  apiVersion: string,
  name: string,
  plural: string,
  { namespaced = true }: { namespaced?: boolean } = {},
): Kind<T> {
  return { apiVersion, kind: name, plural, namespaced };
}

const global = { namespaced: false };
export const POD: Kind<Pod> = kind("v1", "Pod", "pods");
export const SECRET: Kind<Secret> = kind("v1", "Secret", "secrets");
export const CONFIG_MAP: Kind<ConfigMap> = kind("v1", "ConfigMap", "configmaps");
export const NAMESPACE: Kind<Namespace> = kind("v1", "Namespace", "namespaces", global);
export const NODE: Kind<Node> = kind("v1", "Node", "nodes", global);
export const SERVICE_ACCOUNT: Kind = kind("v1", "ServiceAccount", "serviceaccounts");
export const CLAIM: Kind<PersistentVolumeClaim> = kind(
  "v1",
  "PersistentVolumeClaim",
  "persistentvolumeclaims",
);
export const PERSISTENT_VOLUME: Kind<PersistentVolume> = kind(
  "v1",
  "PersistentVolume",
  "persistentvolumes",
  global,
);
export const STORAGE_CLASS: Kind<StorageClass> = kind(
  "storage.k8s.io/v1",
  "StorageClass",
  "storageclasses",
  global,
);
export const JOB: Kind<Job> = kind("batch/v1", "Job", "jobs");
export const DEPLOYMENT: Kind<Workload> = kind("apps/v1", "Deployment", "deployments");
export const STATEFUL_SET: Kind<Workload> = kind("apps/v1", "StatefulSet", "statefulsets");
export const REPLICA_SET: Kind<Workload> = kind("apps/v1", "ReplicaSet", "replicasets");
export const LEASE: Kind<Lease> = kind("coordination.k8s.io/v1", "Lease", "leases");
export const EVENT: Kind = kind("events.k8s.io/v1", "Event", "events");
export const CRD: Kind = kind(
  "apiextensions.k8s.io/v1",
  "CustomResourceDefinition",
  "customresourcedefinitions",
  global,
);
const SNAPSHOTS = "snapshot.storage.k8s.io/v1";
export const VOLUME_SNAPSHOT: Kind<VolumeSnapshot> = kind(
  SNAPSHOTS,
  "VolumeSnapshot",
  "volumesnapshots",
);
export const VOLUME_SNAPSHOT_CLASS: Kind<VolumeSnapshotClass> = kind(
  SNAPSHOTS,
  "VolumeSnapshotClass",
  "volumesnapshotclasses",
  global,
);

/**
 * `/api/v1/namespaces/x/pods/y`; without a namespace, that of all namespaces; without a name, the collection. Names come from
 * resources, so from anybody: one that would name another path (the collection itself, or what is above it) is CLUSTER_INVALID.
 */
export function pathOf(
  { apiVersion, kind: what, plural, namespaced }: Kind,
  place: { namespace?: string | undefined; name?: string | undefined } = {},
): string {
  const root = apiVersion.includes("/") ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
  const { namespace, name } = place;
  const within =
    namespaced && namespace !== undefined ? `/namespaces/${segment(namespace, "Namespace")}` : "";
  const leaf = name === undefined ? "" : `/${segment(name, what)}`;
  return `${root}${within}/${plural}${leaf}`;
}

function segment(name: string, what: string): string {
  if (name !== "" && name !== "." && name !== "..") return encodeURIComponent(name);
  throw new HoldfastError("CLUSTER_INVALID", `"${name}" is no name of a ${what}`, {
    hint: "Correct the name in the resource that refers to it.",
  });
}
