// What etcd is to an API server: objects, one counter of revisions for all of them, and the changes of a while ago, from which
// watches begin. What was compacted is forgotten.

import type { KubeObject } from "../../../src/operator/cluster/kube-object.ts";

export interface Change {
  readonly revision: number;
  /** `plural.group`. */
  readonly resource: string;
  readonly before: KubeObject | undefined;
  readonly after: KubeObject | undefined;
}

export class ObjectTable {
  /** As in a server that has been running for a while. */
  revision = 1000;
  /** Watches from before it are refused. */
  compacted: number = this.revision;
  readonly #tables = new Map<string, Map<string, KubeObject>>();
  readonly #history: Change[] = [];
  readonly #listeners = new Set<(change: Change) => void>();

  get(resource: string, key: string): KubeObject | undefined {
    return this.#tables.get(resource)?.get(key);
  }

  /** In the order of their keys, as etcd has them. */
  list(resource: string): KubeObject[] {
    const table = this.#tables.get(resource);
    if (table === undefined) return [];
    return [...table.keys()].toSorted().map((key) => table.get(key)!);
  }

  /** Every object of every resource. */
  *all(): Generator<{ resource: string; key: string; object: KubeObject }> {
    for (const [resource, table] of this.#tables) {
      for (const [key, object] of table) yield { resource, key, object };
    }
  }

  /** Writes or, with undefined, removes. Gives back what was written, with its version. Never shares memory with callers. */
  put(resource: string, key: string, object: KubeObject | undefined): KubeObject | undefined {
    const before = this.get(resource, key);
    this.revision += 1;
    const after = object && structuredClone(object);
    if (after) after.metadata.resourceVersion = String(this.revision);
    let table = this.#tables.get(resource);
    if (table === undefined) this.#tables.set(resource, (table = new Map<string, KubeObject>()));
    if (after) table.set(key, after);
    else table.delete(key);
    const change = { revision: this.revision, resource, before, after };
    this.#history.push(change);
    for (const listener of this.#listeners) listener(change);
    return after;
  }

  /** Changes of a resource after a revision. Undefined: they are forgotten. */
  since(resource: string, revision: number): Change[] | undefined {
    if (revision < this.compacted) return undefined;
    return this.#history.filter(
      (change) => change.revision > revision && change.resource === resource,
    );
  }

  compact(): void {
    this.compacted = this.revision;
    this.#history.length = 0;
  }

  onChange(listener: (change: Change) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }
}
