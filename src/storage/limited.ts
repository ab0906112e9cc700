// Limits on a storage: how many calls at once, and for those without a wire of their own how many bytes a second.
// A list is not counted: it would hold its place while its reader works on what it has been told.

import { Semaphore } from "../base/concurrency.ts";
import type { RateLimit } from "../base/rate-limit.ts";
import { forwarding } from "./forwarding.ts";
import type { CallOptions, Storage, Upload } from "./storage.ts";

/** `storage` with at most `connections` calls under way at once. */
export function withConnections(storage: Storage, connections: number): Storage {
  const places = new Semaphore(connections);
  const hold = <T>(work: () => Promise<T>, options: CallOptions = {}): Promise<T> =>
    places.run(work, options.signal);
  return forwarding(storage, {
    traits: { ...storage.traits, connections },
    put: (key, body, options) => hold(() => storage.put(key, body, options), options),
    ...(storage.replace && {
      replace: (key, body, options) => hold(() => storage.replace!(key, body, options), options),
    }),
    get: (key, options) => hold(() => storage.get(key, options), options),
    stat: (key, options) => hold(() => storage.stat(key, options), options),
    delete: (key, options) => hold(() => storage.delete(key, options), options),
    deleteMany: (keys, options) => hold(() => storage.deleteMany(keys, options), options),
  });
}

export interface Rates {
  readonly upload?: RateLimit | undefined;
  readonly download?: RateLimit | undefined;
}

/**
 * `storage` with bodies counted against `rates` as wholes: before a put or a piece of one, after a get. For directories, which may be
 * mounts of something far away; transports limit themselves piece by piece.
 */
export function withRates(storage: Storage, rates: Rates): Storage {
  const { upload, download } = rates;
  if (upload === undefined && download === undefined) return storage;
  const start = storage.startUpload?.bind(storage);
  return forwarding(storage, {
    ...(start &&
      upload && {
        startUpload: async (key, options) => ratedUpload(await start(key, options), upload),
      }),
    put: async (key, body, options) => {
      await upload?.take(body.length, options?.signal);
      await storage.put(key, body, options);
    },
    ...(storage.replace && {
      replace: async (key, body, options) => {
        await upload?.take(body.length, options?.signal);
        await storage.replace!(key, body, options);
      },
    }),
    get: async (key, options) => {
      const bytes = await storage.get(key, options);
      await download?.take(bytes.length, options?.signal);
      return bytes;
    },
  });
}

function ratedUpload(started: Upload, rate: RateLimit): Upload {
  return {
    pieceBytes: started.pieceBytes,
    parallel: started.parallel,
    write: async (piece, bytes, options) => {
      await rate.take(bytes.length, options?.signal);
      await started.write(piece, bytes, options);
    },
    finish: async (piece, bytes, options) => {
      await rate.take(bytes.length, options?.signal);
      await started.finish(piece, bytes, options);
    },
    abort: () => started.abort(),
  };
}
