// Events that are told once: a wait is looked at many times, and is one thing to know. Kept in memory alone: after a restart a
// wait that goes on is told again.

import type { KubeObject } from "../cluster/kube-object.ts";
import type { EventRecorder, OperatorContext } from "../context.ts";

const told = new WeakMap<EventRecorder, Set<string>>();
/** More waits than a cluster has at a time; then it begins anew. */
const MANY = 20_000;

export interface Telling {
  /** Whose events show it. */
  readonly owner: KubeObject;
  readonly type: "Normal" | "Warning";
  readonly reason: string;
  readonly action: string;
  readonly message: string;
  readonly related?: KubeObject | undefined;
}

export function tell({ events }: OperatorContext, { owner, ...event }: Telling): void {
  events.record({ about: owner, ...event });
}

/** As `tell`, unless the same was told of the same object. */
export function tellOnce(context: OperatorContext, telling: Telling): void {
  const { owner, related, reason } = telling;
  const key = [owner.metadata.uid, related?.metadata.uid ?? related?.metadata.name, reason].join();
  let known = told.get(context.events);
  if (known === undefined) told.set(context.events, (known = new Set()));
  if (known.has(key)) return;
  if (known.size >= MANY) known.clear();
  known.add(key);
  tell(context, telling);
}

/** Milliseconds since the object was made; none in an object without a time. */
export function ageOf({ metadata }: KubeObject, { clock }: OperatorContext): number {
  const made = Date.parse(metadata.creationTimestamp ?? "");
  return Number.isNaN(made) ? 0 : Math.max(0, clock.now() - made);
}
