// Requests to Cloud Storage, with a token and with its errors understood. A token that the service refuses is replaced
// once and the request repeated; everything else that may pass is left to whoever retries.

import type { BackendContext } from "../backend.ts";
import { openTokens } from "./google-tokens.ts";
import type { TokenSource } from "./google-tokens.ts";
import type { RequestKind } from "../meter.ts";
import type { Transport, WireAnswer } from "../http/transport.ts";
import type { GcsOptions } from "../gcs.ts";
import type { Risk } from "./credential-fields.ts";
import { serviceError } from "./service-error.ts";

const SCOPE = "https://www.googleapis.com/auth/devstorage.read_write";
export const GOOGLE_ENDPOINT = "https://storage.googleapis.com";

export interface ServiceCall {
  readonly kind: RequestKind;
  readonly method: string;
  /** Below the endpoint, encoded; or a whole URL that the service gave. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string | undefined>>;
  readonly headers?: Readonly<Record<string, string | number>>;
  readonly body?: readonly Uint8Array[];
  readonly into?: Uint8Array | undefined;
  readonly what: string;
  /** Statuses that are answers, beside 200 to 299. */
  readonly expect?: readonly number[];
  readonly signal?: AbortSignal | undefined;
}

export interface ServiceOptions {
  readonly options: GcsOptions;
  readonly context: BackendContext;
  readonly connections: number;
  readonly allowed: ReadonlySet<Risk>;
}

export class Service {
  readonly bucket: string;
  readonly endpoint: string;
  /** Milliseconds that the service's clock is ahead of ours, as its last answer showed. */
  skew: number | undefined;
  readonly #transport: Transport;
  readonly #tokens: TokenSource;
  readonly #context: BackendContext;
  readonly #userProject: string | undefined;

  private constructor(open: ServiceOptions, transport: Transport, tokens: TokenSource) {
    const { bucket, endpoint = GOOGLE_ENDPOINT, userProject } = open.options;
    this.bucket = bucket;
    this.endpoint = endpoint.replace(/\/+$/, "");
    this.#context = open.context;
    this.#userProject = userProject;
    this.#transport = transport;
    this.#tokens = tokens;
  }

  /** Reads and judges the credentials; asks the service nothing. */
  static async open(open: ServiceOptions): Promise<Service> {
    const { context, connections, allowed, options } = open;
    const transport = context.openSockets(connections);
    const { credentials } = options;
    const tokens = await openTokens({ credentials, context, transport, allowed, scope: SCOPE });
    return new Service(open, transport, tokens);
  }

  /** An answer that is a success or expected; any other is thrown as an error. */
  async call(call: ServiceCall): Promise<WireAnswer> {
    const token = await this.#tokens.token(call.signal);
    let answer = await this.#send(call, token);
    if (answer.status === 401 && token !== undefined && this.#tokens.refused(token)) {
      answer = await this.#send(call, await this.#tokens.token(call.signal));
    }
    const { status } = answer;
    if ((status >= 200 && status < 300) || call.expect?.includes(status) === true) return answer;
    const now = this.#context.clock.now();
    throw serviceError({ what: call.what, answer, bucket: this.bucket, now });
  }

  /** The path of a request within another one. */
  innerPath(path: string): string {
    return this.#userProject === undefined
      ? path
      : `${path}?userProject=${encodeURIComponent(this.#userProject)}`;
  }

  close(): Promise<void> {
    return this.#transport.close();
  }

  async #send(call: ServiceCall, token: string | undefined): Promise<WireAnswer> {
    const { kind, method, path, query = {}, headers, body, into, what, signal } = call;
    const url = new URL(/^https?:\/\//.test(path) ? path : `${this.endpoint}${path}`);
    for (const [name, value] of Object.entries(query)) {
      if (value !== undefined) url.searchParams.set(name, value);
    }
    if (this.#userProject !== undefined) url.searchParams.set("userProject", this.#userProject);
    const answer = await this.#transport.request({
      kind,
      method,
      url,
      headers: { ...headers, ...(token !== undefined && { authorization: `Bearer ${token}` }) },
      body,
      into,
      what,
      signal,
    });
    const date = Date.parse(answer.headers.date ?? "");
    if (!Number.isNaN(date)) this.skew = date - this.#context.clock.now();
    return answer;
  }
}
