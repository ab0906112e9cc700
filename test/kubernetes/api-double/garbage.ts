// What the garbage collector and the other controllers of the control plane do about deletion: dependents go when all their owners
// are gone, a namespace takes its content with it, a claim stays for as long as a pod mounts it.

import { setImmediate as turn } from "node:timers/promises";
import type { KubeObject } from "../../../src/operator/cluster/kube-object.ts";
import type { Change, ObjectTable } from "./object-table.ts";

const PVC_PROTECTION = "kubernetes.io/pvc-protection";

export class Garbage {
  readonly #table: ObjectTable;
  #isDirty = false;
  #isRunning = false;
  #living = new Set<string | undefined>();

  readonly #now: () => number;

  constructor(table: ObjectTable, now: () => number) {
    this.#table = table;
    this.#now = now;
    table.onChange((change) => this.#onChange(change));
  }

  /** Nothing is left to do. */
  get isQuiet(): boolean {
    return !this.#isDirty && !this.#isRunning;
  }

  #onChange({ before, after }: Change): void {
    const isNewWithOwner =
      before === undefined && (after?.metadata.ownerReferences ?? []).length > 0;
    if (after === undefined || after.metadata.deletionTimestamp || isNewWithOwner) this.#start();
  }

  #start(): void {
    this.#isDirty = true;
    if (!this.#isRunning) void this.#run();
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    while (this.#isDirty) {
      this.#isDirty = false;
      // In the background, as in a real cluster: whoever deleted has their answer first.
      await turn();
      const all = [...this.#table.all()];
      // Who was there when the pass began; one that goes during it leaves its dependents to the next.
      this.#living = new Set(all.map(({ object }) => object.metadata.uid));
      for (const { resource, key, object } of all) this.#collect(resource, key, object);
    }
    this.#isRunning = false;
  }

  #collect(resource: string, key: string, object: KubeObject): void {
    const { ownerReferences = [], finalizers = [], deletionTimestamp } = object.metadata;
    if (ownerReferences.length > 0) {
      const living = ownerReferences.filter((owner) => this.#living.has(owner.uid));
      // What is leaving already goes on below: its finalizers may be ours to remove.
      if (living.length === 0 && !deletionTimestamp) return this.#delete(resource, key, object);
      if (living.length > 0 && living.length < ownerReferences.length) {
        return this.#put(resource, key, object, { ownerReferences: living });
      }
    }
    if (!deletionTimestamp) return;
    if (finalizers.includes("orphan")) {
      for (const { resource: of, key: at, object: dependent } of this.#table.all()) {
        const owners = dependent.metadata.ownerReferences ?? [];
        const others = owners.filter(({ uid }) => uid !== object.metadata.uid);
        if (others.length < owners.length)
          this.#put(of, at, dependent, { ownerReferences: others });
      }
      return this.#release(resource, key, object, "orphan");
    }
    if (finalizers.includes("foregroundDeletion")) {
      let isBlocked = false;
      for (const { resource: of, key: at, object: dependent } of this.#table.all()) {
        const owner = dependent.metadata.ownerReferences?.find(
          ({ uid }) => uid === object.metadata.uid,
        );
        if (owner === undefined) continue;
        this.#delete(of, at, dependent);
        isBlocked ||= owner.blockOwnerDeletion === true && this.#table.get(of, at) !== undefined;
      }
      if (!isBlocked) return this.#release(resource, key, object, "foregroundDeletion");
    }
    if (finalizers.includes(PVC_PROTECTION) && !this.#isMounted(object)) {
      return this.#release(resource, key, object, PVC_PROTECTION);
    }
    if (resource === "namespaces" && finalizers.includes("kubernetes")) {
      const name = object.metadata.name;
      const content = [...this.#table.all()].filter(
        ({ object: { metadata } }) => metadata.namespace === name,
      );
      for (const { resource: of, key: at, object: inside } of content) this.#delete(of, at, inside);
      if (content.every(({ resource: of, key: at }) => this.#table.get(of, at) === undefined)) {
        this.#release(resource, key, object, "kubernetes");
      }
    }
  }

  /** A pod that is there holds its claims, also when it has ended. */
  #isMounted({ metadata }: KubeObject): boolean {
    return this.#table.list("pods").some((pod) => {
      const { volumes = [] } = (
        pod as unknown as {
          spec: { volumes?: { persistentVolumeClaim?: { claimName: string } }[] };
        }
      ).spec;
      return (
        pod.metadata.namespace === metadata.namespace &&
        volumes.some(({ persistentVolumeClaim: claim }) => claim?.claimName === metadata.name)
      );
    });
  }

  #delete(resource: string, key: string, object: KubeObject): void {
    if ((object.metadata.finalizers ?? []).length === 0) {
      this.#table.put(resource, key, undefined);
    } else if (!object.metadata.deletionTimestamp) {
      this.#put(resource, key, object, {
        deletionTimestamp: new Date(this.#now()).toISOString().replace(/\.\d+Z$/, "Z"),
      });
    }
  }

  #release(resource: string, key: string, object: KubeObject, finalizer: string): void {
    const finalizers = (object.metadata.finalizers ?? []).filter((name) => name !== finalizer);
    if (finalizers.length === 0) this.#table.put(resource, key, undefined);
    else this.#put(resource, key, object, { finalizers });
  }

  #put(
    resource: string,
    key: string,
    object: KubeObject,
    metadata: Partial<KubeObject["metadata"]>,
  ): void {
    this.#table.put(resource, key, { ...object, metadata: { ...object.metadata, ...metadata } });
  }
}
