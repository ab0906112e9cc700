// What a test sees and does behind the server's back: objects with their status, read and written with all rights and at once.

import { randomUUID } from "node:crypto";
import type { Kind } from "../../../src/operator/cluster/kinds.ts";
import type { KubeObject } from "../../../src/operator/cluster/kube-object.ts";
import type { ObjectTable } from "./object-table.ts";

export class DoubleObjects {
  readonly #table: ObjectTable;
  readonly #now: () => number;

  constructor(table: ObjectTable, now: () => number) {
    this.#table = table;
    this.#now = now;
  }

  get<T extends KubeObject>(
    kind: Kind<T>,
    namespace: string | undefined,
    name: string,
  ): T | undefined {
    const found = this.#table.get(resourceOf(kind), keyOf(namespace, name));
    return found && (structuredClone(found) as T);
  }

  list<T extends KubeObject>(kind: Kind<T>, namespace?: string): T[] {
    return this.#table
      .list(resourceOf(kind))
      .filter(({ metadata }) => namespace === undefined || metadata.namespace === namespace)
      .map((object) => structuredClone(object) as T);
  }

  /** Makes or replaces an object as it is, status included. What the server would fill in is filled in. */
  put<T extends KubeObject>(kind: Kind<T>, object: T): T {
    const { metadata } = object;
    const key = keyOf(metadata.namespace, metadata.name);
    const before = this.#table.get(resourceOf(kind), key)?.metadata;
    const whole = {
      ...object,
      apiVersion: kind.apiVersion,
      kind: kind.kind,
      metadata: {
        ...metadata,
        uid: metadata.uid ?? before?.uid ?? randomUUID(),
        generation: metadata.generation ?? before?.generation ?? 1,
        creationTimestamp: metadata.creationTimestamp ?? before?.creationTimestamp ?? this.time(),
      },
    };
    return structuredClone(this.#table.put(resourceOf(kind), key, whole)) as T;
  }

  /** Changes an object that is there. */
  update<T extends KubeObject>(
    kind: Kind<T>,
    namespace: string | undefined,
    name: string,
    change: (object: T) => void,
  ): T {
    const object = this.get(kind, namespace, name);
    if (object === undefined) throw new Error(`there is no ${kind.kind} ${keyOf(namespace, name)}`);
    change(object);
    return this.put(kind, object);
  }

  /** Removes it without regard for finalizers. False when there was none. */
  remove(kind: Kind, namespace: string | undefined, name: string): boolean {
    if (this.get(kind, namespace, name) === undefined) return false;
    this.#table.put(resourceOf(kind), keyOf(namespace, name), undefined);
    return true;
  }

  /** Now, as objects have it. */
  time(): string {
    return new Date(this.#now()).toISOString().replace(/\.\d+Z$/, "Z");
  }
}

function resourceOf({ apiVersion, plural }: Kind): string {
  return apiVersion.includes("/") ? `${plural}.${apiVersion.split("/")[0]}` : plural;
}

function keyOf(namespace: string | undefined, name: string): string {
  return namespace === undefined ? name : `${namespace}/${name}`;
}
