// One part of a backup on its way into the archive: compressed as it comes, stored in pieces, nothing on a disk of ours.

import { putStream } from "../../storage/put-stream.ts";
import type { Clock } from "../../base/clock.ts";
import type { Storage } from "../../storage/storage.ts";
import { ByteChannel } from "./byte-channel.ts";
import { gzipBlocks } from "./gzip-blocks.ts";
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
  const body = level === 0 ? channel : gzipBlocks(channel, { level, lanes });
  const stored = putStream(storage, key, body, {
    // What cannot be compressed grows by a few bytes in each block.
    bytesMax: Math.ceil(bytesMax * 1.01) + 2 ** 20,
    clock,
    signal,
  });
  stored.catch((error: unknown) => channel.fail(error));
  return {
    stored,
    write: async (bytes) => await channel.write(bytes),
    end: async () => {
      channel.end();
      onStored(await stored);
    },
  };
}
