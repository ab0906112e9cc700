// The head of a request (RFC 9112 §3): every name once, nothing in it that could end it early.

import { validateHeaderName, validateHeaderValue } from "node:http";
import { HoldfastError } from "../../base/errors.ts";
import type { WireRequest } from "./transport.ts";

export interface HeadOptions {
  readonly userAgent: string;
  /** Headers of every request: a proxy's authorization. */
  readonly headers: Readonly<Record<string, string>>;
  /** Write the whole URL into the request line, as proxies want it. */
  readonly absolute: boolean;
}

/** The text of the head, with the empty line. BUG for a header that no request can hold. */
export function requestHead(request: WireRequest, options: HeadOptions): string {
  const { method, url, headers = {}, body = [], what } = request;
  const path = options.absolute ? url.href : url.pathname + url.search;
  const all = new Map<string, string>([
    ["host", url.host],
    ["user-agent", options.userAgent],
  ]);
  // A name stands once, however it is written: signed requests bring a host of their own.
  for (const [name, value] of Object.entries({ ...options.headers, ...headers })) {
    try {
      validateHeaderName(name);
      validateHeaderValue(name, String(value));
    } catch {
      // The value may be a secret.
      throw new HoldfastError("BUG", `cannot ${what}: no request can hold the header ${name}`);
    }
    all.set(name.toLowerCase(), String(value));
  }
  const length = body.reduce((sum, part) => sum + part.length, 0);
  all.delete("content-length");
  if (length > 0 || method === "POST" || method === "PUT") all.set("content-length", `${length}`);
  const lines = Array.from(all, ([name, value]) => `${name}: ${value}\r\n`);
  return `${method} ${path} HTTP/1.1\r\n${lines.join("")}\r\n`;
}
