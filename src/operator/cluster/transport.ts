// Requests to an API server over HTTP/1.1: kept connections, TLS, who we are, and an answer of bounded size or its lines as they
// come. Node's own client carries it: rates here are small. A request that may have been carried out is never sent again; only
// one that was refused (401) is, and a read that met a kept connection just as the server closed it.

import { Agent as PlainAgent, request as requestPlain } from "node:http";
import type { Agent, IncomingMessage, OutgoingHttpHeaders, RequestOptions } from "node:http";
import { Agent as SecureAgent, request as requestSecure } from "node:https";
import { cancelled, throwIfCancelled } from "../../base/cancellation.ts";
import { errnoOf, HoldfastError } from "../../base/errors.ts";
import { answerError, wireError, type Asked } from "./api-error.ts";
import type { ClusterConfig, ClusterIdentity } from "./cluster-config.ts";

export interface ApiRequest {
  readonly asked: Asked;
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** From the root of the API. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string | undefined>>;
  readonly body?: unknown;
  readonly contentType?: string;
  readonly accept?: string;
  /** Bytes of the answer beyond which it is AnswerTooLarge. */
  readonly answerMax?: number | undefined;
  /** It lasts for minutes, so it must not take a place that short ones wait for. */
  readonly isWatch?: boolean;
  readonly signal?: AbortSignal | undefined;
}

/** Milliseconds without a byte after which a request has failed: the server gives up after 60 s itself. */
const SILENCE_MAX = 65_000;
/** Connections at once, watches not counted: of those there are as many as there are namespaces and kinds. */
const SOCKETS_MAX = 64;
/** Bytes of one answer: a page of 500 objects of at most 1.5 MB each would be far beyond what any cluster has. */
const ANSWER_MAX = 256 * 1024 * 1024;
const ERROR_MAX = 64 * 1024;
/** Idle connections are closed by us before a balancer in between does it without a word. */
const IDLE_MAX = 30_000;

export class Transport {
  readonly #config: ClusterConfig;
  readonly #server: URL;
  #agents: { readonly requests: Agent; readonly watches: Agent } | undefined;
  /** Former ones, whose requests under way end as they would have. */
  readonly #retired = new Set<Agent>();
  /** The certificate that the agent's connections were opened with. */
  #agentIdentity: string | undefined;
  #isClosed = false;

  constructor(config: ClusterConfig) {
    this.#config = config;
    this.#server = new URL(config.server);
    if (this.#server.protocol !== "https:" && this.#server.protocol !== "http:") {
      throw new HoldfastError("USAGE", `the address of an API server is no URL: ${config.server}`);
    }
  }

  /** The whole answer as text. Throws what api-error.ts makes of failures. `bytesMax` cuts it instead of failing. */
  async text(request: ApiRequest, bytesMax?: number): Promise<string> {
    const response = await this.open(request);
    const most = bytesMax ?? request.answerMax ?? ANSWER_MAX;
    return await this.#guard(request, response, () =>
      readAll(response, most, bytesMax !== undefined),
    );
  }

  /** The answer's body when it is a success; otherwise the error. Whoever gets it reads it to its end or destroys it. */
  async open(request: ApiRequest): Promise<IncomingMessage> {
    throwIfCancelled(request.signal);
    if (this.#isClosed) throw new HoldfastError("CANCELLED", "the client is closed");
    for (let isRefused = false; ; isRefused = true) {
      const identity = await this.#identity(request, isRefused);
      const response = await this.#sendOnce(request, identity);
      const status = response.statusCode ?? 0;
      if (status >= 200 && status < 300) return response;
      const body = await this.#guard(request, response, () => readAll(response, ERROR_MAX, true));
      // A token may have been rotated since it was read: one more time with what is there now.
      if (status === 401 && !isRefused && this.#config.credentials !== undefined) continue;
      throw answerError({
        asked: request.asked,
        httpStatus: status,
        body,
        retryAfter: response.headers["retry-after"],
        secrets: [identity.token, identity.basic],
      });
    }
  }

  close(): void {
    this.#isClosed = true;
    this.#retire();
    for (const agent of this.#retired) agent.destroy();
  }

  async #identity(request: ApiRequest, refused: boolean): Promise<ClusterIdentity> {
    if (this.#config.credentials === undefined) return {};
    return await this.#config.credentials.get({ refused, signal: request.signal });
  }

  /** Errors while a body is read, as those before it. */
  async #guard<T>(
    request: ApiRequest,
    response: IncomingMessage,
    read: () => Promise<T>,
  ): Promise<T> {
    try {
      return await read();
    } catch (error) {
      response.destroy();
      throw this.failure(request, error);
    }
  }

  /** What an error of the wire means for `request`. */
  failure(request: Pick<ApiRequest, "asked" | "signal">, error: unknown): HoldfastError {
    if (request.signal?.aborted) return cancelled(request.signal);
    return wireError(error, request.asked, this.#server.host);
  }

  async #sendOnce(request: ApiRequest, identity: ClusterIdentity): Promise<IncomingMessage> {
    try {
      return await this.#send(request, identity);
    } catch (error) {
      // Also what Node says of a header that cannot be sent, such as a token with a line end in it.
      if (!(error instanceof StaleSocket)) throw this.failure(request, error);
      if (request.method !== "GET" || request.signal?.aborted || this.#isClosed) {
        throw this.failure(request, error.cause);
      }
      // Other kept connections are likely as dead.
      this.#retire();
      return await this.#send(request, identity).catch((again: unknown) => {
        throw again instanceof StaleSocket ? this.failure(request, again.cause) : again;
      });
    }
  }

  #send(request: ApiRequest, identity: ClusterIdentity): Promise<IncomingMessage> {
    const { body, signal } = request;
    const payload = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
    const isSecure = this.#server.protocol === "https:";
    const options: RequestOptions = {
      agent: this.#agentFor(identity, request.isWatch ?? false),
      method: request.method,
      path: this.#path(request),
      host: bareHost(this.#server.hostname),
      port: this.#server.port || (isSecure ? 443 : 80),
      headers: this.#headers(request, identity, payload),
      ...(signal ? { signal } : {}),
    };
    return new Promise((resolve, reject) => {
      const sent = (isSecure ? requestSecure : requestPlain)(options, resolve);
      sent.setTimeout(SILENCE_MAX, () => {
        sent.destroy(Object.assign(new Error("no byte for too long"), { code: "ETIMEDOUT" }));
      });
      // A peer that vanished without a word is noticed while nothing is asked of it.
      sent.on("socket", (socket) => socket.setKeepAlive(true, 30_000));
      sent.on("error", (error) => {
        const isStale = sent.reusedSocket && errnoOf(error) === "ECONNRESET";
        reject(isStale ? new StaleSocket({ cause: error }) : this.failure(request, error));
      });
      sent.end(payload);
    });
  }

  #path({ path, query = {} }: ApiRequest): string {
    const parameters = new URLSearchParams();
    for (const [name, value] of Object.entries(query)) {
      if (value !== undefined) parameters.set(name, value);
    }
    const root = this.#server.pathname.replace(/\/+$/, "");
    const text = parameters.toString();
    return `${root}${path}${text && `?${text}`}`;
  }

  #headers(
    request: ApiRequest,
    identity: ClusterIdentity,
    payload: Uint8Array | undefined,
  ): OutgoingHttpHeaders {
    const { impersonate } = this.#config;
    return {
      // Its part before the slash is the field manager of what we write.
      "user-agent": "holdfast/operator",
      accept: request.accept ?? "application/json",
      ...(payload === undefined
        ? {}
        : {
            "content-type": request.contentType ?? "application/json",
            "content-length": payload.length,
          }),
      ...(identity.token !== undefined
        ? { authorization: `Bearer ${identity.token}` }
        : identity.basic !== undefined
          ? { authorization: `Basic ${Buffer.from(identity.basic).toString("base64")}` }
          : {}),
      ...(impersonate && {
        "impersonate-user": impersonate.user,
        ...(impersonate.uid === undefined ? {} : { "impersonate-uid": impersonate.uid }),
        ...(impersonate.groups?.length ? { "impersonate-group": [...impersonate.groups] } : {}),
      }),
    };
  }

  /** The next request opens a connection of its own; idle ones of the old agent time out. */
  #retire(): void {
    for (const agent of this.#retired) {
      const kept = Object.keys(agent.sockets).length + Object.keys(agent.freeSockets).length;
      if (kept === 0) this.#retired.delete(agent);
    }
    for (const agent of Object.values(this.#agents ?? {})) this.#retired.add(agent);
    this.#agents = undefined;
  }

  /** Connections belong to a client certificate: another one gets agents of its own. */
  #agentFor(identity: ClusterIdentity, isWatch: boolean): Agent {
    if (this.#agents === undefined || this.#agentIdentity !== identity.certificate) {
      this.#retire();
      this.#agentIdentity = identity.certificate;
      const requests = this.#makeAgent(identity, SOCKETS_MAX);
      this.#agents = { requests, watches: this.#makeAgent(identity, Infinity) };
    }
    return isWatch ? this.#agents.watches : this.#agents.requests;
  }

  #makeAgent({ certificate, key }: ClusterIdentity, maxSockets: number): Agent {
    const { authorities, serverName, insecure = false } = this.#config;
    const settings = { keepAlive: true, maxSockets, timeout: IDLE_MAX };
    if (this.#server.protocol === "http:") return new PlainAgent(settings);
    return new SecureAgent({
      ...settings,
      ...(authorities === undefined ? {} : { ca: authorities }),
      ...(serverName === undefined ? {} : { servername: serverName }),
      ...(certificate === undefined ? {} : { cert: certificate }),
      ...(key === undefined ? {} : { key }),
      rejectUnauthorized: !insecure,
    });
  }
}

/** CLUSTER_FAILED: more bytes than whoever asked wants to hold. */
export class AnswerTooLarge extends HoldfastError {
  constructor(bytesMax: number) {
    super("CLUSTER_FAILED", `an answer of more than ${bytesMax} bytes`);
  }
}

/** A kept connection that was closed before anything came on it. */
class StaleSocket extends Error {
  constructor(options: { cause: Error }) {
    super("a kept connection was closed", options);
  }
}

/** `[::1]` in a URL is `::1` to a resolver. */
function bareHost(hostname: string): string {
  return hostname.replace(/^\[(.*)\]$/, "$1");
}

async function readAll(
  response: AsyncIterable<Buffer> & { destroy(): unknown; complete?: boolean },
  bytesMax: number,
  cuts: boolean,
): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response) {
    length += chunk.length;
    chunks.push(chunk);
    if (length <= bytesMax) continue;
    if (!cuts) throw new AnswerTooLarge(bytesMax);
    // Leaving the loop closes the connection: the rest is not worth waiting for.
    break;
  }
  return Buffer.concat(chunks).subarray(0, bytesMax).toString("utf8");
}
