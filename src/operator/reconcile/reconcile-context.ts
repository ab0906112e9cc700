// What the reconcilers of both kinds are given beyond the operator's context: the resources themselves, what deals with volumes, and
// what this process remembers. Nothing that is remembered here decides about a run: a process that forgets it only asks again.

import type { KubeObject } from "../cluster/kube-object.ts";
import type { Kind } from "../cluster/kinds.ts";
import type { Store } from "../cluster/store.ts";
import type { OperatorContext, Step } from "../context.ts";
import type { SyncResource, SyncStatus } from "../machine/sync-resource.ts";
import type { MoverOwner } from "../mover/owner.ts";
import type { Role } from "../names.ts";
import type { ReplicationDestination } from "../resources/replication-destination.ts";
import type { ReplicationSource } from "../resources/replication-source.ts";
import type { RunPlan } from "../run-plan.ts";
import type { Problem } from "../signals/conditions.ts";
import type { MoverTurns } from "./mover-turns.ts";
import type { CacheVolume, Identity, MoverRights, MoverVolume } from "../volumes/volume.ts";

/** A resource as the machine, the mover and the volumes see it. */
export type Owner = SyncResource & MoverOwner;

/** What is done about volumes (volumes/), for one role. */
export interface VolumeWork<T extends KubeObject> {
  /** The volume that a mover reads or writes. */
  volume(owner: T, plan: RunPlan): Promise<Step<MoverVolume>>;
  cache(owner: T, plan: RunPlan): Promise<Step<CacheVolume>>;
  /** Who the mover is; of the application's claim. */
  identity(owner: T, rights: MoverRights): Promise<Identity>;
  /** After a restore: what it left, of the snapshot `restored`. Undefined for a source. */
  image(
    owner: T,
    plan: RunPlan,
    restored: string | undefined,
  ): Promise<Step<SyncStatus["latestImage"]>>;
  /** Removes what a run made. `plan` is undefined when nobody knows any more which run it was. */
  cleanUp(owner: T, plan: RunPlan | undefined): Promise<Step<void>>;
}

/** What a resource looks at before it begins. */
export interface Obstacle extends Problem {
  /** Milliseconds after which to look again, though nothing changed. */
  readonly recheck?: number | undefined;
}

/** One kind of resource. */
export interface RolePart<T extends Owner> {
  readonly role: Role;
  readonly kind: Kind<T>;
  readonly store: Store<T>;
  readonly volumes: VolumeWork<T>;
  /** Checks an object of the store; RESOURCE_INVALID. */
  read(value: unknown): T;
  /** What a new run has to wait for; undefined: nothing. */
  obstacle(owner: T, plan: { readonly mode: "compat" | "safe" }): Promise<Obstacle | undefined>;
  /** What a run that may begin all the same should be warned of. */
  warning(owner: T): Problem | undefined;
}

export interface ReconcileContext extends OperatorContext {
  readonly sources: Store<ReplicationSource>;
  readonly destinations: Store<ReplicationDestination>;
  readonly memory: ReconcileMemory;
  readonly turns: MoverTurns;
}

/** What this process has said or seen already. */
export class ReconcileMemory {
  /** By key: UID and generation whose Secret was found good. */
  readonly #checked = new Map<string, string>();
  readonly #told = new Map<string, Set<string>>();

  /** True when the resource's Secret was found good since the resource was changed last. */
  hasChecked(key: string, { metadata }: KubeObject): boolean {
    return this.#checked.get(key) === `${metadata.uid}/${metadata.generation}`;
  }

  setChecked(key: string, { metadata }: KubeObject): void {
    this.#checked.set(key, `${metadata.uid}/${metadata.generation}`);
  }

  forgetChecked(key: string): void {
    this.#checked.delete(key);
  }

  /** True the first time that `what` is to be said of the resource. */
  isNews(key: string, what: string): boolean {
    const told = this.#told.get(key) ?? new Set();
    this.#told.set(key, told);
    if (told.has(what)) return false;
    told.add(what);
    return true;
  }

  forget(key: string): void {
    this.#checked.delete(key);
    this.#told.delete(key);
  }
}
