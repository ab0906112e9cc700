// What an update of an object leaves of what is sent: the status or everything but it, and nothing of what only the server decides.

import type { KubeObject } from "../../../src/operator/cluster/kube-object.ts";
import { invalid } from "./api-fault.ts";
import { copy } from "./json-value.ts";
import { kindName } from "./object-rules.ts";
import type { Target } from "./object-writes.ts";

/** What of `object` counts, given what is written: all but the status, or nothing but it. */
export function mergedWrite(target: Target, current: KubeObject, object: KubeObject): KubeObject {
  const { resource, subresource } = target;
  const next: KubeObject =
    subresource === "status"
      ? ({
          ...copy(current),
          status: copy((object as { status?: unknown }).status),
        } as KubeObject)
      : copy(object);
  if (subresource === "status") {
    if ((next as { status?: unknown }).status === undefined)
      delete (next as { status?: unknown }).status;
    // Of built-in kinds, a write of the status may set labels and annotations too.
    if (resource.schema === undefined) {
      const { labels, annotations } = object.metadata;
      next.metadata = {
        ...next.metadata,
        ...(labels ? { labels: copy(labels) } : {}),
        ...(annotations ? { annotations: copy(annotations) } : {}),
      };
    }
    return next;
  }
  const was = current.metadata;
  next.metadata = {
    ...next.metadata,
    uid: was.uid!,
    resourceVersion: was.resourceVersion!,
    ...(was.creationTimestamp ? { creationTimestamp: was.creationTimestamp } : {}),
    ...(was.generation === undefined ? {} : { generation: was.generation }),
  };
  if (was.deletionTimestamp) next.metadata.deletionTimestamp = was.deletionTimestamp;
  else delete next.metadata.deletionTimestamp;
  const added = (next.metadata.finalizers ?? []).filter((f) => !was.finalizers?.includes(f));
  if (was.deletionTimestamp && added.length > 0) {
    throw invalid(kindName(resource), was.name, [
      {
        reason: "FieldValueInvalid",
        field: "metadata.finalizers",
        message: "Forbidden: no new finalizers can be added if the object is being deleted",
      },
    ]);
  }
  if (resource.hasStatus) {
    const { status } = current as { status?: unknown };
    if (status === undefined) delete (next as { status?: unknown }).status;
    else (next as { status?: unknown }).status = copy(status);
  }
  return next;
}
