// What the operator keeps of an object's metadata: whoever may make objects decides how much there is, and thousands are kept. Pure.

import type { ObjectMeta } from "./kube-object.ts";

/** Names of labels and annotations that some part of the operator reads; also those that were meant for it and are misspelt. */
const OURS =
  /^(?:[a-z0-9.-]*(?:volsync|backube|holdfast)[a-z0-9.-]*\/|volume\.kubernetes\.io\/selected-node$|app\.kubernetes\.io\/created-by$)/i;

/** Names, times and owners, and of labels and annotations what is ours. It is not to be written back. */
export function slimMetadata(metadata: ObjectMeta): ObjectMeta {
  const { name, namespace, uid, resourceVersion, generation, ownerReferences } = metadata;
  const { creationTimestamp, deletionTimestamp, deletionGracePeriodSeconds } = metadata;
  return withoutAbsent({
    name,
    namespace,
    uid,
    resourceVersion,
    generation,
    creationTimestamp,
    deletionTimestamp,
    deletionGracePeriodSeconds,
    ownerReferences,
    labels: ours(metadata.labels),
    annotations: ours(metadata.annotations),
  }) as ObjectMeta;
}

function ours(all: Record<string, string> | undefined): Record<string, string> | undefined {
  const kept = Object.entries(all ?? {}).filter(([name]) => OURS.test(name));
  return kept.length === 0 ? undefined : Object.fromEntries(kept);
}

/** The value without the fields that are undefined. */
export function withoutAbsent<T extends object>(value: T): T {
  const entries = Object.entries(value).filter(([, field]) => field !== undefined);
  return Object.fromEntries(entries) as T;
}
