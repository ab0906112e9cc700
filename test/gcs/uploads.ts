// Bodies of uploads: multipart/related in one request, and resumable sessions with their status queries.

import { randomBytes } from "node:crypto";
import type { Insertion, ObjectMetadata } from "./bucket.ts";
import type { BodyMemory } from "./body-memory.ts";
import { GcsError, invalid } from "./gcs-error.ts";

/** Every piece of a resumable upload but the last is a multiple of this. */
const PIECE_BYTES = 256 << 10;
const SESSION_MILLISECONDS = 7 * 24 * 3600 * 1000;

/** The metadata and the content of a multipart/related body. */
export function parseMultipart(
  contentType: string,
  body: Buffer,
): { metadata: ObjectMetadata; content: Buffer } {
  const boundary = /boundary="?([^";]+)"?/i.exec(contentType)?.[1];
  if (boundary === undefined) throw invalid("Missing boundary in multipart body.");
  const delimiter = Buffer.from(`--${boundary}`);
  const parts: { headers: string; content: Buffer }[] = [];
  let at = body.indexOf(delimiter);
  for (;;) {
    if (at < 0) throw invalid("Missing end boundary in multipart body.");
    const after = at + delimiter.length;
    if (body.subarray(after, after + 2).toString("latin1") === "--") break;
    const start = body.indexOf("\n", after) + 1;
    // A part may have no headers at all.
    const head = body.subarray(start, start + 4096).toString("latin1");
    const blank = /^\r?\n|\r?\n\r?\n/.exec(head);
    if (blank === null) throw invalid("Malformed multipart body.");
    const next = body.indexOf(`\n--${boundary}`, start);
    if (next < 0) throw invalid("Missing end boundary in multipart body.");
    const end = body[next - 1] === 13 ? next - 1 : next;
    const headers = body.subarray(start, start + blank.index).toString("latin1");
    parts.push({ headers, content: body.subarray(start + blank.index + blank[0].length, end) });
    at = next + 1;
  }
  const [first, second] = parts;
  if (first === undefined || second === undefined || parts.length !== 2) {
    throw invalid("Multipart body must have exactly two parts.");
  }
  if (!/application\/json/i.test(first.headers)) {
    throw invalid("The first part of a multipart upload must be JSON.");
  }
  const metadata = parseMetadata(first.content);
  const type = /content-type: *([^\r\n]+)/i.exec(second.headers)?.[1];
  if (type !== undefined) metadata.contentType ??= type;
  return { metadata, content: second.content };
}

/** Object metadata as the client sends them; 400 when they are no JSON object. */
export function parseMetadata(body: Buffer): ObjectMetadata {
  if (body.length === 0) return {};
  try {
    const value: unknown = JSON.parse(body.toString("utf8"));
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value;
  } catch {
    // Answered below.
  }
  throw new GcsError(400, "parseError", "Parse Error");
}

type Pending = Omit<Insertion, "content">;

interface Session {
  pending: Pending;
  pieces: Buffer[];
  received: number;
  created: number;
  /** The answer to the last piece, told again to whoever missed it. */
  finished: unknown;
}

/** What a piece led to: how much is held now, or the object. */
export type PieceResult = { received: number } | { done: unknown };

export class ResumableUploads {
  readonly #sessions = new Map<string, Session>();
  readonly #now: () => number;
  readonly #memory: BodyMemory;

  constructor(now: () => number, memory: BodyMemory) {
    this.#now = now;
    this.#memory = memory;
  }

  /** Opens a session; returns its id, which is all it takes to write the object. */
  open(pending: Pending): string {
    const id = randomBytes(16).toString("hex");
    const created = this.#now();
    this.#sessions.set(id, { pending, pieces: [], received: 0, created, finished: undefined });
    return id;
  }

  /** As after a week: every session is unknown. */
  forgetAll(): void {
    this.#sessions.clear();
  }

  cancel(id: string): void {
    this.#find(id);
    this.#sessions.delete(id);
  }

  /** Takes a piece or answers a status query. `insert` makes the object when all is there. */
  take(
    id: string,
    range: string | undefined,
    body: Buffer,
    insert: (insertion: Insertion) => unknown,
  ): PieceResult {
    const session = this.#find(id);
    if (session.finished !== undefined) return { done: session.finished };
    const { first, total } = parseRange(range, body.length);
    if (first !== undefined) {
      if (first > session.received) {
        throw new GcsError(503, "backendError", "A piece before this one is missing.");
      }
      const fresh = body.subarray(session.received - first);
      const last = total !== undefined && first + body.length === total;
      if (!last && body.length % PIECE_BYTES !== 0) {
        throw invalid(
          "Invalid request. The number of bytes uploaded is required to be equal or greater than 262144, except for the final request.",
        );
      }
      session.pieces.push(fresh);
      session.received += fresh.length;
    }
    if (total === undefined || session.received < total) return { received: session.received };
    const content = this.#memory.concat(session.pieces);
    session.finished = insert({ ...session.pending, content });
    session.pieces = [];
    return { done: session.finished };
  }

  #find(id: string): Session {
    const session = this.#sessions.get(id);
    if (session === undefined) throw new GcsError(404, "notFound", "No such upload session.");
    if (this.#now() - session.created > SESSION_MILLISECONDS) {
      throw new GcsError(410, "gone", "The upload session has expired.");
    }
    return session;
  }
}

/** `bytes 0-99/*`, `bytes 0-99/100`, `bytes *`+`/100` (a query); without a header the body is everything. */
function parseRange(
  range: string | undefined,
  length: number,
): { first: number | undefined; total: number | undefined } {
  if (range === undefined) return { first: 0, total: length };
  const match = /^bytes (?:(\d+)-(\d+|\*)|\*)\/(\d+|\*)$/.exec(range);
  if (match === null) throw invalid("Failed to parse Content-Range header.");
  const [, first, last, total] = match;
  const whole = total === "*" ? undefined : Number(total);
  if (first === undefined) return { first: undefined, total: whole };
  if (last !== "*" && Number(last) - Number(first) + 1 !== length) {
    throw invalid("Content-Range does not match the length of the body.");
  }
  // "0-*" is Google's own clients' way to say: whatever follows, to the end of this request.
  const end = last === "*" ? Number(first) + length : undefined;
  return { first: Number(first), total: whole ?? end };
}
