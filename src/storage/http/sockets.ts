// Requests over HTTP/1.1, on connections that are kept and used again.
//
// Every request has a deadline for silence, not for its whole: a slow line is fine, a dead one is not.

import { throwIfCancelled } from "../../base/cancellation.ts";
import type { Clock } from "../../base/clock.ts";
import { Semaphore } from "../../base/concurrency.ts";
import type { RateLimit } from "../../base/rate-limit.ts";
import type { Meter } from "../meter.ts";
import { Connection, StaleConnection } from "./connection.ts";
import { Dialer } from "./dial.ts";
import type { TlsSettings } from "./dial.ts";
import { proxyFor } from "./proxy.ts";
import type { Transport, WireAnswer, WireRequest } from "./transport.ts";
import { HoldfastError } from "../../base/errors.ts";

export interface SocketOptions extends TlsSettings {
  /** Most connections to one server at once. */
  connections: number;
  clock: Clock;
  meter: Meter;
  /** Milliseconds without a byte in either direction after which a request fails. */
  silence: number;
  userAgent: string;
  /** Where HTTP_PROXY, HTTPS_PROXY and NO_PROXY are looked up. */
  env?: Readonly<Record<string, string | undefined>> | undefined;
  upload?: RateLimit | undefined;
  download?: RateLimit | undefined;
}

/** A kept connection is given up this long before its server would. */
const IDLE_MARGIN_MS = 1_000;
/** When the server does not say how long it keeps one: less than what lies between usually forgets it after. */
const IDLE_MS = 60_000;

/** Opens a transport; connections are made when they are needed. */
export function openSockets(options: SocketOptions): Transport {
  return new Sockets(options);
}

/** The connections to one server. */
interface Server {
  readonly places: Semaphore;
  readonly all: Set<Connection>;
  /** The one used last is last: it is the least likely to be stale. */
  readonly idle: Connection[];
}

class Sockets implements Transport {
  readonly #options: SocketOptions;
  readonly #dialer: Dialer;
  readonly #servers = new Map<string, Server>();
  #isClosed = false;

  constructor(options: SocketOptions) {
    this.#options = options;
    this.#dialer = new Dialer(options);
  }

  async request(request: WireRequest): Promise<WireAnswer> {
    const { signal, url, socketPath } = request;
    throwIfCancelled(signal);
    this.#refuseClosed(request);
    const name = socketPath ?? `${url.protocol}//${url.host}`;
    let server = this.#servers.get(name);
    if (server === undefined) {
      const places = new Semaphore(this.#options.connections);
      this.#servers.set(name, (server = { places, all: new Set(), idle: [] }));
    }
    const release = await server.places.acquire(signal);
    try {
      const kept = this.#kept(server);
      if (kept !== undefined) {
        try {
          return await this.#exchange(kept, server, request);
        } catch (error) {
          if (!(error instanceof StaleConnection)) throw error;
          this.#refuseClosed(request);
        }
      }
      return await this.#exchange(this.#connect(server, request), server, request);
    } finally {
      release();
    }
  }

  close(): Promise<void> {
    this.#isClosed = true;
    for (const { all } of this.#servers.values()) {
      for (const connection of Array.from(all)) connection.destroy();
    }
    return Promise.resolve();
  }

  #refuseClosed({ what }: WireRequest): void {
    if (this.#isClosed) throw new HoldfastError("BUG", `cannot ${what}: the storage is closed`);
  }

  /** A connection that is still good, as far as one can know. */
  #kept({ idle }: Server): Connection | undefined {
    const now = this.#options.clock.monotonic();
    for (;;) {
      const connection = idle.pop();
      if (connection?.isOpen !== true) {
        if (connection === undefined) return undefined;
        continue;
      }
      const limit = (connection.idle ?? IDLE_MS) - IDLE_MARGIN_MS;
      if (now - connection.idleSince < limit) return connection;
      connection.destroy();
    }
  }

  #connect(server: Server, { url, socketPath }: WireRequest): Connection {
    const { env, userAgent, silence, upload, download } = this.#options;
    const proxy = socketPath === undefined && env !== undefined ? proxyFor(url, env) : undefined;
    const absolute = proxy !== undefined && url.protocol === "http:";
    const connection = new Connection({
      dial: (onread) =>
        socketPath === undefined
          ? this.#dialer.dial(url, proxy, onread)
          : this.#dialer.dialPath(socketPath, onread),
      head: {
        userAgent,
        absolute,
        headers:
          absolute && proxy.authorization !== undefined
            ? { "proxy-authorization": proxy.authorization }
            : {},
      },
      silence,
      upload,
      download,
      onClose: (closed) => {
        server.all.delete(closed);
        const at = server.idle.indexOf(closed);
        if (at >= 0) server.idle.splice(at, 1);
      },
    });
    server.all.add(connection);
    return connection;
  }

  async #exchange(
    connection: Connection,
    server: Server,
    request: WireRequest,
  ): Promise<WireAnswer> {
    const bytes = { sent: 0, received: 0 };
    let failed = true;
    try {
      const answer = await connection.exchange(request, bytes);
      failed = answer.status >= 400;
      if (connection.isOpen) {
        connection.idleSince = this.#options.clock.monotonic();
        server.idle.push(connection);
      }
      return answer;
    } catch (error) {
      // What one of them met the others have met as well: the way there is gone.
      if (connection.timedOut) for (const idle of Array.from(server.idle)) idle.destroy();
      throw error;
    } finally {
      this.#options.meter.count(request.kind, { ...bytes, failed });
    }
  }
}
