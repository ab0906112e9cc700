// The head of an answer (RFC 9112): status, headers, and how the end of the body is found. Strict where a lenient reader
// could mistake one answer for another; what is wrong is an error, never a guess.

import type { IncomingHttpHeaders } from "node:http";

/** What an answer's head says. */
export interface Head {
  readonly status: number;
  /** By names in small letters; values of a repeated one joined with a comma. */
  readonly headers: IncomingHttpHeaders;
  /** Bytes of the body, or how its end is told. */
  readonly body: number | "chunked" | "until-close";
  /** Another request may follow on the connection. */
  readonly keepsAlive: boolean;
  /** Milliseconds for which the server keeps an idle connection, when it says so. */
  readonly idle: number | undefined;
}

/** The server does not speak HTTP as it should. */
export class BadAnswer extends Error {}

const STATUS_LINE = /^HTTP\/1\.([01]) ([1-9]\d\d)(?: |$)/;
const NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

/** Reads a head without the empty line behind it. `method` is that of the request: HEAD is answered without a body. */
export function parseHead(text: string, method: string): Head {
  const [first = "", ...lines] = text.split("\r\n");
  const [, minor, code] = STATUS_LINE.exec(first) ?? [];
  if (code === undefined) throw new BadAnswer("the answer is not HTTP");
  const headers: Record<string, string> = Object.create(null) as Record<string, string>;
  for (const line of lines) {
    // Without a pattern for the whole line: a hostile one would make it try for hours.
    const colon = line.indexOf(":");
    const name = line.slice(0, Math.max(0, colon));
    if (!NAME.test(name) || /[\0\r\n]/.test(line)) throw new BadAnswer("a header has no form");
    const key = name.toLowerCase();
    const value = line.slice(colon + 1).trim();
    headers[key] = key in headers ? `${headers[key]}, ${value}` : value;
  }
  const status = Number(code);
  const body = bodyOf(status, headers, method);
  const connection = (headers["connection"] ?? "").toLowerCase();
  const persists =
    minor === "1" ? !/\bclose\b/.test(connection) : /\bkeep-alive\b/.test(connection);
  const seconds = /\btimeout=(\d+)/i.exec(headers["keep-alive"] ?? "")?.[1];
  return {
    status,
    headers,
    body,
    keepsAlive: persists && body !== "until-close",
    idle: seconds === undefined ? undefined : Number(seconds) * 1000,
  };
}

function bodyOf(status: number, headers: Record<string, string>, method: string): Head["body"] {
  if (method === "HEAD" || status < 200 || status === 204 || status === 304) return 0;
  const encoding = headers["transfer-encoding"];
  const length = headers["content-length"];
  if (encoding !== undefined) {
    // Both together are how one answer is smuggled into another.
    if (length !== undefined) throw new BadAnswer("the length of the answer is told in two ways");
    if (encoding.toLowerCase() !== "chunked") throw new BadAnswer("the encoding is not known");
    return "chunked";
  }
  if (length === undefined) return "until-close";
  // The same length twice is allowed.
  const lengths = new Set(length.split(",").map((text) => text.trim()));
  const [value = ""] = lengths;
  if (lengths.size !== 1 || !/^\d{1,15}$/.test(value)) {
    throw new BadAnswer("the length of the answer is no number");
  }
  return Number(value);
}
