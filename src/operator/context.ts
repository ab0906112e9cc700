// What every part of the operator is given: the API server, the cached objects, clock, events, metrics and settings. Nothing below
// reads the process.

import type { Clock, Random } from "../base/clock.ts";
import type { ClusterApi } from "./cluster/cluster-api.ts";
import type {
  Job,
  KubeObject,
  PersistentVolumeClaim,
  Pod,
  VolumeSnapshot,
} from "./cluster/kube-object.ts";
import type { Store } from "./cluster/store.ts";

export interface OperatorContext {
  readonly api: ClusterApi;
  readonly stores: OperatorStores;
  readonly clock: Clock;
  readonly random: Random;
  readonly events: EventRecorder;
  readonly settings: OperatorSettings;
  readonly signal: AbortSignal;
}

/** Watched kinds. Anything else (Secrets above all) is asked for by name when it is needed. */
export interface OperatorStores {
  readonly claims: Store<PersistentVolumeClaim>;
  /** Our Jobs alone (label created-by). */
  readonly jobs: Store<Job>;
  /** All pods; index `claim` by `namespace/claim` that they mount, index `job` by `namespace/job-name`. */
  readonly pods: Store<Pod>;
  /** Empty where the cluster has no snapshots. */
  readonly snapshots: Store<VolumeSnapshot>;
}

/** Makes Events (events.k8s.io/v1) that `kubectl describe` shows. Never throws, never waits; the same again becomes a count. */
export interface EventRecorder {
  /** `reason` in CamelCase, `action` what we were doing (`Synchronizing`), `message` what, why and how to fix. */
  record(event: {
    readonly about: KubeObject;
    readonly type: "Normal" | "Warning";
    readonly reason: string;
    readonly action: string;
    readonly message: string;
    readonly related?: KubeObject | undefined;
  }): void;
}

export interface OperatorSettings {
  /** Image of movers. */
  readonly image: string;
  /** The image has rclone, for remotes that movers do not speak themselves. */
  readonly moversHaveRclone?: boolean | undefined;
  /** Where the operator itself runs: its Lease is there. */
  readonly namespace: string;
  /** Proxy variables that movers get: HTTP_PROXY and so on, both cases. */
  readonly proxyVariables: Readonly<Record<string, string>>;
  /** For all resources that do not say otherwise. */
  readonly defaultMode: "compat" | "safe";
  /** Movers of sources at once; 0 or absent: as many as are due. */
  readonly maxMovers?: number | undefined;
}

/**
 * One step of a run that may have to wait for the cluster: what it is about is ready, or why it is not. Things that cannot
 * become ready by waiting are thrown as HoldfastErrors.
 */
export type Step<T> =
  | { readonly ready: T }
  | {
      readonly waiting: {
        /** CamelCase. */
        readonly reason: string;
        /** For a person: what we wait for. */
        readonly message: string;
        /** Milliseconds after which to look again though no watched object changed; absent: a change will tell. */
        readonly recheck?: number | undefined;
        /** It has lasted longer than it should: it is told as a problem, and still waited for. */
        readonly late?: boolean | undefined;
      };
    };
