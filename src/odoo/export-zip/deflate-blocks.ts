// One stream of deflate made by several threads: pieces of the content are compressed each by itself, ended at a byte border,
// and put one behind the other, which any reader takes for a single stream. Costs a little of the ratio (each piece forgets
// what came before it) and makes a dump as fast as there are cores.

import { constants, deflateRaw } from "node:zlib";
import { promisify } from "node:util";
import { throwIfCancelled } from "../../base/cancellation.ts";

const compress = promisify(deflateRaw);

/** Bytes of content in a piece. Its window has 32 KiB, so what is forgotten is a thirtieth. */
const PIECE_BYTES = 1 << 20;
/** An empty block, the last one. */
const LAST_BLOCK: Uint8Array = Buffer.from([0x03, 0x00]);

export interface DeflateOptions {
  /** zlib's, 1 to 9. */
  readonly level: number;
  /** Pieces under way at once: each holds its content and what it becomes. */
  readonly lanes: number;
  readonly signal?: AbortSignal | undefined;
}

/** The stream of deflate of `content`, which is asked for no faster than the result is taken. */
export async function* deflateBlocks(
  content: AsyncIterable<Uint8Array>,
  { level, lanes, signal }: DeflateOptions,
): AsyncGenerator<Uint8Array, void> {
  const waiting: Promise<Buffer>[] = [];
  try {
    for await (const piece of pieces(content)) {
      throwIfCancelled(signal);
      const work = compress(piece, { level, finishFlush: constants.Z_SYNC_FLUSH });
      // Awaited in its turn; until then its failure is nobody's.
      work.catch(() => {});
      waiting.push(work);
      if (waiting.length >= lanes) yield await waiting.shift()!;
    }
    while (waiting.length > 0) yield await waiting.shift()!;
    yield LAST_BLOCK;
  } finally {
    await Promise.allSettled(waiting);
  }
}

/** The same bytes in pieces of one size, the last one shorter; nothing for nothing. */
async function* pieces(content: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer, void> {
  let piece = Buffer.allocUnsafe(PIECE_BYTES);
  let filled = 0;
  for await (const bytes of content) {
    for (let at = 0; at < bytes.length;) {
      const count = Math.min(bytes.length - at, PIECE_BYTES - filled);
      piece.set(bytes.subarray(at, at + count), filled);
      filled += count;
      at += count;
      if (filled < PIECE_BYTES) continue;
      yield piece;
      piece = Buffer.allocUnsafe(PIECE_BYTES);
      filled = 0;
    }
  }
  if (filled > 0) yield piece.subarray(0, filled);
}
