// The two doors of the operator: metrics over TLS, for those whom the cluster lets read them, and probes over plain HTTP, which say
// yes, or what is missing. Neither reads a body, and neither holds more than a bounded number of connections.

import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from "node:http";
import { createServer as createTlsServer, type Server as TlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { Clock, Random } from "../../base/clock.ts";
import type { ClusterApi } from "../cluster/cluster-api.ts";
import { METRICS_CONTENT_TYPE } from "./metric-text.ts";
import { MetricsReviewer } from "./review.ts";
import { selfSigned, type KeyAndCertificate } from "./self-signed.ts";

export interface Address {
  /** `""` or `0.0.0.0`: all addresses of the machine. */
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
}

export interface MetricsServerOptions {
  readonly text: () => string;
  readonly metrics?: Address | undefined;
  readonly probes?: Address | undefined;
  /** Asks the cluster who may read the metrics. Absent: everybody may, over plain HTTP; only for a loopback address. */
  readonly guard?: { readonly api: ClusterApi } | undefined;
  /** Key and certificate, asked for again every hour, since somebody renews them. Absent: made here. */
  readonly tls?: (() => Promise<KeyAndCertificate>) | undefined;
  /** False: the process is to be started anew. */
  readonly healthy: () => boolean;
  /** What is missing before the process is of use, in a line; undefined: nothing. */
  readonly missing: () => string | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly signal: AbortSignal;
}

export interface MetricsServer {
  /** Where it listens, with the ports that were free. */
  readonly metrics: AddressInfo | undefined;
  readonly probes: AddressInfo | undefined;
  /** Answers what was asked, and ends. */
  close(): Promise<void>;
}

const RENEW_AFTER = 3_600_000;
const CONNECTIONS_MAX = 64;
const NAMES = ["volsync-metrics", "localhost"];

/** Opens what has an address. Rejects with the system's error when an address cannot be had. */
export async function startMetricsServer(options: MetricsServerOptions): Promise<MetricsServer> {
  const stop = new AbortController();
  const signal = AbortSignal.any([options.signal, stop.signal]);
  const servers: Server[] = [];
  const open = async (server: Server, address: Address): Promise<AddressInfo> => {
    servers.push(server);
    return listen(server, address);
  };
  const close = async (): Promise<void> => {
    stop.abort();
    await Promise.all(servers.map((server) => closeServer(server)));
  };
  try {
    const metrics = options.metrics
      ? await open(await metricsServer(options, signal), options.metrics)
      : undefined;
    const probes = options.probes
      ? await open(createServer(LIMITS, probesListener(options)), options.probes)
      : undefined;
    return { metrics, probes, close };
  } catch (error) {
    await close();
    throw error;
  }
}

const LIMITS = { headersTimeout: 10_000, requestTimeout: 15_000, maxHeaderSize: 32_768 };

async function metricsServer(options: MetricsServerOptions, signal: AbortSignal): Promise<Server> {
  const { guard, clock, random, tls } = options;
  if (!guard) return createServer(LIMITS, metricsListener(options.text, undefined, signal));
  const reviewer = new MetricsReviewer({ api: guard.api, clock });
  const pair = tls ? await tls() : selfSigned({ names: NAMES, now: clock.now(), random });
  const server = createTlsServer(
    { ...LIMITS, ...pair, minVersion: "TLSv1.2", handshakeTimeout: 10_000 },
    metricsListener(options.text, reviewer, signal),
  );
  if (tls) void renew(server, tls, clock, signal);
  return server;
}

async function renew(
  server: TlsServer,
  tls: () => Promise<KeyAndCertificate>,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    try {
      await clock.sleep(RENEW_AFTER, signal);
      server.setSecureContext({ ...(await tls()), minVersion: "TLSv1.2" });
    } catch {
      // Half-renewed files, or the end: the pair that was good goes on.
    }
  }
}

function metricsListener(
  text: () => string,
  reviewer: MetricsReviewer | undefined,
  signal: AbortSignal,
): RequestListener {
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    if (!isGet(request)) return say(response, 405, "Only GET");
    if (pathOf(request) !== "/metrics") return say(response, 404, "There is only /metrics");
    if (reviewer) {
      const [, token] = /^Bearer ([\w.~+/=-]+)$/i.exec(request.headers.authorization ?? "") ?? [];
      if (token === undefined) {
        response.setHeader("www-authenticate", "Bearer");
        return say(response, 401, "A bearer token is needed");
      }
      const verdict = await reviewer.review(token, signal);
      if (verdict === "unknown") return say(response, 401, "The token is not known");
      if (verdict === "denied") return say(response, 403, "Not allowed to get /metrics");
      if (verdict === "busy") return say(response, 503, "Tokens cannot be reviewed now");
    }
    response.setHeader("content-type", METRICS_CONTENT_TYPE);
    response.end(request.method === "HEAD" ? undefined : text());
  };
  return (request, response) => {
    request.resume();
    answer(request, response).catch(() => {
      if (response.headersSent) response.destroy();
      else say(response, 500, "Metrics cannot be made");
    });
  };
}

function probesListener({ healthy, missing }: MetricsServerOptions): RequestListener {
  return (request, response) => {
    request.resume();
    const path = pathOf(request);
    if (!isGet(request)) return say(response, 405, "Only GET");
    if (path !== "/healthz" && path !== "/readyz") {
      return say(response, 404, "There are /healthz and /readyz");
    }
    const why = path === "/readyz" ? missing() : healthy() ? undefined : "not well";
    return why === undefined ? say(response, 200, "ok") : say(response, 503, why);
  };
}

function isGet({ method }: IncomingMessage): boolean {
  return method === "GET" || method === "HEAD";
}

function pathOf({ url = "" }: IncomingMessage): string {
  return url.split("?", 1)[0]!;
}

function say(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { "content-type": "text/plain; charset=utf-8" });
  response.end(`${text}\n`);
}

function listen(server: Server, { host, port }: Address): Promise<AddressInfo> {
  server.maxConnections = CONNECTIONS_MAX;
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ port, ...(host === "" ? {} : { host }) }, () => {
      server.removeListener("error", reject);
      server.on("error", () => {});
      resolve(server.address() as AddressInfo);
    });
  });
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    if (!server.listening) return resolve();
    server.close(() => resolve());
    server.closeIdleConnections();
    // What hangs after the last answers is not waited for.
    setImmediate(() => server.closeAllConnections());
  });
}
