// Requests over HTTP/1.1, on connections that are kept and used again. `node:http` rather than `fetch`: bodies go from and
// to the caller's memory without a copy or a stream in between (docs/decisions/storage.md#http).
//
// Every request has a deadline for silence, not for its whole: a slow line is fine, a dead one is not.

import { Agent, request as httpRequest } from "node:http";
import type { ClientRequest, IncomingMessage, RequestOptions } from "node:http";
import { Agent as TlsAgent, request as tlsRequest } from "node:https";
import { cancelled, throwIfCancelled } from "../../base/cancellation.ts";
import { HoldfastError } from "../../base/errors.ts";
import type { RateLimit } from "../../base/rate-limit.ts";
import type { Meter } from "../meter.ts";
import { AnswerBody } from "./answer-body.ts";
import { TornAnswer } from "./transport.ts";
import type { Transport, WireAnswer, WireRequest } from "./transport.ts";
import { wireError } from "./wire-error.ts";

export interface SocketOptions {
  /** Most connections at once. */
  connections: number;
  meter: Meter;
  /** Milliseconds without a byte in either direction after which a request fails. */
  silence: number;
  userAgent: string;
  /** Certificates of the authorities to trust in place of the system's, PEM. */
  ca?: readonly string[] | undefined;
  /** A certificate with its key to show to servers, PEM. */
  clientCertificate?: string | undefined;
  /** Trust any certificate. */
  insecureTls?: boolean | undefined;
  /** Where HTTP_PROXY, HTTPS_PROXY and NO_PROXY are looked up. */
  env?: Readonly<Record<string, string | undefined>> | undefined;
  upload?: RateLimit | undefined;
  download?: RateLimit | undefined;
}

/** Opens a transport; connections are made when they are needed. */
export function openSockets(options: SocketOptions): Transport {
  return new Sockets(options);
}

class Sockets implements Transport {
  readonly #options: SocketOptions;
  readonly #plain: Agent;
  readonly #tls: TlsAgent;

  constructor(options: SocketOptions) {
    this.#options = options;
    const { ca, clientCertificate, connections, insecureTls, env } = options;
    const common = {
      keepAlive: true,
      maxSockets: connections,
      maxFreeSockets: connections,
      noDelay: true,
      ...(env && { proxyEnv: { ...env } }),
    };
    this.#plain = new Agent(common);
    this.#tls = new TlsAgent({
      ...common,
      ...(ca && ca.length > 0 && { ca: [...ca] }),
      ...(clientCertificate !== undefined && { cert: clientCertificate, key: clientCertificate }),
      rejectUnauthorized: insecureTls !== true,
    });
  }

  async request(request: WireRequest): Promise<WireAnswer> {
    throwIfCancelled(request.signal);
    try {
      return await this.#attempt(request);
    } catch (error) {
      // The server closed a kept connection just when it was used again: nothing of the request was looked at.
      if (!(error instanceof StaleConnection)) throw error;
      return await this.#attempt(request, true);
    }
  }

  close(): Promise<void> {
    this.#plain.destroy();
    this.#tls.destroy();
    return Promise.resolve();
  }

  async #attempt(request: WireRequest, again = false): Promise<WireAnswer> {
    const exchange = new Exchange(request, this.#options, again);
    const isTls = request.url.protocol === "https:";
    return await exchange.run(isTls ? this.#tls : this.#plain, isTls ? tlsRequest : httpRequest);
  }
}

class StaleConnection extends Error {}

/** One request and its answer. */
class Exchange {
  readonly #request: WireRequest;
  readonly #options: SocketOptions;
  /** A second attempt takes what it gets. */
  readonly #again: boolean;
  #sent = 0;
  #body: AnswerBody | undefined;

  constructor(request: WireRequest, options: SocketOptions, again: boolean) {
    this.#request = request;
    this.#options = options;
    this.#again = again;
  }

  async run(agent: Agent, open: typeof httpRequest): Promise<WireAnswer> {
    const { method, url, socketPath, headers, body = [], signal, kind } = this.#request;
    const { userAgent, silence, meter } = this.#options;
    const length = body.reduce((sum, { length: bytes }) => sum + bytes, 0);
    const options: RequestOptions = { method, agent, timeout: silence };
    if (socketPath !== undefined) options.socketPath = socketPath;
    options.headers = { "user-agent": userAgent, ...headers };
    if (length > 0 || method === "POST" || method === "PUT") {
      options.headers["content-length"] = length;
    }
    const request = open(url, options);
    const answered = this.#answer(request);
    const onAbort = (): void => void request.destroy(cancelled(signal!));
    signal?.addEventListener("abort", onAbort, { once: true });
    let failed = true;
    try {
      const sending = this.#send(request, body);
      const answer = await Promise.race([answered, sending.then(() => answered)]);
      failed = answer.status >= 400;
      return answer;
    } catch (error) {
      request.destroy();
      throwIfCancelled(signal);
      throw this.#failure(error, request);
    } finally {
      signal?.removeEventListener("abort", onAbort);
      // After an answer that came early the rest of the body must not be read: its memory is no longer ours.
      if (!request.writableFinished) request.destroy();
      meter.count(kind, { sent: this.#sent, received: this.#body?.received ?? 0, failed });
    }
  }

  async #send(request: ClientRequest, body: readonly Uint8Array[]): Promise<void> {
    const { upload } = this.#options;
    for (const part of body) {
      const step = upload?.pieceBytes ?? Math.max(1, part.length);
      for (let at = 0; at < part.length; at += step) {
        const piece = part.subarray(at, at + step);
        await upload?.take(piece.length, this.#request.signal);
        if (request.destroyed || request.writableEnded) return;
        this.#sent += piece.length;
        if (!request.write(piece) && upload) await drained(request);
      }
    }
    if (!request.destroyed) request.end();
  }

  #answer(request: ClientRequest): Promise<WireAnswer> {
    return new Promise((resolve, reject) => {
      request.on("timeout", () => {
        const seconds = Math.round(this.#options.silence / 1000);
        request.destroy(new Error(`nothing came for ${seconds} seconds`));
      });
      request.on("error", reject);
      // Once an answer has begun, it tells how it ended: after this event.
      request.on("close", () => {
        if (this.#body === undefined) reject(new Error("the connection was closed"));
      });
      request.on("response", (response) => this.#receive(response, resolve, reject));
    });
  }

  #receive(
    response: IncomingMessage,
    resolve: (answer: WireAnswer) => void,
    reject: (error: unknown) => void,
  ): void {
    const { into, what, signal, method } = this.#request;
    const { download } = this.#options;
    const status = response.statusCode ?? 0;
    const isSuccess = status === 200 || status === 206;
    const length = response.headers["content-length"];
    const announced = length === undefined || method === "HEAD" ? undefined : Number(length);
    let body: AnswerBody;
    try {
      body = this.#body = new AnswerBody({ into, isSuccess, announced, what });
    } catch (error) {
      response.destroy();
      return reject(error);
    }
    response.on("data", (chunk: Buffer) => {
      try {
        body.add(chunk);
      } catch (error) {
        response.destroy(error as Error);
        return;
      }
      if (download === undefined) return;
      response.pause();
      download.take(chunk.length, signal).then(
        () => response.resume(),
        (error: Error) => response.destroy(error),
      );
    });
    const answer = (): WireAnswer => ({ status, headers: response.headers, body: body.bytes() });
    const torn = (error: unknown): void => {
      if (error instanceof HoldfastError) return reject(error);
      const told = wireError(error, what, this.#host);
      reject(isSuccess ? new TornAnswer(told.message, answer(), error) : told);
    };
    response.on("error", torn);
    response.on("close", () => torn(new Error("the connection was closed")));
    response.on("end", () => {
      if (response.complete && (announced ?? body.received) === body.received) {
        return resolve(answer());
      }
      torn(new Error("the answer broke off"));
    });
  }

  #failure(error: unknown, request: ClientRequest): unknown {
    if (error instanceof HoldfastError) return error;
    const code = (error as { code?: string }).code;
    const cut = code === "ECONNRESET" || code === "EPIPE";
    if (request.reusedSocket && cut && this.#body === undefined && !this.#again) {
      return new StaleConnection();
    }
    return wireError(error, this.#request.what, this.#host);
  }

  get #host(): string {
    return this.#request.url.host;
  }
}

/** Resolves when more may be written, or when nothing more can be. */
function drained(request: ClientRequest): Promise<void> {
  return new Promise((resolve) => {
    request.once("drain", resolve);
    request.once("close", resolve);
  });
}
