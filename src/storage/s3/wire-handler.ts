// The SDK's requests over our own transport, so that proxies, certificates, limits and the meter are the same for every
// storage. The SDK signs and understands; bodies go past it: a put's from the caller's memory to the wire, a get's from
// the wire into the caller's memory.

import { Readable } from "node:stream";
import { asBuffer } from "../../base/bytes.ts";
import type { RequestKind } from "../meter.ts";
import type { Transport, WireAnswer } from "../http/transport.ts";

/** What the transport needs to know of a request, and what came of it. */
export interface WireCall {
  readonly kind: RequestKind;
  /** What is being done, for messages. */
  readonly what: string;
  /** The body, which the SDK never sees. */
  readonly body?: readonly Uint8Array[] | undefined;
  readonly into?: Uint8Array | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Set when an answer came, whatever it says. */
  answer?: WireAnswer | undefined;
  /** The answer belongs to a HEAD, so that nothing in it says why. */
  isBodiless?: boolean;
}

/** The part of the SDK's requests that is used here. */
interface SdkRequest {
  method: string;
  protocol: string;
  hostname: string;
  port?: number | undefined;
  path: string;
  query?: Record<string, string | (string | null)[] | null | undefined> | undefined;
  headers: Record<string, string>;
  body?: unknown;
}

export interface SdkResponse {
  statusCode: number;
  reason?: string;
  headers: Record<string, string>;
  body?: unknown;
}

/** What is handed to the SDK with each call, and by it to the handler. */
export interface SendOptions {
  abortSignal?: AbortSignal;
  wireCall?: WireCall;
}

/** A `requestHandler` of the SDK. */
export class WireHandler {
  readonly metadata = { handlerProtocol: "http/1.1" };
  readonly #transport: Transport;
  readonly #usual: WireCall;

  /** `usual` is for requests that the SDK makes by itself. */
  constructor(transport: Transport, usual: WireCall) {
    this.#transport = transport;
    this.#usual = usual;
  }

  async handle(request: SdkRequest, options: SendOptions = {}): Promise<{ response: SdkResponse }> {
    const call: WireCall = options.wireCall ?? { ...this.#usual };
    const { kind, what, into, signal } = call;
    const answer = await this.#transport.request({
      kind,
      method: request.method,
      url: urlOf(request),
      headers: request.headers,
      body: call.body ?? bodyOf(request.body),
      into,
      what,
      signal,
    });
    call.answer = answer;
    call.isBodiless = request.method === "HEAD";
    const { status } = answer;
    // The body of a get is where it belongs already, and the SDK insists on a stream.
    const body = kind === "get" && status < 300 ? Readable.from([]) : answer.body;
    return { response: { statusCode: status, headers: headersOf(answer), body } };
  }

  updateHttpClientConfig(): void {}

  httpHandlerConfigs(): Record<string, never> {
    return {};
  }

  destroy(): void {}
}

function urlOf({ protocol, hostname, port, path, query = {} }: SdkRequest): URL {
  const pairs: string[] = [];
  for (const [name, value] of Object.entries(query)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== undefined) pairs.push(`${escaped(name)}=${escaped(one ?? "")}`);
    }
  }
  const host = port === undefined ? hostname : `${hostname}:${port}`;
  return new URL(`${protocol}//${host}${path}${pairs.length > 0 ? `?${pairs.join("&")}` : ""}`);
}

/** As the signature has it: all but unreserved characters. */
function escaped(text: string): string {
  const escape = (char: string): string => `%${char.charCodeAt(0).toString(16).toUpperCase()}`;
  return encodeURIComponent(text).replace(/[!'()*]/g, escape);
}

function bodyOf(body: unknown): readonly Uint8Array[] | undefined {
  if (typeof body === "string") return body === "" ? undefined : [Buffer.from(body)];
  return body instanceof Uint8Array ? [asBuffer(body)] : undefined;
}

function headersOf({ headers }: WireAnswer): Record<string, string> {
  const all: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined) all[name] = Array.isArray(value) ? value.join(", ") : value;
  }
  return all;
}
