// The HTTP side of the double: paths, users, faults, and the answers. One process, no TLS, as strict as the real server where the
// operator depends on it.

import type { IncomingMessage, ServerResponse } from "node:http";
import { ApiFault, badRequest, notFound } from "./api-fault.ts";
import type { ApiResource, ApiResources } from "./api-resources.ts";
import { faultAnswer, type ApiCall, type FaultKind, type Faults } from "./faults.ts";
import { isObject, type Json } from "./json-value.ts";
import type { ListPages } from "./list-pages.ts";
import { keyOf, type ObjectWrites, type Target } from "./object-writes.ts";
import { ADMIN, authenticate, authorize, isAllowed, type User } from "./rbac.ts";
import { matcherOf } from "./selectors.ts";
import type { Watches } from "./watches.ts";

export interface ApiServerParts {
  readonly resources: ApiResources;
  readonly writes: ObjectWrites;
  readonly lists: ListPages;
  readonly watches: Watches;
  readonly faults: Faults;
  readonly users: ReadonlyMap<string, User> | undefined;
  readonly podLogs: ReadonlyMap<string, string>;
  /** Every call, before anything is done. */
  readonly onCall: (call: ApiCall) => void;
  /** Admission: a text refuses the write. */
  readonly admit: (call: ApiCall) => string | undefined;
}

interface Route {
  readonly resource: ApiResource;
  readonly namespace: string | undefined;
  readonly name: string | undefined;
  readonly subresource: string | undefined;
}

const SUBRESOURCES = new Set(["status", "log"]);
const VERBS: Readonly<Record<string, string>> = {
  POST: "create",
  PUT: "update",
  PATCH: "patch",
  DELETE: "delete",
};

export class ApiServer {
  readonly #parts: ApiServerParts;
  /** Requests under way, watches not counted. */
  busy = 0;
  /** Requests that came since the start. */
  total = 0;

  constructor(parts: ApiServerParts) {
    this.#parts = parts;
  }

  /** Answers one request. Never rejects. */
  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.busy += 1;
    this.total += 1;
    try {
      await this.#answer(request, response);
    } catch (error) {
      const fault =
        error instanceof ApiFault
          ? error
          : new ApiFault(500, "InternalError", String((error as Error).stack));
      const { retryAfter } = fault.fields;
      reply(
        response,
        fault.code,
        fault.status(),
        retryAfter ? { "retry-after": String(retryAfter) } : {},
      );
    } finally {
      this.busy -= 1;
    }
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "/", "http://double");
    const body = await bodyOf(request);
    const user = authenticate(this.#parts.users, request.headers.authorization);
    const discovered = request.method === "GET" ? this.#discover(url.pathname) : undefined;
    if (discovered !== undefined) return reply(response, 200, discovered);
    const route = this.#route(url.pathname);
    const call = callOf(request, url, route, user, body);
    this.#parts.onCall(call);
    authorize(user, call);
    const fault = this.#parts.faults.take(call);
    if (fault !== undefined) return await this.#meet(fault, request, response, url, route, call);
    this.#serve(request, response, url, route, call);
  }

  async #meet(
    fault: FaultKind,
    request: IncomingMessage,
    response: ServerResponse,
    url: URL,
    route: Route,
    call: ApiCall,
  ): Promise<void> {
    const answer = faultAnswer(fault);
    if (answer !== undefined) throw answer;
    if (fault === "hang") return;
    if (fault === "drop-before") return void response.destroy();
    if (fault === "drop-after") {
      const sink = { answer: (): void => {} };
      this.#serve(request, sinkResponse(response, sink), url, route, call);
      return void response.destroy();
    }
    if (typeof fault === "object" && "until" in fault) {
      await fault.until;
      this.#serve(request, response, url, route, call);
    } else if (typeof fault === "object" && "answerAfter" in fault) {
      const sink = { answer: (): void => {} };
      this.#serve(request, sinkResponse(response, sink), url, route, call);
      await fault.answerAfter;
      sink.answer();
    }
  }

  #serve(
    request: IncomingMessage,
    response: ServerResponse,
    url: URL,
    route: Route,
    call: ApiCall,
  ): void {
    const { writes, lists, watches } = this.#parts;
    const { resource, namespace, name, subresource } = route;
    const query = url.searchParams;
    const dryRun = query.getAll("dryRun").includes("All");
    if (call.verb === "list" || call.verb === "watch") {
      const matches = matcherOf(
        resource.group === "" ? resource.plural : `${resource.plural}.${resource.group}`,
        query.get("labelSelector") ?? undefined,
        query.get("fieldSelector") ?? undefined,
      );
      if (call.verb === "list") {
        const limit = Number(query.get("limit")) || undefined;
        const token = query.get("continue") ?? undefined;
        const version = query.get("resourceVersion") ?? undefined;
        return reply(
          response,
          200,
          lists.answer({ resource, namespace, matches, limit, token, version }),
        );
      }
      return watches.start(
        {
          resource,
          namespace,
          matches,
          version: query.get("resourceVersion") ?? "",
          bookmarks: query.get("allowWatchBookmarks") === "true",
          timeoutSeconds: Number(query.get("timeoutSeconds")) || undefined,
        },
        response,
      );
    }
    if (["create", "update", "patch", "delete"].includes(call.verb)) {
      const refusal = this.#parts.admit(call);
      if (refusal !== undefined) {
        throw new ApiFault(
          403,
          "Forbidden",
          `${resource.plural} "${name ?? nameIn(call.body)}" is forbidden: ${refusal}`,
        );
      }
    }
    if (call.verb === "create") {
      const review = this.#review(resource, call);
      if (review !== undefined) return reply(response, 201, review);
      return reply(response, 201, writes.create(resource, namespace, call.body, dryRun));
    }
    const target: Target = { resource, namespace, name: name!, subresource };
    if (subresource === "status" && !resource.hasStatus) throw notFoundPath();
    switch (call.verb) {
      case "get":
        if (subresource === "log") return this.#log(target, response, url);
        return reply(response, 200, writes.find(target));
      case "update":
        return reply(response, 200, writes.update(target, call.body, dryRun));
      case "patch": {
        const type = request.headers["content-type"] ?? "";
        const manager = query.get("fieldManager") ?? "";
        const force = query.get("force") === "true";
        const patch = { type, body: call.body, manager, force };
        return reply(response, 200, writes.patch(target, patch, dryRun));
      }
      case "delete": {
        const options = isObject(call.body) ? call.body : {};
        const isDry =
          dryRun || (Array.isArray(options["dryRun"]) && options["dryRun"].includes("All"));
        return reply(response, 200, writes.delete(target, options, isDry));
      }
      default:
        throw new ApiFault(
          405,
          "MethodNotAllowed",
          "the server does not allow this method on the requested resource",
        );
    }
  }

  #log(target: Target, response: ServerResponse, url: URL): void {
    const pod = this.#parts.writes.find(target) as { status?: { phase?: string } } & object;
    const text = this.#parts.podLogs.get(keyOf(target));
    if (text === undefined) {
      if (pod.status?.phase !== "Running") {
        throw badRequest(
          `container in pod "${target.name}" is waiting to start: ContainerCreating`,
        );
      }
      throw notFound("pods", target.name);
    }
    const tail = url.searchParams.get("tailLines");
    const lines = text.split("\n");
    const hasEnd = lines.at(-1) === "";
    const shown = tail === null ? text : lines.slice(-(Number(tail) + (hasEnd ? 1 : 0))).join("\n");
    const limit = Number(url.searchParams.get("limitBytes")) || Infinity;
    response.writeHead(200, { "content-type": "text/plain" });
    response.end(Buffer.from(shown).subarray(0, limit));
  }

  #review({ plural }: ApiResource, call: ApiCall): Json | undefined {
    if (!isObject(call.body)) return undefined;
    const spec = (call.body["spec"] ?? {}) as Json;
    const users = [...(this.#parts.users ?? [["admin", ADMIN]])] as [string, User][];
    if (plural === "tokenreviews") {
      const user = users.find(([token]) => token === spec["token"])?.[1];
      const status = user
        ? { authenticated: true, user: { username: user.name } }
        : { authenticated: false };
      return { ...call.body, status };
    }
    if (plural !== "selfsubjectaccessreviews" && plural !== "subjectaccessreviews")
      return undefined;
    const name = plural === "subjectaccessreviews" ? spec["user"] : call.user;
    const user = users.find(([, known]) => known.name === name)?.[1];
    const asked = (spec["resourceAttributes"] ?? {}) as Record<string, string>;
    const allowed =
      user !== undefined &&
      isAllowed(user, {
        verb: asked["verb"] ?? "",
        group: asked["group"] ?? "",
        plural: asked["resource"] ?? "",
        subresource: asked["subresource"],
        namespace: asked["namespace"],
        name: asked["name"],
      });
    return { ...call.body, status: { allowed } };
  }

  #discover(path: string): object | undefined {
    const { resources } = this.#parts;
    if (path === "/readyz" || path === "/livez") return {};
    if (path === "/version") return { major: "1", minor: "36", gitVersion: "v1.36.0-double" };
    if (path === "/api") return { kind: "APIVersions", versions: ["v1"] };
    if (path === "/apis") {
      const groups = [...resources.groups()].map(([name, versions]) => ({
        name,
        versions: [...versions].map((version) => ({ groupVersion: `${name}/${version}`, version })),
      }));
      return { kind: "APIGroupList", apiVersion: "v1", groups };
    }
    const [, group = "", version = ""] = /^\/api(?:s\/([^/]+))?\/([^/]+)$/.exec(path) ?? [];
    const served = version === "" ? [] : resources.ofGroup(group, version);
    if (served.length === 0) return undefined;
    return {
      kind: "APIResourceList",
      groupVersion: group === "" ? version : `${group}/${version}`,
      resources: served.flatMap(({ plural, kind, namespaced, hasStatus }) => [
        {
          name: plural,
          kind,
          namespaced,
          verbs: ["get", "list", "watch", "create", "update", "patch", "delete"],
        },
        ...(hasStatus
          ? [{ name: `${plural}/status`, kind, namespaced, verbs: ["get", "patch", "update"] }]
          : []),
      ]),
    };
  }

  #route(path: string): Route {
    const [, group = "", version = "", rest = ""] =
      /^\/api(?:s\/([^/]+))?\/([^/]+)\/(.+)$/.exec(path) ?? [];
    const parts = rest.split("/").map(decodeURIComponent);
    const isInNamespace =
      parts[0] === "namespaces" && parts.length > 2 && !SUBRESOURCES.has(parts[2]!);
    const namespace = isInNamespace ? parts[1] : undefined;
    const [plural = "", name, subresource, ...more] = isInNamespace ? parts.slice(2) : parts;
    const resource = this.#parts.resources.find(group, version, plural);
    if (resource === undefined || more.length > 0) throw notFoundPath();
    if (subresource !== undefined && !SUBRESOURCES.has(subresource)) throw notFoundPath();
    if (namespace !== undefined && !resource.namespaced) throw notFoundPath();
    if (name !== undefined && resource.namespaced && namespace === undefined) throw notFoundPath();
    return { resource, namespace, name, subresource };
  }
}

function callOf(
  request: IncomingMessage,
  url: URL,
  { resource, namespace, name, subresource }: Route,
  user: User,
  body: unknown,
): ApiCall {
  const isWatch = ["true", "1"].includes(url.searchParams.get("watch") ?? "");
  const reading = name !== undefined ? "get" : isWatch ? "watch" : "list";
  const verb = request.method === "GET" ? reading : VERBS[request.method ?? ""];
  const isCollection = name === undefined && !["create", "list", "watch"].includes(verb ?? "");
  if (verb === undefined || isCollection || (verb === "create" && name !== undefined)) {
    throw new ApiFault(
      405,
      "MethodNotAllowed",
      "the server does not allow this method on the requested resource",
    );
  }
  const { group, plural, kind } = resource;
  return { verb, group, plural, kind, namespace, name, subresource, user: user.name, body };
}

function nameIn(body: unknown): string {
  return isObject(body) && isObject(body["metadata"]) ? String(body["metadata"]["name"]) : "";
}

function notFoundPath(): ApiFault {
  return new ApiFault(404, "NotFound", "the server could not find the requested resource");
}

async function bodyOf(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const text = Buffer.concat(chunks).toString("utf8");
  if (text === "") return undefined;
  try {
    return JSON.parse(text);
  } catch {
    throw badRequest("the body of the request is not JSON");
  }
}

function reply(
  response: ServerResponse,
  code: number,
  body: object,
  headers: Record<string, string> = {},
): void {
  if (response.destroyed || response.writableEnded) return;
  const text = JSON.stringify(body);
  response.writeHead(code, {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(text),
    ...headers,
  });
  response.end(text);
}

/** Takes an answer as a response does, and gives it to the real one when `sink.answer` is called. */
function sinkResponse(response: ServerResponse, sink: { answer: () => void }): ServerResponse {
  let head: [number, Record<string, string | number>] = [200, {}];
  return {
    destroyed: false,
    writableEnded: false,
    writeHead: (code: number, headers: Record<string, string | number>) =>
      void (head = [code, headers]),
    flushHeaders: () => {},
    write: () => true,
    on: () => {},
    destroy: () => {},
    end: (text: string) => {
      sink.answer = () => {
        if (response.destroyed) return;
        response.writeHead(...head);
        response.end(text);
      };
    },
  } as unknown as ServerResponse;
}
