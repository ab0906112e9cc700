// One part of a backup on its way into the archive: compressed as it comes, stored in pieces, nothing on a disk of ours.

import { putStream } from "../../storage/put-stream.ts";
import type { Clock } from "../../base/clock.ts";
import { ahead } from "../../base/concurrency.ts";
import type { Storage } from "../../storage/storage.ts";
import { ByteChannel } from "./byte-channel.ts";
import { GzipBlocks } from "./gzip-blocks.ts";
import type { PartSink } from "./tar-parts.ts";

export interface PartUploadOptions {
  readonly storage: Storage;
  readonly key: string;
  /** More will not come, before compression. */
  readonly bytesMax: number;
  /** gzip's level; 0 for none. */
  readonly level: number;
  readonly lanes: number;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Gets the bytes that were stored. */
  readonly onStored: (bytes: number) => void;
}

/** Starts storing a part. Aborting `signal` takes back what was stored of it. */
export function startPart(options: PartUploadOptions): PartSink & { stored: Promise<unknown> } {
  const { storage, key, bytesMax, level, lanes, clock, signal, onStored } = options;
  const channel = new ByteChannel();
  const stored = putStream(storage, key, channel, {
    // What cannot be compressed grows by a few bytes in each block.
    bytesMax: Math.ceil(bytesMax * 1.01) + 2 ** 20,
    clock,
    signal,
  });
  const failures: unknown[] = [];
  stored.catch((error: unknown) => {
    failures.push(error);
    channel.fail(error);
  });
  const output = async (bytes: Uint8Array): Promise<void> => await channel.write(bytes);
  const writer = level === 0 ? new Copies(output) : new GzipBlocks({ level, lanes, output });
  const close = async (): Promise<void> => await writer.close();
  return {
    stored: ahead(stored.then(close, close)),
    write: async (bytes) => {
      // The storage may have failed while blocks were filled, and the writer is closed then.
      if (failures.length > 0) throw failures[0];
      try {
        await writer.write(bytes);
      } catch (error) {
        throw failures.length > 0 ? failures[0] : error;
      }
    },
    end: async () => {
      await writer.end();
      channel.end();
      onStored(await stored);
    },
  };
}

const COPY_BYTES = 1 << 18;

/** Passes on copies of what is written: whoever writes uses the memory again. */
class Copies {
  readonly #output: (bytes: Uint8Array) => Promise<void>;
  #block = Buffer.allocUnsafeSlow(COPY_BYTES);
  #filled = 0;

  constructor(output: (bytes: Uint8Array) => Promise<void>) {
    this.#output = output;
  }

  async write(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) {
      const part = bytes.subarray(at, at + COPY_BYTES - this.#filled);
      this.#block.set(part, this.#filled);
      this.#filled += part.length;
      at += part.length;
      if (this.#filled === COPY_BYTES) await this.end();
    }
  }

  async end(): Promise<void> {
    const whole = this.#block.subarray(0, this.#filled);
    this.#block = Buffer.allocUnsafeSlow(COPY_BYTES);
    this.#filled = 0;
    await this.#output(whole);
  }

  async close(): Promise<void> {
    this.#filled = 0;
    await Promise.resolve();
  }
}
