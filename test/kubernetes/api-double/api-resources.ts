// The resources that the double serves: those of Kubernetes that the operator has to do with, and what CustomResourceDefinitions add.

import { invalid, type Cause } from "./api-fault.ts";
import type { Json } from "./json-value.ts";
import { structuralFaults, type Schema } from "./structural-schema.ts";

export interface ApiResource {
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly kind: string;
  readonly namespaced: boolean;
  /** Status is written on its own; writes of the rest leave it alone. */
  readonly hasStatus: boolean;
  /** `metadata.generation` counts changes of the specification. */
  readonly hasGeneration: boolean;
  /** Of a custom resource. */
  readonly schema?: Schema | undefined;
}

/** `jobs.batch`, `pods`. */
export function resourceKey({ group, plural }: Pick<ApiResource, "group" | "plural">): string {
  return group === "" ? plural : `${plural}.${group}`;
}

export function apiVersionOf({ group, version }: ApiResource): string {
  return group === "" ? version : `${group}/${version}`;
}

/** `group/version plural kind flags`: c cluster-wide, s status, g generation. */
const BUILT_IN = `
/v1 namespaces Namespace cs
/v1 nodes Node cs
/v1 persistentvolumes PersistentVolume cs
/v1 pods Pod sg
/v1 secrets Secret
/v1 configmaps ConfigMap
/v1 services Service s
/v1 serviceaccounts ServiceAccount
/v1 persistentvolumeclaims PersistentVolumeClaim s
apps/v1 deployments Deployment sg
apps/v1 statefulsets StatefulSet sg
apps/v1 replicasets ReplicaSet sg
apps/v1 daemonsets DaemonSet sg
batch/v1 jobs Job sg
batch/v1 cronjobs CronJob sg
coordination.k8s.io/v1 leases Lease
events.k8s.io/v1 events Event
storage.k8s.io/v1 storageclasses StorageClass c
rbac.authorization.k8s.io/v1 roles Role
rbac.authorization.k8s.io/v1 rolebindings RoleBinding
rbac.authorization.k8s.io/v1 clusterroles ClusterRole c
rbac.authorization.k8s.io/v1 clusterrolebindings ClusterRoleBinding c
apiextensions.k8s.io/v1 customresourcedefinitions CustomResourceDefinition csg
authorization.k8s.io/v1 selfsubjectaccessreviews SelfSubjectAccessReview c
authorization.k8s.io/v1 subjectaccessreviews SubjectAccessReview c
authentication.k8s.io/v1 tokenreviews TokenReview c
`;

/** Custom resources that others bring, without their schemas. */
const SNAPSHOTS = `
snapshot.storage.k8s.io/v1 volumesnapshots VolumeSnapshot sg
snapshot.storage.k8s.io/v1 volumesnapshotcontents VolumeSnapshotContent csg
snapshot.storage.k8s.io/v1 volumesnapshotclasses VolumeSnapshotClass cg
`;

const ANYTHING: Schema = { type: "object", "x-kubernetes-preserve-unknown-fields": true };

export class ApiResources {
  readonly #resources: ApiResource[] = parse(BUILT_IN);

  /** Without the CRDs of snapshots a cluster cannot make any. */
  constructor({ snapshots = true }: { snapshots?: boolean } = {}) {
    if (!snapshots) return;
    for (const resource of parse(SNAPSHOTS)) {
      this.#resources.push({ ...resource, schema: ANYTHING });
    }
  }

  find(group: string, version: string, plural: string): ApiResource | undefined {
    return this.#resources.find(
      (resource) =>
        resource.group === group && resource.version === version && resource.plural === plural,
    );
  }

  /** By a kind, as owner references name them. */
  ofKind(apiVersion: string, kind: string): ApiResource | undefined {
    return this.#resources.find(
      (resource) => resource.kind === kind && apiVersionOf(resource) === apiVersion,
    );
  }

  ofGroup(group: string, version: string): ApiResource[] {
    return this.#resources.filter(
      (resource) => resource.group === group && resource.version === version,
    );
  }

  groups(): Map<string, Set<string>> {
    const groups = new Map<string, Set<string>>();
    for (const { group, version } of this.#resources) {
      if (group !== "") groups.set(group, (groups.get(group) ?? new Set()).add(version));
    }
    return groups;
  }

  /** Serves what a CustomResourceDefinition describes, in place of what it described before. */
  define(crd: Json): void {
    this.remove(crd);
    this.#resources.push(...resourcesOf(crd));
  }

  remove(crd: Json): void {
    const { group, names } = crd["spec"] as { group: string; names: { plural: string } };
    for (let i = this.#resources.length - 1; i >= 0; i--) {
      const resource = this.#resources[i]!;
      if (resource.group === group && resource.plural === names.plural)
        this.#resources.splice(i, 1);
    }
  }
}

interface CrdVersion {
  readonly name: string;
  readonly served: boolean;
  readonly storage: boolean;
  readonly schema?: { openAPIV3Schema?: Schema };
  readonly subresources?: { status?: object };
}

function resourcesOf(crd: Json): ApiResource[] {
  const { group, names, scope, versions } = crd["spec"] as {
    group: string;
    names: { plural: string; kind: string };
    scope: string;
    versions: CrdVersion[];
  };
  return versions
    .filter(({ served }) => served)
    .map((version) => ({
      group,
      version: version.name,
      plural: names.plural,
      kind: names.kind,
      namespaced: scope === "Namespaced",
      hasStatus: version.subresources?.status !== undefined,
      hasGeneration: true,
      schema: version.schema?.openAPIV3Schema ?? ANYTHING,
    }));
}

/** Throws what a real server says of a CustomResourceDefinition that it does not take. */
export function checkCrd(crd: Json): void {
  const { name } = crd["metadata"] as { name: string };
  const spec = crd["spec"] as
    | { group?: string; names?: { plural?: string }; scope?: string; versions?: CrdVersion[] }
    | undefined;
  const causes: Cause[] = [];
  const blame = (field: string, message: string): void =>
    void causes.push({ reason: "FieldValueInvalid", field, message });
  if (name !== `${spec?.names?.plural}.${spec?.group}`) {
    blame("metadata.name", `Invalid value: "${name}": must be spec.names.plural+"."+spec.group`);
  }
  if (spec?.scope !== "Namespaced" && spec?.scope !== "Cluster") {
    blame("spec.scope", "Required value");
  }
  const versions = spec?.versions ?? [];
  if (versions.filter(({ storage }) => storage).length !== 1) {
    blame(
      "spec.versions",
      "Invalid value: must have exactly one version marked as storage version",
    );
  }
  for (const [i, version] of versions.entries()) {
    const path = `spec.validation.openAPIV3Schema`;
    const schema = version.schema?.openAPIV3Schema;
    if (!schema)
      blame(`spec.versions[${i}].schema.openAPIV3Schema`, "Required value: schemas are required");
    else for (const fault of structuralFaults(schema, path)) blame(`spec.versions[${i}]`, fault);
  }
  if (causes.length > 0)
    throw invalid("CustomResourceDefinition.apiextensions.k8s.io", name, causes);
}

function parse(text: string): ApiResource[] {
  return text
    .trim()
    .split("\n")
    .map((line) => {
      const [where = "", plural = "", kind = "", flags = ""] = line.split(" ");
      const [group = "", version = ""] = where.split("/");
      return {
        group,
        version,
        plural,
        kind,
        namespaced: !flags.includes("c"),
        hasStatus: flags.includes("s"),
        hasGeneration: flags.includes("g"),
      };
    });
}
