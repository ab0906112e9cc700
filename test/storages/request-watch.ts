// A proxy between a program and the service of a bucket, which tells which objects a request would change before it passes
// it on. A test lets it pass, answers it by itself, or does something at that moment, such as ending the program. It must
// never change a request: they are signed.

import { Agent, createServer, request as ask } from "node:http";
import type { IncomingHttpHeaders, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** A request, as far as tests look at it. */
export interface Watched {
  readonly method: string;
  /** Path and query as sent. */
  readonly path: string;
  /** "read" is everything that changes nothing. */
  readonly kind: "read" | "write" | "delete";
  /** Names of the objects that are written or deleted, with the repository's own prefix. */
  readonly names: readonly string[];
}

export interface WatchedAnswer {
  readonly status: number;
  readonly headers?: IncomingHttpHeaders;
  readonly body?: string | Buffer;
}

/** Does it: the answer of the service, which has acted on the request by then. */
export type PassOn = () => Promise<WatchedAnswer>;
/** What a request comes to; "cut" ends the connection without an answer. */
export type Decide = (
  request: Watched,
  passOn: PassOn,
) => WatchedAnswer | "cut" | Promise<WatchedAnswer | "cut">;

export interface RequestWatch {
  /** "127.0.0.1:40123" */
  readonly host: string;
  /** What is done with each request; it is passed on when undefined. */
  decide: Decide | undefined;
  close(): Promise<void>;
}

/** Watches what goes to the service at `target`, an address such as http://127.0.0.1:40100. */
export async function watchRequests(target: string): Promise<RequestWatch> {
  const agent = new Agent({ keepAlive: true });
  const server = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on("data", (part: Buffer) => parts.push(part));
    request.on("error", () => response.destroy());
    request.on("end", () => {
      const { method = "GET", url: path = "/", headers } = request;
      const body = Buffer.concat(parts);
      const passOn = (): Promise<WatchedAnswer> => forward();
      const forward = (): Promise<WatchedAnswer> =>
        new Promise((resolve, reject) => {
          const onward = ask(`${target}${path}`, { method, headers, agent }, (answer) => {
            const pieces: Buffer[] = [];
            answer.on("data", (piece: Buffer) => pieces.push(piece));
            answer.on("error", reject);
            answer.on("end", () =>
              resolve({
                status: answer.statusCode ?? 500,
                headers: answer.headers,
                body: Buffer.concat(pieces),
              }),
            );
          });
          onward.on("error", reject);
          onward.end(body);
        });
      const watched = { method, path, ...changedBy(method, path, body) };
      const deciding = Promise.resolve(watch.decide?.(watched, passOn) ?? passOn());
      deciding.then(
        (answer) => say(response, method, answer),
        () => response.destroy(),
      );
    });
  });
  server.keepAliveTimeout = 30_000;
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const watch: RequestWatch = {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    decide: undefined,
    close: async () => {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
      agent.destroy();
    },
  };
  return watch;
}

function say(response: ServerResponse, method: string, answer: WatchedAnswer | "cut"): void {
  if (answer === "cut") return void response.destroy();
  const { "transfer-encoding": _, ...headers } = answer.headers ?? {};
  const body = answer.body ?? "";
  const isBodiless = method === "HEAD" || answer.status === 204;
  if (!isBodiless) headers["content-length"] = String(Buffer.byteLength(body));
  response.writeHead(answer.status, headers);
  response.end(isBodiless ? undefined : body);
}

/** What a request of S3 or of Cloud Storage would change. */
function changedBy(method: string, path: string, body: Buffer): Pick<Watched, "kind" | "names"> {
  const [way = "", query = ""] = path.split("?");
  const text = (): string => body.subarray(0, 200_000).toString("latin1");
  const found = (pattern: RegExp, from: string): string[] =>
    [...from.matchAll(pattern)].map((match) => decodeURIComponent(match[1] ?? ""));
  if (way.startsWith("/batch")) {
    return { kind: "delete", names: found(/^DELETE \S+?\/o\/(\S+) HTTP/gm, text()) };
  }
  if (way.includes("/upload/storage/")) {
    return { kind: "write", names: found(/"name": ?"([^"]+)"/g, text().slice(0, 2000)) };
  }
  const inBucket = /^\/storage\/v1\/b\/[^/]+\/o\/(.+)$/.exec(way) ?? /^\/[^/]+\/(.+)$/.exec(way);
  const names = inBucket ? [decodeURIComponent(inBucket[1]!)] : [];
  if (method === "DELETE") return { kind: "delete", names };
  if (method === "PUT") return { kind: "write", names };
  if (method === "POST" && /(?:^|&)delete(?:=|&|$)/.test(query)) {
    return { kind: "delete", names: found(/<Key>([^<]*)<\/Key>/g, text()) };
  }
  return { kind: "read", names };
}
