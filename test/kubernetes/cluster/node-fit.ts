// Whether a node suits: node selectors of affinity, and taints, as the scheduler judges them.

import type { KubeObject } from "../../../src/operator/cluster/kube-object.ts";

export interface Taint {
  readonly key: string;
  readonly value?: string;
  readonly effect: string;
}

interface Expression {
  readonly key: string;
  readonly operator: string;
  readonly values?: readonly string[];
}

export interface NodeSelector {
  readonly nodeSelectorTerms: readonly {
    readonly matchExpressions?: readonly Expression[];
    readonly matchFields?: readonly Expression[];
  }[];
}

export interface NodeAffinity {
  readonly requiredDuringSchedulingIgnoredDuringExecution?: NodeSelector;
}

/** One term has to match, all of it. */
export function fitsAffinity(
  { metadata }: KubeObject,
  selector: NodeSelector | undefined,
): boolean {
  if (selector === undefined) return true;
  const labels = metadata.labels ?? {};
  const fields = { "metadata.name": metadata.name };
  return selector.nodeSelectorTerms.some(
    ({ matchExpressions = [], matchFields = [] }) =>
      matchExpressions.length + matchFields.length > 0 &&
      matchExpressions.every((each) => holds(labels, each)) &&
      matchFields.every((each) => holds(fields, each)),
  );
}

function holds(labels: Readonly<Record<string, string>>, expression: Expression): boolean {
  const { key, operator, values = [] } = expression;
  const value = labels[key];
  switch (operator) {
    case "In":
      return value !== undefined && values.includes(value);
    case "NotIn":
      return value === undefined || !values.includes(value);
    case "Exists":
      return value !== undefined;
    case "DoesNotExist":
      return value === undefined;
    case "Gt":
      return Number(value) > Number(values[0]);
    case "Lt":
      return Number(value) < Number(values[0]);
    default:
      throw new Error(`a node selector with operator ${operator}`);
  }
}

/** Whether a pod with these tolerations may be put where those taints are. */
export function tolerates(taints: readonly Taint[], tolerations: readonly unknown[] = []): boolean {
  return taints
    .filter(({ effect }) => effect === "NoSchedule" || effect === "NoExecute")
    .every((taint) =>
      (tolerations as Partial<Taint & { operator: string }>[]).some(
        ({ key, operator = "Equal", value = "", effect }) =>
          (effect === undefined || effect === "" || effect === taint.effect) &&
          (key === undefined || key === "" ? operator === "Exists" : key === taint.key) &&
          (operator === "Exists" || value === (taint.value ?? "")),
      ),
    );
}
