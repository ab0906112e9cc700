// The HTTPS port of the test cluster's kubelets: the API server asks it for the logs of containers, with which `kubectl logs`
// works, also with `-f`. Only the API server's certificate is let in.

import { open, readFile } from "node:fs/promises";
import { createServer } from "node:https";
import type { ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import type { KeyPair } from "./certificates.ts";
import type { TestKubelet } from "./kubelet.ts";

export interface KubeletServer {
  readonly port: number;
  /** Whose logs it gives: known only after nodes, which tell the port. */
  serve(kubelet: TestKubelet): void;
  close(): Promise<void>;
}

/** Listens on a free port of the loopback interface. */
export async function startKubeletServer(options: {
  readonly keys: KeyPair;
  /** Path of a PEM file. */
  readonly authority: string;
  readonly signal: AbortSignal;
}): Promise<KubeletServer> {
  const { keys, authority, signal } = options;
  const [cert, key, ca] = await Promise.all(
    [keys.certificate, keys.key, authority].map((path) => readFile(path)),
  );
  let kubelet: TestKubelet | undefined;
  const server = createServer(
    { cert, key, ca, requestCert: true, rejectUnauthorized: true },
    (request, response) => {
      const { pathname, searchParams } = new URL(request.url ?? "/", "https://kubelet");
      const [, what, namespace = "", pod = "", container] = pathname.split("/");
      const log = what === "containerLogs" ? kubelet?.logOf(namespace, pod, container) : undefined;
      if (log === undefined) {
        response.writeHead(404).end("no such log\n");
        return;
      }
      response.writeHead(200, { "content-type": "text/plain" });
      const gone = new AbortController();
      response.once("close", () => gone.abort());
      send(log, searchParams, response, AbortSignal.any([signal, gone.signal])).catch(() =>
        response.destroy(),
      );
    },
  );
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    serve(given) {
      kubelet = given;
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function send(
  log: { readonly path: string; readonly over: () => boolean },
  query: URLSearchParams,
  response: ServerResponse,
  signal: AbortSignal,
): Promise<void> {
  const follow = query.get("follow") === "true";
  const tail = query.get("tailLines");
  const limit = Number(query.get("limitBytes") ?? Infinity);
  const file = await open(log.path, "r");
  try {
    let position = 0;
    let left = limit;
    if (tail !== null) {
      const lines = (await readFile(log.path, "utf8")).split(/(?<=\n)/);
      position = Buffer.byteLength(
        lines.slice(0, Math.max(0, lines.length - Number(tail))).join(""),
      );
    }
    const buffer = Buffer.alloc(64 << 10);
    while (!signal.aborted && left > 0) {
      // Asked first: what is written before the end is read after it.
      const over = log.over();
      const { bytesRead } = await file.read(buffer, 0, Math.min(buffer.length, left), position);
      if (bytesRead > 0) {
        position += bytesRead;
        left -= bytesRead;
        response.write(Buffer.from(buffer.subarray(0, bytesRead)));
      } else if (over || !follow) {
        break;
      } else {
        await sleep(50, undefined, { signal }).catch(() => undefined);
      }
    }
  } finally {
    await file.close();
    response.end();
  }
}
