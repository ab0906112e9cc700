// Lists of the double, in pages: all pages show the state of the first one, until that state is compacted.

import type { KubeObject } from "../../../src/operator/cluster/kube-object.ts";
import { ApiFault } from "./api-fault.ts";
import { apiVersionOf, resourceKey, type ApiResource } from "./api-resources.ts";
import type { ObjectTable } from "./object-table.ts";
import type { Matcher } from "./selectors.ts";

export interface ListRequest {
  readonly resource: ApiResource;
  readonly namespace: string | undefined;
  readonly matches: Matcher;
  readonly limit: number | undefined;
  readonly token: string | undefined;
  readonly version: string | undefined;
}

interface Rest {
  readonly items: KubeObject[];
  readonly revision: number;
}

export class ListPages {
  readonly #table: ObjectTable;
  readonly #rests = new Map<string, Rest>();
  #tokens = 0;

  constructor(table: ObjectTable) {
    this.#table = table;
  }

  answer(request: ListRequest): object {
    const { resource, limit } = request;
    const { items, revision } = this.#restOf(request);
    const page = limit === undefined ? items : items.slice(0, limit);
    const rest = items.slice(page.length);
    let token: string | undefined;
    if (rest.length > 0) {
      this.#tokens += 1;
      token = `token-${this.#tokens}`;
      this.#rests.set(token, { items: rest, revision });
    }
    return {
      kind: `${resource.kind}List`,
      apiVersion: apiVersionOf(resource),
      metadata: {
        resourceVersion: String(revision),
        ...(token === undefined ? {} : { continue: token, remainingItemCount: rest.length }),
      },
      items: page.map((item) => listItem(resource, item)),
    };
  }

  #restOf({ resource, namespace, matches, token, version }: ListRequest): Rest {
    const { revision, compacted } = this.#table;
    if (version !== undefined && Number(version) > revision) {
      throw new ApiFault(
        504,
        "Timeout",
        `Too large resource version: ${version}, current: ${revision}`,
        {
          retryAfter: 1,
        },
      );
    }
    if (token === undefined) {
      const items = this.#table
        .list(resourceKey(resource))
        .filter((object) => namespace === undefined || object.metadata.namespace === namespace)
        .filter(matches);
      return { items, revision };
    }
    const rest = this.#rests.get(token);
    if (rest === undefined || rest.revision < compacted) {
      throw new ApiFault(
        410,
        "Expired",
        "The provided continue parameter is too old to display a consistent list result.",
      );
    }
    return rest;
  }
}

/** Items of built-in kinds do not say what they are. */
function listItem(resource: ApiResource, object: KubeObject): object {
  if (resource.schema !== undefined) return object;
  const { apiVersion: _version, kind: _kind, ...rest } = object;
  return rest;
}
