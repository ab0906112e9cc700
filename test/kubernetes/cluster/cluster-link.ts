// How the parts of the test cluster talk to its API server: a client of their own, so that they do not stand or fall with the
// one under test. It knows nothing of kinds: callers give paths.

import { Agent, request as httpsRequest, type RequestOptions } from "node:https";
import type { IncomingMessage } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import type { KubeObject } from "../../../src/operator/cluster/kube-object.ts";

/** An answer that is no success. */
export class LinkError extends Error {
  readonly status: number;
  readonly reason: string;
  constructor(status: number, reason: string, message: string) {
    super(`HTTP ${status} ${reason}: ${message}`);
    this.status = status;
    this.reason = reason;
  }
}

export interface ClusterLink {
  /** URL of the API server. */
  readonly address: string;
  get<T extends KubeObject>(path: string): Promise<T | undefined>;
  list<T extends KubeObject>(path: string): Promise<T[]>;
  /** POST. */
  create<T extends KubeObject>(path: string, object: unknown): Promise<T>;
  replace<T extends KubeObject>(path: string, object: unknown): Promise<T>;
  /** A merge patch. */
  patch<T extends KubeObject>(path: string, patch: unknown): Promise<T>;
  /** Server-side apply, forced. */
  apply<T extends KubeObject>(path: string, object: unknown): Promise<T>;
  /** False when there was none. `options` is a DeleteOptions. */
  delete(path: string, options?: Record<string, unknown>): Promise<boolean>;
  /**
   * Calls back with every object that is there, and again whenever one changes; `gone` when it is deleted. Goes on until
   * `signal`, through cut connections and restarts of the server.
   */
  follow<T extends KubeObject>(
    path: string,
    signal: AbortSignal,
    listener: (object: T, gone: boolean) => void,
  ): void;
  close(): void;
}

/** Connects to the server at `address`, whose certificate `authority` (PEM) signed. */
export function openLink(options: {
  readonly address: string;
  readonly authority: string;
  readonly token: string;
}): ClusterLink {
  const { address, authority, token } = options;
  const agent = new Agent({ keepAlive: true, ca: authority, maxSockets: 32 });
  // Watches would otherwise take up all connections.
  const watchAgent = new Agent({ ca: authority });

  const send = (
    method: string,
    path: string,
    { body, type = "application/json", ...more }: SendOptions = {},
  ): Promise<IncomingMessage> =>
    new Promise((resolve, reject) => {
      const text = body === undefined ? undefined : JSON.stringify(body);
      const headers = {
        authorization: `Bearer ${token}`,
        accept: "application/json",
        ...(text === undefined
          ? {}
          : { "content-type": type, "content-length": Buffer.byteLength(text) }),
      };
      const asked = httpsRequest(`${address}${path}`, { agent, method, headers, ...more }, resolve);
      asked.once("error", reject);
      asked.end(text);
    });

  const call = async <T>(method: string, path: string, options?: SendOptions): Promise<T> => {
    const response = await send(method, path, options);
    const text = await textOf(response);
    const status = response.statusCode ?? 0;
    if (status >= 200 && status < 300) return JSON.parse(text) as T;
    throw failure(status, text);
  };

  /** One listing and the watch after it; ends when the server ends it. */
  const followOnce = async <T extends KubeObject>(
    path: string,
    signal: AbortSignal,
    known: Map<string, T>,
    listener: (object: T, gone: boolean) => void,
  ): Promise<void> => {
    const list = await call<{ metadata: { resourceVersion: string }; items: T[] }>("GET", path);
    const present = new Set<string>();
    for (const item of list.items) {
      const uid = item.metadata.uid ?? "";
      present.add(uid);
      const before = known.get(uid);
      known.set(uid, item);
      if (before?.metadata.resourceVersion !== item.metadata.resourceVersion) listener(item, false);
    }
    for (const [uid, object] of known) {
      if (present.has(uid)) continue;
      known.delete(uid);
      listener(object, true);
    }
    const query = `watch=1&resourceVersion=${list.metadata.resourceVersion}&timeoutSeconds=600`;
    const response = await send("GET", `${path}${path.includes("?") ? "&" : "?"}${query}`, {
      agent: watchAgent,
      signal,
    });
    if (response.statusCode !== 200) {
      throw failure(response.statusCode ?? 0, await textOf(response));
    }
    let rest = "";
    for await (const chunk of response.setEncoding("utf8")) {
      const lines = (rest + String(chunk)).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        const { type, object } = JSON.parse(line) as { type: string; object: T };
        if (type === "ERROR") return;
        const uid = object.metadata.uid ?? "";
        if (type === "DELETED") known.delete(uid);
        else known.set(uid, object);
        listener(object, type === "DELETED");
      }
    }
  };

  return {
    address,
    async get<T>(path: string) {
      try {
        return await call<T>("GET", path);
      } catch (error) {
        if (error instanceof LinkError && error.status === 404) return undefined;
        throw error;
      }
    },
    async list<T>(path: string) {
      return (await call<{ items: T[] }>("GET", path)).items;
    },
    create: (path, body) => call("POST", path, { body }),
    replace: (path, body) => call("PUT", path, { body }),
    patch: (path, body) => call("PATCH", path, { body, type: "application/merge-patch+json" }),
    apply: (path, body) =>
      call("PATCH", `${path}?fieldManager=test-cluster&force=true`, {
        body,
        type: "application/apply-patch+yaml",
      }),
    async delete(path, options) {
      try {
        await call("DELETE", path, options === undefined ? {} : { body: options });
        return true;
      } catch (error) {
        if (error instanceof LinkError && error.status === 404) return false;
        throw error;
      }
    },
    follow<T extends KubeObject>(
      path: string,
      signal: AbortSignal,
      listener: (object: T, gone: boolean) => void,
    ) {
      const known = new Map<string, T>();
      void (async () => {
        while (!signal.aborted) {
          try {
            await followOnce(path, signal, known, listener);
          } catch {
            // The server is away, or comes up: once more, without a rush.
            await sleep(100, undefined, { signal }).catch(() => undefined);
          }
        }
      })();
    },
    close() {
      agent.destroy();
      watchAgent.destroy();
    },
  };
}

interface SendOptions extends RequestOptions {
  readonly body?: unknown;
  readonly type?: string;
}

async function textOf(response: IncomingMessage): Promise<string> {
  let text = "";
  for await (const chunk of response.setEncoding("utf8")) text += String(chunk);
  return text;
}

function failure(status: number, text: string): LinkError {
  try {
    const { reason, message } = JSON.parse(text) as { reason?: string; message?: string };
    return new LinkError(status, reason ?? "", message ?? text);
  } catch {
    return new LinkError(status, "", text.slice(0, 500));
  }
}
