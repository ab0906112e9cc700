// A watch as it comes over the wire: one JSON object a line, for as long as the server likes. Lines are bounded, because an
// object is at most 1.5 MB at the server and nobody else has anything to say here.

import type { ApiStatus } from "./api-error.ts";

/** An object of etcd's limit, with its JSON and managed fields in full. */
const LINE_MAX = 16 * 1024 * 1024;

export interface WatchLine {
  readonly type: string;
  readonly object: Record<string, unknown> & ApiStatus;
}

/** Cuts a stream into lines and those into events. Throws an Error for what is none; ends quietly in the middle of a line. */
export async function* watchLines(stream: AsyncIterable<Uint8Array>): AsyncGenerator<WatchLine> {
  // Pieces of the line under way: concatenated once, when it ends.
  let pieces: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of stream) {
    let from = 0;
    for (;;) {
      const end = chunk.indexOf(10, from);
      const piece = end === -1 ? chunk.subarray(from) : chunk.subarray(from, end);
      pieces.push(piece);
      length += piece.length;
      if (length > LINE_MAX) throw new Error(`an event of more than ${LINE_MAX} bytes`);
      if (end === -1) break;
      const text = Buffer.concat(pieces).toString("utf8").trim();
      pieces = [];
      length = 0;
      from = end + 1;
      if (text !== "") yield parseLine(text);
    }
  }
}

function parseLine(text: string): WatchLine {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // Never the text itself: it may be a Secret.
    throw new Error("an event is not JSON");
  }
  const { type, object } = (value ?? {}) as { type?: unknown; object?: unknown };
  if (typeof type !== "string" || typeof object !== "object" || object === null) {
    throw new Error("an event lacks its type or its object");
  }
  return { type, object: object as WatchLine["object"] };
}
