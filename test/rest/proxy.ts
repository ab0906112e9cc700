// A proxy in front of a real server that changes, breaks or withholds what passes through it.

import { createServer, request as httpRequest } from "node:http";
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface Proxy {
  readonly listen: string;
  /** Called for each answer before it is passed on; true when it has dealt with it. */
  onAnswer: ((exchange: Exchange) => boolean) | undefined;
  close(): Promise<void>;
}

export interface Exchange {
  readonly request: IncomingMessage;
  readonly answer: IncomingMessage;
  readonly response: ServerResponse;
}

export async function startProxy(
  target: string,
  headersFor: (headers: IncomingHttpHeaders) => IncomingHttpHeaders = (headers) => headers,
): Promise<Proxy> {
  const server = createServer((request, response) => {
    const { method, url } = request;
    const headers = headersFor(request.headers);
    const onward = httpRequest(`http://${target}${url}`, { method, headers, agent: false });
    onward.on("error", () => response.destroy());
    response.on("close", () => void onward.destroy());
    onward.on("response", (answer) => {
      if (proxy.onAnswer?.({ request, answer, response })) return;
      response.writeHead(answer.statusCode ?? 500, answer.headers);
      answer.pipe(response);
      answer.on("error", () => response.destroy());
    });
    request.pipe(onward);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const proxy: Proxy = {
    listen: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    onAnswer: undefined,
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return proxy;
}
