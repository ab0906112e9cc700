// What is asked of an API server, in words: for the messages of failures, and for the right that was missing.

import { HoldfastError } from "../../base/errors.ts";
import type { Asked } from "./api-error.ts";
import type { Kind } from "./kinds.ts";

interface Where {
  readonly namespace?: string | undefined;
  readonly name?: string | undefined;
}

/** `subresource` begins with a slash. */
export function askedOf(verb: string, kind: Kind, place: Where, subresource = ""): Asked {
  const group = groupOf(kind);
  const resource = `${kind.plural}${group && `.${group}`}${subresource}`;
  const status = subresource === "" ? "" : "the status of ";
  const where = kind.namespaced ? ` ${inNamespace(place.namespace)}` : "";
  return {
    what: `${verb} ${status}${kind.kind}${place.name === undefined ? where : ` ${nameOf(place)}`}`,
    right: `${verb} ${resource}${where}`,
  };
}

/** Empty for the core of the API. */
export function groupOf({ apiVersion }: Kind): string {
  return apiVersion.includes("/") ? apiVersion.slice(0, apiVersion.indexOf("/")) : "";
}

export function nameOf({ namespace, name }: Where): string {
  return namespace === undefined ? (name ?? "") : `${namespace}/${name ?? ""}`;
}

export function inNamespace(namespace: string | undefined): string {
  return namespace === undefined ? "in all namespaces" : `in namespace ${namespace}`;
}

/** The error for an answer that no API server gives. */
export function malformed({ what }: Asked, why: string): HoldfastError {
  return new HoldfastError("CLUSTER_FAILED", `cannot ${what}: the API server sent ${why}`, {
    hint: "See whether something else than an API server answers at this address.",
    retryable: true,
  });
}
