// Watches of the double: from a version on, in order, through selectors (an object that begins to match was ADDED, one that ceases
// to was DELETED), with bookmarks, and with every way in which a watch can end.

import type { ServerResponse } from "node:http";
import type { KubeObject } from "../../../src/operator/cluster/kube-object.ts";
import { ApiFault } from "./api-fault.ts";
import { apiVersionOf, resourceKey, type ApiResource } from "./api-resources.ts";
import type { Change, ObjectTable } from "./object-table.ts";
import type { Matcher } from "./selectors.ts";

export interface WatchRequest {
  readonly resource: ApiResource;
  readonly namespace: string | undefined;
  readonly matches: Matcher;
  /** Empty or `0`: all that is there first. */
  readonly version: string;
  readonly bookmarks: boolean;
  readonly timeoutSeconds: number | undefined;
}

interface OpenWatch {
  readonly request: WatchRequest;
  readonly response: ServerResponse;
  /** Bytes are not sent on: a connection that is dead and does not know it. */
  isFrozen: boolean;
}

export class Watches {
  readonly #table: ObjectTable;
  readonly #open = new Set<OpenWatch>();

  constructor(table: ObjectTable) {
    this.#table = table;
    table.onChange((change) => {
      for (const watch of this.#open) this.#tell(watch, change);
    });
  }

  get count(): number {
    return this.#open.size;
  }

  /** How many watch a kind. */
  countOf(plural: string): number {
    return [...this.#open].filter(({ request }) => request.resource.plural === plural).length;
  }

  start(request: WatchRequest, response: ServerResponse): void {
    response.writeHead(200, { "content-type": "application/json" });
    response.flushHeaders();
    const watch: OpenWatch = { request, response, isFrozen: false };
    const { resource, version } = request;
    if (version === "" || version === "0") {
      for (const object of this.#table.list(resourceKey(resource))) {
        if (this.#isMeant(watch, object)) send(watch, "ADDED", object);
      }
    } else {
      const revision = Number(version);
      const missed = this.#table.since(resourceKey(resource), revision);
      if (missed === undefined) {
        // As a real one does: the watch itself is granted, and the refusal is its only event.
        const gone = new ApiFault(
          410,
          "Expired",
          `too old resource version: ${version} (${this.#table.compacted})`,
        );
        response.end(`${JSON.stringify({ type: "ERROR", object: gone.status() })}\n`);
        return;
      }
      for (const change of missed) this.#tell(watch, change);
    }
    this.#open.add(watch);
    const timer =
      request.timeoutSeconds === undefined
        ? undefined
        : setTimeout(() => this.#end(watch), request.timeoutSeconds * 1000).unref();
    response.on("close", () => {
      clearTimeout(timer);
      this.#open.delete(watch);
    });
  }

  /** Ends them as at their time. */
  end(plural?: string): void {
    for (const watch of this.#of(plural)) this.#end(watch);
  }

  /** Breaks their connections. */
  cut(plural?: string): void {
    for (const watch of this.#of(plural)) {
      this.#open.delete(watch);
      watch.response.destroy();
    }
  }

  /** Says nothing on them any more, though they stay open. */
  freeze(plural?: string): void {
    for (const watch of this.#of(plural)) watch.isFrozen = true;
  }

  /** Sends a line as it is. */
  sendRaw(text: string, plural?: string): void {
    for (const watch of this.#of(plural)) watch.response.write(text);
  }

  /** As a server does about once a minute. */
  bookmark(plural?: string): void {
    for (const watch of this.#of(plural)) {
      if (!watch.request.bookmarks) continue;
      const { kind } = watch.request.resource;
      const metadata = { resourceVersion: String(this.#table.revision), creationTimestamp: null };
      send(watch, "BOOKMARK", {
        kind,
        apiVersion: apiVersionOf(watch.request.resource),
        metadata: metadata as never,
      });
    }
  }

  #of(plural: string | undefined): OpenWatch[] {
    return [...this.#open].filter(
      ({ request }) => plural === undefined || request.resource.plural === plural,
    );
  }

  #end(watch: OpenWatch): void {
    this.#open.delete(watch);
    watch.response.end();
  }

  #tell(watch: OpenWatch, { resource, before, after, revision }: Change): void {
    if (resource !== resourceKey(watch.request.resource)) return;
    const was = before !== undefined && this.#isMeant(watch, before);
    const is = after !== undefined && this.#isMeant(watch, after);
    if (is) send(watch, was ? "MODIFIED" : "ADDED", after);
    else if (was) {
      // The last state of it, with the version of its end.
      const last = after ?? before;
      const metadata = { ...last.metadata, resourceVersion: String(revision) };
      send(watch, "DELETED", { ...last, metadata });
    }
  }

  #isMeant({ request }: OpenWatch, object: KubeObject): boolean {
    const { namespace, matches } = request;
    if (namespace !== undefined && object.metadata.namespace !== namespace) return false;
    return matches(object);
  }
}

function send(watch: OpenWatch, type: string, object: KubeObject): void {
  if (!watch.isFrozen) watch.response.write(`${JSON.stringify({ type, object })}\n`);
}
