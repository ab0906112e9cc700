// What would happen if Holdfast took VolSync's place in a cluster: looked at, never changed. Reads resources, the Secrets that
// they name, Jobs and pods; asks the cluster what the operator's account may do. What may not be read is said, and is no failure.

import type { Clock } from "../base/clock.ts";
import { messageOf } from "../base/errors.ts";
import type { ClusterApi } from "./cluster/cluster-api.ts";
import {
  CLAIM,
  CRD,
  DEPLOYMENT,
  JOB,
  LEASE,
  NAMESPACE,
  POD,
  SECRET,
  SERVICE_ACCOUNT,
  VOLUME_SNAPSHOT_CLASS,
  kind,
  type Kind,
} from "./cluster/kinds.ts";
import type { KubeObject, Pod, Secret, Workload } from "./cluster/kube-object.ts";
import {
  outlookOf,
  type MigrationNote,
  type MigrationVerdict,
} from "./migration/resource-notes.ts";
import { readable, Seeker } from "./migration/seeker.ts";
import { mountedSecrets } from "./mover/mounted-secrets.ts";
import { ANNOTATION, CREATED_BY, LABEL, moverName, type Role } from "./names.ts";
import {
  REPLICATION_DESTINATION,
  readReplicationDestination,
  type ReplicationDestination,
} from "./resources/replication-destination.ts";
import {
  REPLICATION_SOURCE,
  readReplicationSource,
  type ReplicationSource,
} from "./resources/replication-source.ts";
import { LEASE_NAME, OWN_RIGHTS, OPERATOR_RIGHTS, type Right } from "./rights.ts";

export type { MigrationNote, MigrationVerdict };

export interface MigrationOptions {
  readonly api: ClusterApi;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Only its resources; absent: all namespaces. */
  readonly namespace?: string | undefined;
  /** The account that the operator runs as, or will. */
  readonly account: { readonly namespace: string; readonly name: string };
}

export interface MigratedResource {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly verdict: MigrationVerdict;
  readonly notes: readonly MigrationNote[];
}

export interface VolsyncDeployment {
  readonly namespace: string;
  readonly name: string;
  readonly replicas: number;
  readonly image: string | undefined;
}

export interface MigrationReport {
  readonly resources: readonly MigratedResource[];
  /** VolSync's controllers, also those at zero replicas. */
  readonly deployments: readonly VolsyncDeployment[];
  /** Who acts now. Undefined: nobody ever did, or it may not be seen. */
  readonly lease:
    | { readonly namespace: string; readonly holder: string; readonly renewed: string | undefined }
    | undefined;
  /** Who owns the CRDs, as far as they say: a release of Helm's, for one. */
  readonly kinds: readonly { readonly name: string; readonly owner: string | undefined }[];
  readonly rights: {
    readonly account: string;
    /** False: the account is not there yet, so nothing was asked. */
    readonly exists: boolean;
    readonly missing: readonly { readonly right: string; readonly why: string }[];
  };
  /** What could not be looked at. */
  readonly unread: readonly string[];
}

/** Looks at the cluster. Throws CLUSTER_* when not even the resources can be listed. */
export async function surveyVolsync(options: MigrationOptions): Promise<MigrationReport> {
  const { api, namespace, signal } = options;
  const unread: string[] = [];
  const sources = await api.list(REPLICATION_SOURCE, { namespace, signal });
  const destinations = await api.list(REPLICATION_DESTINATION, { namespace, signal });
  const seek = new Seeker(options, unread);
  await seek.findSharing(sources.items);
  const resources: MigratedResource[] = [];
  for (const object of sources.items) resources.push(await look(seek, "source", object));
  for (const object of destinations.items) resources.push(await look(seek, "destination", object));
  const deployments = await findDeployments(options, unread);
  return {
    resources,
    deployments,
    lease: await findLease(options, deployments, unread),
    kinds: await findOwners(options, unread),
    rights: await findRights(options, unread),
    unread,
  };
}

async function look(
  seek: Seeker,
  role: Role,
  object: ReplicationSource | ReplicationDestination,
): Promise<MigratedResource> {
  const { namespace = "", name } = object.metadata;
  const place = {
    kind: role === "source" ? "ReplicationSource" : "ReplicationDestination",
    namespace,
    name,
  };
  let resource: ReplicationSource | ReplicationDestination;
  try {
    resource =
      role === "source" ? readReplicationSource(object) : readReplicationDestination(object);
  } catch (error) {
    const notes = [{ kind: "problem" as const, text: messageOf(error) }];
    return { ...place, verdict: "fails", notes };
  }
  const { repository } = resource.spec.restic ?? {};
  const secret = repository
    ? await seek.one<Secret>(SECRET, { namespace, name: repository })
    : undefined;
  const space = await seek.one(NAMESPACE, { name: namespace });
  const jobs = await seek.many(JOB, {
    namespace,
    labelSelector: `${LABEL.createdBy}=${CREATED_BY}`,
  });
  const outlook = outlookOf({
    role,
    resource,
    secret,
    absent: await absentOf(seek, role, resource),
    sharedWith: role === "source" ? seek.sharedWith(resource as ReplicationSource) : [],
    job: jobs.find(({ metadata }) => metadata.name === moverName(role, name)),
    mountedBy: await usersOf(seek, role, resource),
    isPrivileged:
      typeof space === "object" &&
      space.metadata.annotations?.[ANNOTATION.privilegedMovers] === "true",
    now: seek.now,
  });
  return { ...place, ...outlook };
}

/** The claim, the class and the Secrets to be mounted that a resource names, where the cluster has none of that name. */
async function absentOf(
  seek: Seeker,
  role: Role,
  { metadata, spec }: ReplicationSource | ReplicationDestination,
): Promise<string[]> {
  const { namespace } = metadata;
  const claim =
    role === "source"
      ? (spec as ReplicationSource["spec"]).sourcePVC
      : (spec as ReplicationDestination["spec"]).restic?.destinationPVC;
  const absent: string[] = [];
  if (claim && (await seek.one(CLAIM, { namespace, name: claim })) === undefined) {
    absent.push(`PersistentVolumeClaim ${claim}`);
  }
  const { copyMethod, volumeSnapshotClassName: name } = spec.restic ?? {};
  if (copyMethod === "Snapshot" && name) {
    const found = await seek.one(VOLUME_SNAPSHOT_CLASS, { name });
    if (found === undefined) absent.push(`VolumeSnapshotClass ${name}`);
  }
  for (const { field, name: secret } of mountedSecrets(spec.restic ?? {})) {
    const found = await seek.one(SECRET, { namespace, name: secret });
    if (found === undefined) absent.push(`Secret ${secret} (${field})`);
  }
  return absent;
}

/** Pods that mount the claim which a destination writes to in place. */
async function usersOf(
  seek: Seeker,
  role: Role,
  { metadata, spec }: ReplicationSource | ReplicationDestination,
): Promise<Pod[]> {
  const { destinationPVC } = (spec as ReplicationDestination["spec"]).restic ?? {};
  if (role === "source" || destinationPVC === undefined) return [];
  const pods = await seek.many(POD, { namespace: metadata.namespace });
  return pods.filter(
    (pod) =>
      pod.metadata.labels?.[LABEL.createdBy] !== CREATED_BY &&
      pod.status?.phase !== "Succeeded" &&
      pod.status?.phase !== "Failed" &&
      pod.spec.volumes?.some(
        ({ persistentVolumeClaim }) => persistentVolumeClaim?.claimName === destinationPVC,
      ) === true,
  );
}

/** VolSync's Deployments, wherever they are: by their label, and not ours, which carries it for VolSync's Service. */
async function findDeployments(
  { api, signal }: MigrationOptions,
  unread: string[],
): Promise<VolsyncDeployment[]> {
  const list = (): Promise<{ items: Workload[] }> => api.list(DEPLOYMENT, { signal });
  const found = await readable(list, "deployments of all namespaces", unread);
  if (found === "unread") return [];
  return found.items
    .filter(
      ({ metadata, spec }) =>
        spec.template?.metadata?.labels?.["control-plane"]?.startsWith("volsync") === true &&
        metadata.labels?.["app.kubernetes.io/name"] !== "holdfast",
    )
    .map(({ metadata, spec }) => ({
      namespace: metadata.namespace ?? "",
      name: metadata.name,
      replicas: spec.replicas ?? 1,
      image: spec.template?.spec.containers[0]?.image,
    }));
}

async function findLease(
  { api, signal, account }: MigrationOptions,
  deployments: readonly VolsyncDeployment[],
  unread: string[],
): Promise<MigrationReport["lease"]> {
  for (const namespace of new Set([
    ...deployments.map((one) => one.namespace),
    account.namespace,
  ])) {
    const place = { namespace, name: LEASE_NAME };
    const lease = await readable(
      () => api.get(LEASE, place, { signal }),
      `Lease ${namespace}/${LEASE_NAME}`,
      unread,
    );
    if (lease === "unread" || lease === undefined) continue;
    const { holderIdentity, renewTime } = lease.spec;
    if (holderIdentity) return { namespace, holder: holderIdentity, renewed: renewTime };
  }
  return undefined;
}

async function findOwners(
  { api, signal }: MigrationOptions,
  unread: string[],
): Promise<MigrationReport["kinds"]> {
  const found = [];
  for (const { plural } of [REPLICATION_SOURCE, REPLICATION_DESTINATION]) {
    const name = `${plural}.volsync.backube`;
    const crd = await readable(() => api.get(CRD, { name }, { signal }), `CRD ${name}`, unread);
    const { labels, annotations } = typeof crd === "object" ? crd.metadata : {};
    const release = annotations?.["meta.helm.sh/release-name"];
    const flux = labels?.["kustomize.toolkit.fluxcd.io/name"];
    const owner =
      release === undefined
        ? flux &&
          `Flux's Kustomization ${labels?.["kustomize.toolkit.fluxcd.io/namespace"]}/${flux}`
        : `Helm's release ${annotations?.["meta.helm.sh/release-namespace"]}/${release}`;
    found.push({ name, owner });
  }
  return found;
}

interface AccessReview extends KubeObject {
  spec: unknown;
  status?: { allowed?: boolean };
}
const REVIEW: Kind<AccessReview> = kind(
  "authorization.k8s.io/v1",
  "SubjectAccessReview",
  "subjectaccessreviews",
  { namespaced: false },
);

/** Asks the cluster about each right of the operator's account. */
async function findRights(
  { api, signal, account, namespace }: MigrationOptions,
  unread: string[],
): Promise<MigrationReport["rights"]> {
  const title = `${account.namespace}/${account.name}`;
  const there = await readable(
    () => api.get(SERVICE_ACCOUNT, account, { signal }),
    `ServiceAccount ${title}`,
    unread,
  );
  if (typeof there !== "object") return { account: title, exists: false, missing: [] };
  const missing: { right: string; why: string }[] = [];
  const check = async (right: Right, where: string | undefined): Promise<void> => {
    for (const resource of right.resources) {
      for (const verb of right.verbs) {
        const isAllowed = await mayAccount(api, account, { right, resource, verb, where }, signal);
        const group = right.group === "" ? "" : `.${right.group}`;
        if (!isAllowed) missing.push({ right: `${verb} ${resource}${group}`, why: right.why });
      }
    }
  };
  const asked = await readable(
    async () => {
      for (const right of OPERATOR_RIGHTS)
        await check(right, right.clusterWide ? undefined : namespace);
      for (const right of OWN_RIGHTS) await check(right, account.namespace);
    },
    `the rights of ${title}`,
    unread,
  );
  return { account: title, exists: true, missing: asked === "unread" ? [] : missing };
}

async function mayAccount(
  api: ClusterApi,
  { namespace, name }: MigrationOptions["account"],
  what: { right: Right; resource: string; verb: string; where: string | undefined },
  signal: AbortSignal,
): Promise<boolean> {
  const [plural, subresource] = what.resource.split("/");
  // Of a Lease only one is ours, and creation is decided without its name.
  const isLease = plural === "leases" && what.verb !== "create";
  const answer = await api.create(
    REVIEW,
    {
      apiVersion: REVIEW.apiVersion,
      kind: REVIEW.kind,
      metadata: {} as KubeObject["metadata"],
      spec: {
        user: `system:serviceaccount:${namespace}:${name}`,
        groups: [
          "system:serviceaccounts",
          `system:serviceaccounts:${namespace}`,
          "system:authenticated",
        ],
        resourceAttributes: {
          group: what.right.group,
          resource: plural,
          verb: what.verb,
          ...(subresource === undefined ? {} : { subresource }),
          ...(what.where === undefined ? {} : { namespace: what.where }),
          ...(isLease ? { name: LEASE_NAME } : {}),
        },
      },
    },
    { signal },
  );
  return answer.status?.allowed === true;
}
