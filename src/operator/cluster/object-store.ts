// The Store in memory. What changes it calls the listeners, one change after the other in the order of the API server, and only
// when something did change. A listener that throws is told to `onError` and stops nobody else.

import { keyOf, type KubeObject } from "./kube-object.ts";
import type { IndexOf, Store, StoreChange } from "./store.ts";

export interface ObjectStoreOptions<T> {
  readonly indexes?: Readonly<Record<string, IndexOf<T>>> | undefined;
  readonly onError: (error: unknown) => void;
}

export class ObjectStore<T extends KubeObject> implements Store<T> {
  readonly #options: ObjectStoreOptions<T>;
  /** By namespace ("" for objects without one), then by name. */
  readonly #spaces = new Map<string, Map<string, T>>();
  /** By index, then by key: keys of objects. */
  readonly #indexes = new Map<string, Map<string, Map<string, T>>>();
  readonly #listeners = new Set<(change: StoreChange<T>) => void>();

  constructor(options: ObjectStoreOptions<T>) {
    this.#options = options;
    for (const name of Object.keys(options.indexes ?? {})) this.#indexes.set(name, new Map());
  }

  get(namespace: string | undefined, name: string): T | undefined {
    return this.#spaces.get(namespace ?? "")?.get(name);
  }

  list(namespace?: string): readonly T[] {
    if (namespace !== undefined) return [...(this.#spaces.get(namespace)?.values() ?? [])];
    return [...this.#spaces.values()].flatMap((space) => [...space.values()]);
  }

  indexed(index: string, key: string): readonly T[] {
    const entries = this.#indexes.get(index);
    if (entries === undefined) throw new Error(`there is no index ${index}`);
    return [...(entries.get(key)?.values() ?? [])];
  }

  onChange(listener: (change: StoreChange<T>) => void): () => void {
    // Wrapped, so that the same function given twice is two listeners.
    const own = (change: StoreChange<T>): void => listener(change);
    this.#listeners.add(own);
    return () => void this.#listeners.delete(own);
  }

  get size(): number {
    let size = 0;
    for (const space of this.#spaces.values()) size += space.size;
    return size;
  }

  /** The object is there, like this. */
  set(after: T): void {
    const before = this.get(after.metadata.namespace, after.metadata.name);
    if (before !== undefined && isSame(before, after)) return;
    // Another object under the same name: the first one's end was not seen, but it did end.
    if (before !== undefined && before.metadata.uid !== after.metadata.uid) {
      this.#put(before, undefined);
      this.#put(undefined, after);
    } else {
      this.#put(before, after);
    }
  }

  /** The object is gone. */
  remove(object: T): void {
    const before = this.get(object.metadata.namespace, object.metadata.name);
    if (before !== undefined) this.#put(before, undefined);
  }

  /** These are all there are. */
  replaceAll(items: readonly T[]): void {
    const keys = new Set(items.map(keyOf));
    for (const object of this.list()) if (!keys.has(keyOf(object))) this.#put(object, undefined);
    for (const item of items) this.set(item);
  }

  #put(before: T | undefined, after: T | undefined): void {
    if (before !== undefined) this.#forget(before);
    if (after !== undefined) this.#keep(after);
    const change = { before, after };
    for (const listener of this.#listeners) {
      try {
        listener(change);
      } catch (error) {
        this.#options.onError(error);
      }
    }
  }

  #keep(object: T): void {
    const { namespace = "", name } = object.metadata;
    let space = this.#spaces.get(namespace);
    if (space === undefined) this.#spaces.set(namespace, (space = new Map<string, T>()));
    space.set(name, object);
    for (const [entries, key] of this.#entriesOf(object)) {
      let found = entries.get(key);
      if (found === undefined) entries.set(key, (found = new Map<string, T>()));
      found.set(keyOf(object), object);
    }
  }

  #forget(object: T): void {
    const { namespace = "", name } = object.metadata;
    const space = this.#spaces.get(namespace);
    space?.delete(name);
    if (space?.size === 0) this.#spaces.delete(namespace);
    for (const [entries, key] of this.#entriesOf(object)) {
      const found = entries.get(key);
      found?.delete(keyOf(object));
      if (found?.size === 0) entries.delete(key);
    }
  }

  /** Where the object stands in the indexes: for the same object always the same, because objects are never changed. */
  *#entriesOf(object: T): Generator<[Map<string, Map<string, T>>, string]> {
    for (const [name, indexOf] of Object.entries(this.#options.indexes ?? {})) {
      for (const key of new Set(indexOf(object))) yield [this.#indexes.get(name)!, key];
    }
  }
}

function isSame(before: KubeObject, after: KubeObject): boolean {
  const { uid, resourceVersion } = before.metadata;
  return (
    resourceVersion !== undefined &&
    resourceVersion === after.metadata.resourceVersion &&
    uid === after.metadata.uid
  );
}
