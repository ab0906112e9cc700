// What the operator may do, and why. The one list: the ClusterRoles of deploy/ hold the same (test/kubernetes/rights.test.ts), the manual
// explains it, and `migrate volsync` asks the cluster about it.

export interface Right {
  readonly group: string;
  /** With a subresource behind a slash: `pods/log`. */
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
  /** Of objects that belong to no namespace: a Role of a namespace cannot give it. */
  readonly clusterWide?: true;
  /** For a person: what does not work without it. */
  readonly why: string;
}

export const OPERATOR_RIGHTS: readonly Right[] = [
  {
    group: "volsync.backube",
    resources: ["replicationsources", "replicationdestinations"],
    verbs: ["get", "list", "watch"],
    why: "the resources themselves; their spec is never written",
  },
  {
    group: "volsync.backube",
    resources: ["replicationsources/status", "replicationdestinations/status"],
    verbs: ["update"],
    why: "how each run went, and what the operator must remember",
  },
  {
    group: "volsync.backube",
    resources: ["replicationsources/finalizers", "replicationdestinations/finalizers"],
    verbs: ["update"],
    why: "owner references that block deletion, where OwnerReferencesPermissionEnforcement is on, as on OpenShift",
  },
  {
    group: "batch",
    resources: ["jobs"],
    verbs: ["get", "list", "watch", "create", "patch", "delete"],
    why: "the movers",
  },
  {
    group: "",
    resources: ["pods"],
    verbs: ["get", "list", "watch", "create", "delete"],
    why: "who uses a volume and as whom; how movers end; the pod that keeps a log",
  },
  { group: "", resources: ["pods/log"], verbs: ["get"], why: "the log of a mover that ended" },
  {
    group: "",
    resources: ["persistentvolumeclaims"],
    verbs: ["get", "list", "watch", "create", "patch", "delete"],
    why: "caches, clones, claims of snapshots and of restores; the copy trigger's annotations",
  },
  {
    group: "",
    resources: ["persistentvolumes"],
    verbs: ["get", "patch"],
    clusterWide: true,
    why: "the volume populator: a restored volume is given to the claim that asked for it",
  },
  {
    group: "populator.storage.k8s.io",
    resources: ["volumepopulators"],
    verbs: ["create"],
    clusterWide: true,
    why: "the volume populator's place in the cluster's register of them, where it has one",
  },
  {
    group: "snapshot.storage.k8s.io",
    resources: ["volumesnapshots"],
    verbs: ["get", "list", "watch", "create", "patch", "delete"],
    why: "copyMethod Snapshot",
  },
  {
    group: "snapshot.storage.k8s.io",
    resources: ["volumesnapshotclasses"],
    verbs: ["list"],
    clusterWide: true,
    why: "whether there is a class for the volume's driver",
  },
  {
    group: "storage.k8s.io",
    resources: ["storageclasses"],
    verbs: ["get", "list"],
    clusterWide: true,
    why: "whether a claim is bound only when a pod wants it",
  },
  {
    group: "",
    resources: ["secrets"],
    verbs: ["get"],
    why: "repositories' Secrets, one by one by the names that resources give; never listed, never written",
  },
  {
    group: "",
    resources: ["serviceaccounts"],
    verbs: ["get", "create"],
    why: "one account without any right for the movers of each resource",
  },
  {
    group: "",
    resources: ["namespaces"],
    verbs: ["get"],
    why: "whether privileged movers are allowed there",
  },
  {
    group: "",
    resources: ["nodes"],
    verbs: ["get"],
    clusterWide: true,
    why: "whether the node of a lock's pod is gone; the host name of the node where a volume is",
  },
  {
    group: "apps",
    resources: ["deployments", "statefulsets", "replicasets"],
    verbs: ["list"],
    why: "as whom the pods of a workload run while none is there",
  },
  {
    group: "events.k8s.io",
    resources: ["events"],
    verbs: ["create", "patch"],
    why: "what `kubectl describe` shows",
  },
  {
    group: "authentication.k8s.io",
    resources: ["tokenreviews"],
    verbs: ["create"],
    clusterWide: true,
    why: "who asks for the metrics",
  },
  {
    group: "authorization.k8s.io",
    resources: ["subjectaccessreviews"],
    verbs: ["create"],
    clusterWide: true,
    why: "whether that one may have them",
  },
];

export const LEASE_NAME = "b95b3104.backube";

/** In the operator's own namespace alone. */
export const OWN_RIGHTS: readonly Right[] = [
  {
    group: "coordination.k8s.io",
    resources: ["leases"],
    verbs: ["get", "create", "update"],
    why: "VolSync's own Lease, so that never both act",
  },
  { group: "", resources: ["pods"], verbs: ["get"], why: "its own pod, whose image movers run" },
];
