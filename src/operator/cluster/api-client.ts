// The ClusterApi over HTTP: what a real API server is asked, and what its answers mean (cluster-api.ts says what each call
// promises). Nothing is tried again here: whoever asked knows whether that is safe.

import type { IncomingMessage } from "node:http";
import { isHoldfastError } from "../../base/errors.ts";
import { statusError, type Asked } from "./api-error.ts";
import { askedOf, groupOf, inNamespace, malformed, nameOf } from "./asked.ts";
import type {
  ClusterApi,
  DeleteOptions,
  ListOptions,
  LogOptions,
  ObjectList,
  ObjectPlace,
  PatchOptions,
  PatchType,
  Slim,
  WatchEvent,
  WatchOptions,
  WriteOptions,
} from "./cluster-api.ts";
import type { ClusterConfig } from "./cluster-config.ts";
import { pathOf, type Kind } from "./kinds.ts";
import type { KubeObject, ObjectMeta } from "./kube-object.ts";
import { AnswerTooLarge, Transport, type ApiRequest } from "./transport.ts";
import { watchLines } from "./watch-lines.ts";

/** A ClusterApi that holds connections. */
export interface ApiClient extends ClusterApi {
  /** Ends all connections; what is under way fails. */
  close(): void;
}

/** Objects in one answer to a list: with 500, the rest of what is cut away at once doubled the memory (docs/decisions/kubernetes-client.md). */
const PAGE = 100;
/** Bytes of such an answer: where objects are large, fewer of them are asked for. One alone has 3 MB at most. */
const PAGE_BYTES = 8 * 1024 * 1024;
/** Bytes of a pod's log, when nobody says how many. */
const LOG_MAX = 1024 * 1024;

const PATCH_TYPES: Readonly<Record<PatchType, string>> = {
  merge: "application/merge-patch+json",
  json: "application/json-patch+json",
  apply: "application/apply-patch+yaml",
};

/** Makes a client of the API server that `config` names. Asks it nothing yet. */
export function createApiClient(config: ClusterConfig): ApiClient {
  return new HttpClusterApi(new Transport(config));
}

class HttpClusterApi implements ApiClient {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  close(): void {
    this.#transport.close();
  }

  async get<T extends KubeObject>(
    kind: Kind<T>,
    place: ObjectPlace,
    { signal }: { signal?: AbortSignal } = {},
  ): Promise<T | undefined> {
    const asked = askedOf("get", kind, place);
    return await unlessMissing(
      this.#object<T>({ asked, method: "GET", path: pathOf(kind, place), signal }),
    );
  }

  async list<T extends KubeObject>(
    kind: Kind<T>,
    { slim, ...options }: ListOptions & { slim?: Slim<T> | undefined } = {},
  ): Promise<ObjectList<T>> {
    try {
      return await this.#pages(kind, options, slim, PAGE);
    } catch (error) {
      if (!isHoldfastError(error, "CLUSTER_GONE")) throw error;
      // The server forgot the state that the pages were cut from. All at once cannot be forgotten halfway.
      return await this.#pages(kind, options, slim, undefined);
    }
  }

  async #pages<T extends KubeObject>(
    kind: Kind<T>,
    options: ListOptions,
    slim: Slim<T> = (object) => object,
    limitFirst: number | undefined,
  ): Promise<ObjectList<T>> {
    const asked = askedOf("list", kind, { namespace: options.namespace });
    const items: T[] = [];
    let token: string | undefined;
    let limit = limitFirst;
    for (;;) {
      const page = await this.#json<{
        metadata?: { resourceVersion?: string; continue?: string };
        items?: T[] | null;
      }>({
        asked,
        method: "GET",
        path: pathOf(kind, options),
        query: { ...selectorsOf(options), limit: limit?.toString(), continue: token },
        answerMax: limit === undefined ? undefined : PAGE_BYTES,
        signal: options.signal,
      }).catch((error: unknown) => {
        if (!(error instanceof AnswerTooLarge) || limit === undefined || limit === 1) throw error;
        return undefined;
      });
      if (page === undefined) {
        limit = Math.ceil(limit! / 4);
        continue;
      }
      // Items of built-in kinds come without saying what they are.
      for (const item of page.items ?? []) {
        items.push(slim({ ...item, apiVersion: kind.apiVersion, kind: kind.kind }));
      }
      token = page.metadata?.continue || undefined;
      if (token !== undefined) continue;
      const resourceVersion = page.metadata?.resourceVersion;
      if (resourceVersion === undefined) throw malformed(asked, "a list without a version");
      return { items, resourceVersion };
    }
  }

  async *watch<T extends KubeObject>(
    kind: Kind<T>,
    options: WatchOptions,
  ): AsyncGenerator<WatchEvent<T>> {
    const asked = askedOf("watch", kind, { namespace: options.namespace });
    const { signal, resourceVersion, timeoutSeconds } = options;
    const stream = await this.#transport.open({
      asked,
      method: "GET",
      path: pathOf(kind, options),
      query: {
        ...selectorsOf(options),
        watch: "true",
        allowWatchBookmarks: "true",
        resourceVersion,
        timeoutSeconds: timeoutSeconds?.toString(),
      },
      isWatch: true,
      signal,
    });
    // A quiet watch is no failure: whoever watches knows how long is too long.
    stream.socket.setTimeout(0);
    yield* this.#events<T>(stream, asked, signal);
  }

  async *#events<T extends KubeObject>(
    stream: IncomingMessage,
    asked: Asked,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<WatchEvent<T>> {
    const onAbort = (): void => void stream.destroy();
    signal?.addEventListener("abort", onAbort, { once: true });
    try {
      for await (const { type, object } of watchLines(stream)) {
        if (signal?.aborted) break;
        if (type === "ERROR") throw statusError(object, { asked, httpStatus: 500 });
        const { metadata } = object as unknown as { metadata?: ObjectMeta };
        if (type === "BOOKMARK") {
          const version = metadata?.resourceVersion;
          if (version !== undefined) yield { type, resourceVersion: version };
        } else if (type === "ADDED" || type === "MODIFIED" || type === "DELETED") {
          if (typeof metadata?.name !== "string")
            throw malformed(asked, "an object without a name");
          yield { type, object: object as unknown as T };
        }
      }
    } catch (error) {
      throw this.#transport.failure({ asked, signal }, error);
    } finally {
      signal?.removeEventListener("abort", onAbort);
      stream.destroy();
    }
    if (signal?.aborted) throw this.#transport.failure({ asked, signal }, undefined);
  }

  async create<T extends KubeObject>(
    kind: Kind<T>,
    object: T,
    options: WriteOptions = {},
  ): Promise<T> {
    const { namespace } = object.metadata;
    return await this.#object<T>({
      asked: askedOf("create", kind, object.metadata),
      method: "POST",
      path: pathOf(kind, { namespace }),
      body: object,
      ...writing(options),
    });
  }

  async replace<T extends KubeObject>(
    kind: Kind<T>,
    object: T,
    options: WriteOptions = {},
  ): Promise<T> {
    return await this.#put(kind, object, "", options);
  }

  async replaceStatus<T extends KubeObject>(
    kind: Kind<T>,
    object: T,
    options: WriteOptions = {},
  ): Promise<T> {
    return await this.#put(kind, object, "/status", options);
  }

  async #put<T extends KubeObject>(
    kind: Kind<T>,
    object: T,
    subresource: string,
    options: WriteOptions,
  ): Promise<T> {
    return await this.#object<T>({
      asked: askedOf("update", kind, object.metadata, subresource),
      method: "PUT",
      path: pathOf(kind, object.metadata) + subresource,
      body: object,
      ...writing(options),
    });
  }

  async patch<T extends KubeObject>(
    kind: Kind<T>,
    place: ObjectPlace,
    patch: unknown,
    options: PatchOptions,
  ): Promise<T> {
    const subresource = options.subresource === undefined ? "" : `/${options.subresource}`;
    const { query, signal } = writing(options);
    return await this.#object<T>({
      asked: askedOf("patch", kind, place, subresource),
      method: "PATCH",
      path: pathOf(kind, place) + subresource,
      contentType: PATCH_TYPES[options.type],
      body: patch,
      query: {
        ...query,
        ...(options.type === "apply"
          ? {
              fieldManager: options.fieldManager ?? "holdfast",
              force: options.force ? "true" : undefined,
            }
          : {}),
      },
      signal,
    });
  }

  async delete(kind: Kind, place: ObjectPlace, options: DeleteOptions = {}): Promise<boolean> {
    const { uid, propagation = "Background", dryRun, signal } = options;
    const body = {
      kind: "DeleteOptions",
      apiVersion: "v1",
      // Without it, the pods of a Job would stay behind.
      propagationPolicy: propagation,
      ...(uid === undefined ? {} : { preconditions: { uid } }),
      ...(dryRun ? { dryRun: ["All"] } : {}),
    };
    const asked = askedOf("delete", kind, place);
    const answer = await unlessMissing(
      this.#transport.text({ asked, method: "DELETE", path: pathOf(kind, place), body, signal }),
    );
    return answer !== undefined;
  }

  async podLog(place: ObjectPlace, options: LogOptions = {}): Promise<string | undefined> {
    const { container, tailLines, limitBytes = LOG_MAX, signal } = options;
    try {
      const request: ApiRequest = {
        asked: {
          what: `read the log of Pod ${nameOf(place)}`,
          right: `get pods/log ${inNamespace(place.namespace)}`,
        },
        method: "GET",
        path: `${pathOf({ apiVersion: "v1", kind: "Pod", plural: "pods", namespaced: true }, place)}/log`,
        query: { container, tailLines: tailLines?.toString(), limitBytes: String(limitBytes) },
        accept: "*/*",
        signal,
      };
      return await this.#transport.text(request, limitBytes);
    } catch (error) {
      // 400: the container has not begun.
      if (isHoldfastError(error, "CLUSTER_NOT_FOUND", "CLUSTER_INVALID")) return undefined;
      throw error;
    }
  }

  async serves(kind: Kind, { signal }: { signal?: AbortSignal } = {}): Promise<boolean> {
    const { apiVersion } = kind;
    const asked = {
      what: `look up ${kind.kind} (${apiVersion})`,
      right: "read the API's discovery",
    };
    const found = await unlessMissing(
      this.#json<{ resources?: { name?: string }[] }>({
        asked,
        method: "GET",
        path: apiVersion.includes("/") ? `/apis/${apiVersion}` : `/api/${apiVersion}`,
        signal,
      }),
    );
    return found?.resources?.some(({ name }) => name === kind.plural) ?? false;
  }

  async allowed(
    review: { kind: Kind; verb: string; namespace?: string; name?: string; subresource?: string },
    { signal }: { signal?: AbortSignal } = {},
  ): Promise<boolean> {
    const { kind, verb, namespace, name, subresource } = review;
    const answer = await this.#json<{ status?: { allowed?: boolean } }>({
      asked: {
        what: `ask whether we may ${verb} ${kind.plural}`,
        right: "create selfsubjectaccessreviews.authorization.k8s.io",
      },
      method: "POST",
      path: "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
      body: {
        apiVersion: "authorization.k8s.io/v1",
        kind: "SelfSubjectAccessReview",
        spec: {
          resourceAttributes: {
            group: groupOf(kind),
            version: kind.apiVersion.split("/").at(-1),
            resource: kind.plural,
            verb,
            ...(namespace === undefined ? {} : { namespace }),
            ...(name === undefined ? {} : { name }),
            ...(subresource === undefined ? {} : { subresource }),
          },
        },
      },
      signal,
    });
    return answer.status?.allowed === true;
  }

  async #object<T extends KubeObject>(request: ApiRequest): Promise<T> {
    const object = await this.#json<T>(request);
    // A review is an answer, not an object that is kept: it has no name.
    const isReview = typeof object.kind === "string" && object.kind.endsWith("Review");
    if (typeof object.metadata?.name !== "string" && !isReview) {
      throw malformed(request.asked, "an object without a name");
    }
    return object;
  }

  async #json<T>(request: ApiRequest): Promise<T> {
    const text = await this.#transport.text(request);
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      throw malformed(request.asked, "what is no JSON");
    }
    if (typeof value !== "object" || value === null) throw malformed(request.asked, "no object");
    return value as T;
  }
}

function writing({ dryRun, signal }: WriteOptions): Pick<ApiRequest, "query" | "signal"> {
  return { query: { dryRun: dryRun ? "All" : undefined }, signal };
}

function selectorsOf(options: ListOptions): Record<string, string | undefined> {
  return { labelSelector: options.labelSelector, fieldSelector: options.fieldSelector };
}

async function unlessMissing<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if (isHoldfastError(error, "CLUSTER_NOT_FOUND")) return undefined;
    throw error;
  }
}
