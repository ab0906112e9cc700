// What the operator keeps of a ReplicationSource or -Destination, and how large one may be. Whoever may make them could otherwise fill
// the memory that the backups of all others need. Pure.

import { HoldfastError } from "../../base/errors.ts";
import type { KubeObject } from "../cluster/kube-object.ts";
import { slimMetadata } from "../cluster/slim-metadata.ts";

/** Characters of a spec and of the annotations that are ours, as JSON: some forty times of what the largest known ones have. */
const RESOURCE_MAX = 128 * 1024;

/** How large the resource is of which nothing but its names and its status was kept. Never sent to the API server. */
const SIZE = Symbol("size");

interface Measured extends KubeObject {
  readonly spec?: object;
  readonly [SIZE]?: number;
}

/** The resource without what is not read; of one that is too large not even its spec. The same again is the same. */
export function slimResource<T extends KubeObject>(object: T): T {
  const { spec, [SIZE]: known } = object as Measured;
  const metadata = slimMetadata(object.metadata);
  const size = known ?? JSON.stringify([metadata.annotations, spec]).length;
  if (size <= RESOURCE_MAX) return { ...object, metadata };
  const { annotations: _, ...names } = metadata;
  return { ...object, metadata: names, spec: {}, [SIZE]: size };
}

/** Throws RESOURCE_INVALID for one of which slimResource kept no spec. */
export function requireReadable(resource: KubeObject): void {
  const size = (resource as Measured)[SIZE];
  if (size === undefined) return;
  const kilobytes = (characters: number): string => `${Math.ceil(characters / 1024)} KiB`;
  throw new HoldfastError(
    "RESOURCE_INVALID",
    `the spec and the annotations have ${kilobytes(size)}, and more than ${kilobytes(RESOURCE_MAX)} are not read`,
    { hint: "Take out what no backup needs." },
  );
}
