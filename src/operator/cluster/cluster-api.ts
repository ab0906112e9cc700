// What the operator asks of a Kubernetes API server. One implementation speaks HTTP to a real one (api-client.ts); tests have
// another that keeps everything in memory and is as strict.
//
// Failures are HoldfastErrors: CLUSTER_CONFLICT (somebody else wrote first: read again), CLUSTER_EXISTS, CLUSTER_NOT_FOUND (of a
// write), CLUSTER_INVALID (the server refuses the object), CLUSTER_DENIED (RBAC or admission), CLUSTER_GONE (410: list again),
// CLUSTER_UNREACHABLE (retryable), CLUSTER_FAILED.

import type { Kind } from "./kinds.ts";
import type { KubeObject } from "./kube-object.ts";

export interface ObjectPlace {
  /** Absent for objects that belong to no namespace. */
  readonly namespace?: string | undefined;
  readonly name: string;
}

export interface ListOptions {
  /** Absent: all namespaces. */
  readonly namespace?: string | undefined;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Cuts an object to what its readers need, as soon as it is read: thousands of whole ones would fill the memory. */
export type Slim<T> = (object: T) => T;

export interface ObjectList<T> {
  readonly items: T[];
  /** Where a watch goes on from. */
  readonly resourceVersion: string;
}

export interface WatchOptions extends ListOptions {
  readonly resourceVersion: string;
  /** After how long the server ends it; the server's own choice when absent. */
  readonly timeoutSeconds?: number;
}

export type WatchEvent<T> =
  | { readonly type: "ADDED" | "MODIFIED" | "DELETED"; readonly object: T }
  | { readonly type: "BOOKMARK"; readonly resourceVersion: string };

export type PatchType = "merge" | "json" | "apply";

export interface WriteOptions {
  readonly signal?: AbortSignal | undefined;
  /** Ask the server whether it would take it, and change nothing. */
  readonly dryRun?: boolean;
}

export interface PatchOptions extends WriteOptions {
  readonly type: PatchType;
  readonly subresource?: "status";
  /** Who applies; for `apply` alone. */
  readonly fieldManager?: string;
  readonly force?: boolean;
}

export interface DeleteOptions extends WriteOptions {
  /** Delete this very object, and none that has taken its name: CLUSTER_CONFLICT otherwise. */
  readonly uid?: string | undefined;
  readonly propagation?: "Background" | "Foreground" | "Orphan";
}

export interface LogOptions {
  readonly container?: string;
  /** Lines from the end. */
  readonly tailLines?: number;
  /** Bytes from the start of what is asked for. */
  readonly limitBytes?: number;
  readonly signal?: AbortSignal | undefined;
}

export interface ClusterApi {
  /** Undefined when there is none. */
  get<T extends KubeObject>(
    kind: Kind<T>,
    place: ObjectPlace,
    options?: { signal?: AbortSignal },
  ): Promise<T | undefined>;
  /** All pages of it. */
  list<T extends KubeObject>(
    kind: Kind<T>,
    options?: ListOptions & { readonly slim?: Slim<T> | undefined },
  ): Promise<ObjectList<T>>;
  /** Ends when the server ends it, which is no error; throws CLUSTER_GONE when the place is forgotten. */
  watch<T extends KubeObject>(kind: Kind<T>, options: WatchOptions): AsyncIterable<WatchEvent<T>>;
  create<T extends KubeObject>(kind: Kind<T>, object: T, options?: WriteOptions): Promise<T>;
  /** Replaces all of it but its status; `metadata.resourceVersion` decides whether it may. */
  replace<T extends KubeObject>(kind: Kind<T>, object: T, options?: WriteOptions): Promise<T>;
  replaceStatus<T extends KubeObject>(kind: Kind<T>, object: T, options?: WriteOptions): Promise<T>;
  patch<T extends KubeObject>(
    kind: Kind<T>,
    place: ObjectPlace,
    patch: unknown,
    options: PatchOptions,
  ): Promise<T>;
  /** False when there was none. */
  delete(kind: Kind, place: ObjectPlace, options?: DeleteOptions): Promise<boolean>;
  /** What a container has printed. Undefined when there is no such pod, or nothing to be had from it yet. */
  podLog(place: ObjectPlace, options?: LogOptions): Promise<string | undefined>;
  /** Whether the server has the kind at all: its CRD may be missing. */
  serves(kind: Kind, options?: { signal?: AbortSignal }): Promise<boolean>;
  /** Whether we may `verb` objects of the kind there (SelfSubjectAccessReview). */
  allowed(
    review: { kind: Kind; verb: string; namespace?: string; name?: string; subresource?: string },
    options?: { signal?: AbortSignal },
  ): Promise<boolean>;
}
