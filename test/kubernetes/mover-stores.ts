// Stores of the operator with what a test puts into them, for what reads only those.

import type { Job, KubeObject, Pod } from "../../src/operator/cluster/kube-object.ts";
import type { Store } from "../../src/operator/cluster/store.ts";
import type { OperatorStores } from "../../src/operator/context.ts";

/** A store of `items`, which the caller may change. */
export function storeOf<T extends KubeObject>(
  items: readonly T[],
  keysOf: (item: T) => readonly string[] = () => [],
): Store<T> {
  return {
    get: (namespace, name) =>
      items.find(({ metadata }) => metadata.name === name && metadata.namespace === namespace),
    list: (namespace) =>
      items.filter(({ metadata }) => namespace === undefined || metadata.namespace === namespace),
    indexed: (_, key) => items.filter((item) => keysOf(item).includes(key)),
    onChange: () => () => {},
  };
}

/** The stores that movers are read from. */
export function moverStores(jobs: readonly Job[], pods: readonly Pod[]): OperatorStores {
  const job = ({ metadata }: Pod): string[] => [
    `${metadata.namespace}/${metadata.labels?.["job-name"]}`,
  ];
  return {
    jobs: storeOf(jobs),
    pods: storeOf(pods, job),
    claims: storeOf([]),
    snapshots: storeOf([]),
  };
}
