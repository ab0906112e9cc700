// A kind's objects as the API server has them, kept up to date by a watch, and looked up without asking it. An informer
// (informer.ts) fills it; reconcilers read it. What it gives out must not be changed: it is what the next reader gets.

import type { KubeObject } from "./kube-object.ts";

export interface Store<T extends KubeObject> {
  get(namespace: string | undefined, name: string): T | undefined;
  list(namespace?: string): readonly T[];
  /** Objects under `key` of the index called `index`, which was given when the store was made. */
  indexed(index: string, key: string): readonly T[];
  /** Calls back after each change, with what was there before and what is there now. The result ends it. */
  onChange(listener: (change: StoreChange<T>) => void): () => void;
}

export interface StoreChange<T> {
  readonly before: T | undefined;
  readonly after: T | undefined;
}

/** What an object is found by, besides its name: keys such as `namespace/claim`. */
export type IndexOf<T> = (object: T) => readonly string[];
