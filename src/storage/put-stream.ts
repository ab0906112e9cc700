// A body that comes piece by piece and may be larger than memory, as one object: a base backup, an export.
// At most `parallel` + 1 pieces are held at once. Nothing is visible before all of it is stored.

import { HoldfastError } from "../base/errors.ts";
import type { CallOptions, Storage, Upload } from "./storage.ts";

/**
 * Stores what `body` yields under `key`; resolves to its bytes. STORAGE_EXISTS when the name is taken. Errors of `body`
 * are passed on; whatever fails, nothing is left behind.
 */
export async function putStream(
  storage: Storage,
  key: string,
  body: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  options: CallOptions = {},
): Promise<number> {
  if (storage.startUpload === undefined) {
    throw new HoldfastError(
      "STORAGE_FAILED",
      `${storage.location} takes no objects of any length`,
      {
        hint: "It stores restic repositories only. Use a location of gs, s3 or a directory.",
      },
    );
  }
  const upload = await storage.startUpload(key, options);
  try {
    return await send(upload, body, options);
  } catch (error) {
    await upload.abort();
    throw error;
  }
}

async function send(
  upload: Upload,
  body: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  options: CallOptions,
): Promise<number> {
  const { pieceBytes, parallel } = upload;
  const running = new Set<Promise<void>>();
  const free: Uint8Array[] = [];
  let failure: { error: unknown } | undefined;
  const start = (piece: number, bytes: Uint8Array): void => {
    const writing = upload
      .write(piece, bytes, options)
      .catch((error: unknown) => void (failure ??= { error }))
      .finally(() => {
        free.push(bytes);
        running.delete(writing);
      });
    running.add(writing);
  };
  let piece = 0;
  let total = 0;
  let held: Uint8Array = new Uint8Array(pieceBytes);
  let filled = 0;
  try {
    for await (const chunk of body) {
      for (let at = 0; at < chunk.length;) {
        // The last piece goes with `finish`, so a full one leaves only when more follows.
        if (filled === pieceBytes) {
          while (running.size >= parallel) await Promise.race(running);
          if (failure) throw failure.error;
          start(piece++, held);
          held = free.pop() ?? new Uint8Array(pieceBytes);
          filled = 0;
        }
        const part = chunk.subarray(at, at + pieceBytes - filled);
        held.set(part, filled);
        filled += part.length;
        at += part.length;
      }
      total += chunk.length;
    }
  } finally {
    await Promise.all(running);
  }
  if (failure) throw failure.error;
  await upload.finish(piece, held.subarray(0, filled), options);
  return total;
}
