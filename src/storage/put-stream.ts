// A body that comes piece by piece and may be larger than memory, as one object: a base backup, an export.
// At most `parallel` + 1 pieces are held at once. Nothing is visible before all of it is stored.

import { ahead } from "../base/concurrency.ts";
import { cancelled, unlessCancelled } from "../base/cancellation.ts";
import type { Clock } from "../base/clock.ts";
import { systemClock } from "../base/clock.ts";
import { HoldfastError } from "../base/errors.ts";
import type { Storage, Upload, UploadOptions } from "./storage.ts";

/** Taking back what was stored so far is a courtesy: on a dead line nobody should wait for it. */
const TAKE_BACK_MS = 5000;

type Body = AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

export interface PutStreamOptions extends UploadOptions {
  /** Limits how long taking back may last; the machine's own by default. */
  clock?: Clock;
}

/**
 * Stores what `body` yields under `key`; resolves to its bytes. STORAGE_EXISTS when the name is taken. Errors of `body`
 * are passed on. Whatever fails is told at once, even while `body` is silent, and nothing is left behind but what a dead
 * line keeps us from taking back.
 */
export async function putStream(
  storage: Storage,
  key: string,
  body: Body,
  options: PutStreamOptions = {},
): Promise<number> {
  const { clock = systemClock, signal, bytesMax } = options;
  if (storage.startUpload === undefined) {
    throw new HoldfastError(
      "STORAGE_FAILED",
      `${storage.location} takes no objects of any length`,
      {
        hint: "It stores restic repositories only. Use a location of gs, s3 or a directory.",
      },
    );
  }
  const upload = await storage.startUpload(key, { signal, bytesMax });
  const trouble = new Trouble(signal);
  try {
    return await send(upload, body, trouble);
  } catch (error) {
    await atMost(TAKE_BACK_MS, upload.abort(), clock);
    throw trouble.first?.error ?? error;
  } finally {
    trouble.end();
  }
}

/** The first thing that went wrong: it stops all the others. */
class Trouble {
  first: { readonly error: unknown } | undefined;
  readonly #stop = new AbortController();
  readonly #caller: AbortSignal | undefined;

  constructor(caller: AbortSignal | undefined) {
    this.#caller = caller;
    if (caller?.aborted === true) this.#onAbort();
    else caller?.addEventListener("abort", this.#onAbort, { once: true });
  }

  /** Aborts when anything failed, or the caller cancelled. */
  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  fail(error: unknown): void {
    this.first ??= { error };
    this.#stop.abort(error);
  }

  end(): void {
    this.#caller?.removeEventListener("abort", this.#onAbort);
  }

  readonly #onAbort = (): void => {
    if (this.#caller) this.fail(cancelled(this.#caller));
  };
}

async function send(upload: Upload, body: Body, trouble: Trouble): Promise<number> {
  const { pieceBytes, parallel } = upload;
  const { signal } = trouble;
  const running = new Set<Promise<void>>();
  const free: Uint8Array[] = [];
  const start = (piece: number, bytes: Uint8Array): void => {
    const writing = upload
      .write(piece, bytes, { signal })
      .catch((error: unknown) => trouble.fail(error))
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
    for await (const chunk of untilAborted(body, signal)) {
      for (let at = 0; at < chunk.length;) {
        // The last piece goes with `finish`, so a full one leaves only when more follows.
        if (filled === pieceBytes) {
          while (running.size >= parallel) await Promise.race(running);
          if (trouble.first) throw trouble.first.error;
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
  } catch (error) {
    trouble.fail(error);
    throw error;
  } finally {
    await Promise.all(running);
  }
  if (trouble.first) throw trouble.first.error;
  await upload.finish(piece, held.subarray(0, filled), { signal });
  return total;
}

/** What `body` yields; CANCELLED as soon as `signal` is aborted, also while nothing comes. `body` is told to end. */
async function* untilAborted(body: Body, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const iterator = Symbol.asyncIterator in body ? body[Symbol.asyncIterator]() : undefined;
  if (iterator === undefined) {
    yield* body as Iterable<Uint8Array>;
    return;
  }
  let isAsked = false;
  let isDone = false;
  try {
    for (;;) {
      isAsked = true;
      const next = await unlessCancelled(ahead(iterator.next()), signal);
      isAsked = false;
      isDone = next.done === true;
      if (next.done === true) return;
      yield next.value;
    }
  } catch (error) {
    // A body that failed by itself is over.
    isDone = !signal.aborted;
    throw error;
  } finally {
    if (!isDone) await endOf(iterator, isAsked);
  }
}

/** Tells a body that no more is wanted. One that was asked and is silent may never hear it, so nobody waits for that. */
async function endOf(iterator: AsyncIterator<Uint8Array>, isSilent: boolean): Promise<void> {
  const ended = iterator.return?.();
  if (ended === undefined) return;
  if (isSilent) void ahead(ended);
  else await ended;
}

/** Waits for `work` that never fails, but not for longer than that. */
async function atMost(milliseconds: number, work: Promise<void>, clock: Clock): Promise<void> {
  const waiting = new AbortController();
  const limit = ahead(clock.sleep(milliseconds, waiting.signal));
  await Promise.race([work, limit]);
  waiting.abort();
}
