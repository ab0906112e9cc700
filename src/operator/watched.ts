// Everything that the operator watches, in stores that watches keep up to date, and which resource each change is about.

import type { Clock, Random } from "../base/clock.ts";
import type { HoldfastError } from "../base/errors.ts";
import { startInformer, type Informer } from "./cluster/informer.ts";
import type { ClusterApi, Slim } from "./cluster/cluster-api.ts";
import { CLAIM, JOB, POD, VOLUME_SNAPSHOT, type Kind } from "./cluster/kinds.ts";
import { keyOf, type Job, type KubeObject, type Pod } from "./cluster/kube-object.ts";
import { ObjectStore, type ObjectStoreOptions } from "./cluster/object-store.ts";
import { claimsOf, slimPod } from "./cluster/slim-pod.ts";
import { slimClaim, slimJob, slimObject, slimSnapshot } from "./cluster/slim-objects.ts";
import type { IndexOf, Store } from "./cluster/store.ts";
import type { OperatorStores } from "./context.ts";
import { CREATED_BY, LABEL, type Role } from "./names.ts";
import {
  REPLICATION_DESTINATION,
  type ReplicationDestination,
} from "./resources/replication-destination.ts";
import { REPLICATION_SOURCE, type ReplicationSource } from "./resources/replication-source.ts";
import { slimResource } from "./resources/slim-resource.ts";
import { targetClaimName } from "./volumes/destination-volume.ts";

export interface WatchedOptions {
  readonly api: ClusterApi;
  /** Absent or empty: all namespaces. */
  readonly namespaces?: readonly string[] | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly signal: AbortSignal;
  readonly onError: (error: unknown) => void;
  /** Told why we may not read a kind, at each attempt, and with undefined when we may. `what` tells one watch from another. */
  readonly onRefused?: ((what: string, error: HoldfastError | undefined) => void) | undefined;
}

export interface Watched {
  readonly stores: OperatorStores;
  readonly sources: Store<ReplicationSource>;
  readonly destinations: Store<ReplicationDestination>;
  /** Whether the cluster knows snapshots of volumes. */
  readonly hasSnapshots: boolean;
  /** All first lists are there. CANCELLED when the signal is aborted before. */
  readonly synced: Promise<void>;
  /** Nothing runs any more, after the signal. */
  readonly stopped: Promise<void>;
}

const LABELLED = `${LABEL.createdBy}=${CREATED_BY}`;

/** Starts to watch. Asks first whether the cluster knows snapshots of volumes at all. CLUSTER_*. */
export async function startWatching(options: WatchedOptions): Promise<Watched> {
  const { api, signal } = options;
  const informers: Informer<KubeObject>[] = [];
  const follow = <T extends KubeObject>(
    kind: Kind<T>,
    more: {
      labelSelector?: string;
      indexes?: Readonly<Record<string, IndexOf<T>>>;
      slim?: Slim<T>;
    } = {},
  ): Store<T> => {
    const { namespaces = [] } = options;
    const start = (namespace?: string): Store<T> => {
      const what = namespace === undefined ? kind.plural : `${kind.plural} in ${namespace}`;
      const informer = startInformer<T>({
        ...options,
        kind,
        slim: slimObject,
        namespace,
        ...more,
        onRefused: (error) => options.onRefused?.(what, error),
      });
      informers.push(informer as unknown as Informer<KubeObject>);
      return informer.store;
    };
    if (namespaces.length <= 1) return start(namespaces[0]);
    return mergedStore(namespaces.map(start), { indexes: more.indexes, onError: options.onError });
  };
  const hasSnapshots = await api.serves(VOLUME_SNAPSHOT, { signal });
  const sources = follow(REPLICATION_SOURCE, {
    slim: slimResource,
    indexes: { claim: sourceClaims },
  });
  const destinations = follow(REPLICATION_DESTINATION, {
    slim: slimResource,
    indexes: { claim: targetClaims },
  });
  const stores: OperatorStores = {
    claims: follow(CLAIM, { slim: slimClaim }),
    jobs: follow(JOB, { slim: slimJob, labelSelector: LABELLED }),
    pods: follow(POD, { slim: slimPod, indexes: { claim: mountedClaims, job: jobsOf } }),
    snapshots: hasSnapshots
      ? follow(VOLUME_SNAPSHOT, { slim: slimSnapshot })
      : new ObjectStore({ onError: options.onError }),
  };
  const synced = Promise.all(informers.map((each) => each.synced)).then(() => {});
  synced.catch(() => {});
  const stopped = Promise.all(informers.map((each) => each.stopped)).then(() => {});
  return { stores, sources, destinations, hasSnapshots, synced, stopped };
}

/** One store of several, each of a namespace of its own. */
function mergedStore<T extends KubeObject>(
  parts: readonly Store<T>[],
  options: ObjectStoreOptions<T>,
): Store<T> {
  const merged = new ObjectStore<T>(options);
  for (const part of parts) {
    part.onChange(({ before, after }) => {
      if (after) merged.set(after);
      else if (before) merged.remove(before);
    });
  }
  return merged;
}

/** VolSync's movers bear only the labels of the Job controller. */
function jobsOf({ metadata }: Pod): string[] {
  const job = metadata.ownerReferences?.find(({ kind }) => kind === "Job");
  return job === undefined ? [] : [`${metadata.namespace}/${job.name}`];
}

function mountedClaims(pod: Pod): string[] {
  return claimsOf(pod).map((claim) => `${pod.metadata.namespace}/${claim}`);
}

function sourceClaims({ metadata, spec }: ReplicationSource): string[] {
  const claim = spec?.sourcePVC;
  return claim === undefined ? [] : [`${metadata.namespace}/${claim}`];
}

function targetClaims(destination: ReplicationDestination): string[] {
  const { namespace } = destination.metadata;
  return destination.spec?.restic === undefined
    ? []
    : [`${namespace}/${targetClaimName(destination)}`];
}

/** Calls `add` for every resource that a change is about, from now on. */
export function onEveryChange(
  { stores, sources, destinations }: Watched,
  add: (role: Role, key: string) => void,
): void {
  const addOwners = ({ metadata }: KubeObject): void => {
    for (const { kind, name } of metadata.ownerReferences ?? []) {
      if (kind === "ReplicationSource") add("source", `${metadata.namespace}/${name}`);
      if (kind === "ReplicationDestination") add("destination", `${metadata.namespace}/${name}`);
    }
  };
  const addUsers = (claim: string, roles: readonly Role[]): void => {
    if (roles.includes("source")) {
      for (const source of sources.indexed("claim", claim)) add("source", keyOf(source));
    }
    if (roles.includes("destination")) {
      for (const each of destinations.indexed("claim", claim)) add("destination", keyOf(each));
    }
  };
  const jobs = new Map<string, Job>();
  // One that is gone is known for as long as its pods are there: the next one waits for their end.
  const forgetJob = (key: string): void => {
    const [namespace, name] = key.split("/") as [string, string];
    if (stores.jobs.get(namespace, name) !== undefined) return;
    if (stores.pods.indexed("job", key).length === 0) jobs.delete(key);
  };
  sources.onChange(({ before, after }) => add("source", keyOf((after ?? before)!)));
  destinations.onChange(({ before, after }) => {
    const destination = (after ?? before)!;
    add("destination", keyOf(destination));
    // A source may wait for the end of this restore.
    for (const claim of targetClaims(destination)) addUsers(claim, ["source"]);
  });
  stores.jobs.onChange(({ before, after }) => {
    if (after) jobs.set(keyOf(after), after);
    else if (before) forgetJob(keyOf(before));
    addOwners((after ?? before)!);
  });
  stores.claims.onChange(({ before, after }) => {
    const claim = (after ?? before)!;
    addOwners(claim);
    addUsers(keyOf(claim), ["source", "destination"]);
  });
  stores.snapshots.onChange(({ before, after }) => addOwners((after ?? before)!));
  stores.pods.onChange(({ before, after }) => {
    const pod = (after ?? before)!;
    addOwners(pod);
    for (const key of jobsOf(pod)) {
      const job = jobs.get(key);
      if (job !== undefined) addOwners(job);
      if (after === undefined) forgetJob(key);
    }
    // Whether a volume is in use decides about restores into it, and whether a volume of one pod can be read.
    for (const claim of mountedClaims(pod)) {
      const [namespace, name] = claim.split("/") as [string, string];
      const modes = stores.claims.get(namespace, name)?.spec.accessModes;
      const isExclusive = modes?.includes("ReadWriteOncePod") === true;
      addUsers(claim, isExclusive ? ["source", "destination"] : ["destination"]);
    }
  });
}
