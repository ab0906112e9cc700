// How a survey before a takeover asks a cluster: for each thing once, and "you may not" is an answer. Reads only. Values of Secrets
// are compared here, and never leave.

import type { Clock } from "../../base/clock.ts";
import { isHoldfastError, messageOf } from "../../base/errors.ts";
import type { ClusterApi, ListOptions } from "../cluster/cluster-api.ts";
import { SECRET, type Kind } from "../cluster/kinds.ts";
import type { KubeObject, Secret } from "../cluster/kube-object.ts";
import type { ReplicationSource } from "../resources/replication-source.ts";

interface SeekerOptions {
  readonly api: ClusterApi;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** Asks for each thing once, and takes "you may not" for an answer. */
export class Seeker {
  readonly #options: SeekerOptions;
  readonly #unread: string[];
  readonly #answers = new Map<string, Promise<unknown>>();
  /** Repositories by source. */
  readonly #places = new Map<string, string>();
  /** Claims by repository. */
  readonly #sharers = new Map<string, Set<string>>();

  constructor(options: SeekerOptions, unread: string[]) {
    this.#options = options;
    this.#unread = unread;
  }

  get now(): number {
    return this.#options.clock.now();
  }

  async one<T extends KubeObject>(
    what: Kind<T>,
    place: { namespace?: string | undefined; name: string },
  ): Promise<T | "unread" | undefined> {
    const { api, signal } = this.#options;
    const title = `${what.kind} ${place.namespace === undefined ? "" : `${place.namespace}/`}${place.name}`;
    return await this.#once(title, () => api.get(what, place, { signal }));
  }

  async many<T extends KubeObject>(what: Kind<T>, options: ListOptions): Promise<T[]> {
    const { api, signal } = this.#options;
    const title = `${what.plural} of ${options.namespace ?? "all namespaces"}`;
    const found = await this.#once(
      title,
      async () => (await api.list(what, { ...options, signal })).items,
    );
    return found === "unread" ? [] : found;
  }

  /** Learns which sources name one repository. Before `sharedWith`. */
  async findSharing(sources: readonly ReplicationSource[]): Promise<void> {
    for (const { metadata, spec } of sources) {
      const { namespace = "" } = metadata;
      const { repository: name } = spec.restic ?? {};
      if (!name) continue;
      const secret = await this.one<Secret>(SECRET, { namespace, name });
      const place = typeof secret === "object" ? repositoryOf(secret) : undefined;
      if (place === undefined) continue;
      this.#places.set(`${namespace}/${metadata.name}`, place);
      const sharers = this.#sharers.get(place) ?? new Set<string>();
      this.#sharers.set(place, sharers.add(`${namespace}/${spec.sourcePVC}`));
    }
  }

  /** Claims of other sources in the repository of this one. */
  sharedWith({ metadata, spec }: ReplicationSource): string[] {
    const own = `${metadata.namespace}/${spec.sourcePVC}`;
    const place = this.#places.get(`${metadata.namespace}/${metadata.name}`);
    const all = place === undefined ? undefined : this.#sharers.get(place);
    return [...(all ?? [])].filter((each) => each !== own).sort();
  }

  async #once<T>(title: string, ask: () => Promise<T>): Promise<T | "unread"> {
    const known = this.#answers.get(title) as Promise<T | "unread"> | undefined;
    const answer = known ?? readable(ask, title, this.#unread);
    this.#answers.set(title, answer);
    return await answer;
  }
}

/**
 * What tells repositories apart, and never leaves this file: the location, and for a remote of rclone's where it leads. Undefined
 * for paths, which are each mover's own.
 */
function repositoryOf({ data = {} }: Secret): string | undefined {
  const text = (key: string): string => Buffer.from(data[key] ?? "", "base64").toString("utf8");
  const location = text("RESTIC_REPOSITORY").trim().replace(/\/+$/, "");
  if (location === "" || /^(?:local:|[./])/.test(location)) return undefined;
  const remote = Object.keys(data).filter((key) =>
    /^RCLONE_CONFIG_.*_(?:ENDPOINT|REMOTE)$/i.test(key),
  );
  return JSON.stringify([location, ...remote.sort().map((key) => [key, text(key).trim()])]);
}

/** The answer of `ask`; "unread" when it may not be had, which `unread` then tells. */
export async function readable<T>(
  ask: () => Promise<T>,
  title: string,
  unread: string[],
): Promise<T | "unread"> {
  try {
    return await ask();
  } catch (error) {
    if (!isHoldfastError(error, "CLUSTER_DENIED")) throw error;
    unread.push(`${title}: ${messageOf(error)}`);
    return "unread";
  }
}
