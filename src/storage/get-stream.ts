// An object that may be larger than memory, in pieces: the next ones are on their way while one is used. What is read is
// exactly the size that was asked for: an object that became shorter is an error, never an early end.

import { ahead } from "../base/concurrency.ts";
import type { CallOptions, Storage } from "./storage.ts";

/** Few enough requests for a far storage, small enough to hold several. */
const PIECE_BYTES = 4 << 20;

export interface GetStreamOptions extends CallOptions {
  /** Bytes of the object, as a list or `stat` told it. */
  readonly size: number;
  /** Bytes of a piece; 4 MiB by default. */
  readonly pieceBytes?: number;
  /** How many pieces are under way at once, beside the one in use; 2 by default. */
  readonly ahead?: number;
}

/** The pieces of the object at `key`, each in memory of its own. Errors are those of `Storage.get`. */
export async function* getStream(
  storage: Storage,
  key: string,
  options: GetStreamOptions,
): AsyncGenerator<Uint8Array, void> {
  const { size, pieceBytes = PIECE_BYTES, ahead: count = 2, signal } = options;
  const stop = new AbortController();
  const both = signal ? AbortSignal.any([signal, stop.signal]) : stop.signal;
  const coming: Promise<Uint8Array>[] = [];
  let next = 0;
  const ask = (): void => {
    if (next >= size) return;
    const length = Math.min(pieceBytes, size - next);
    coming.push(ahead(storage.get(key, { offset: next, length, signal: both })));
    next += length;
  };
  try {
    for (let i = 0; i <= count; i++) ask();
    while (coming.length > 0) {
      const piece = await coming.shift()!;
      ask();
      yield piece;
    }
  } finally {
    stop.abort();
    // Nothing is left running behind the reader's back.
    await Promise.allSettled(coming);
  }
}
