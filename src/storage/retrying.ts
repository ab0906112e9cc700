// A storage that tries again: passing faults of another storage are hidden behind exponential backoff.
// Only errors marked `retryable` are repeated. Repeating is safe by the contract: put is create-only and takes an
// equal object for success, delete is idempotent, get fills the same memory again.

import type { Clock, Random } from "../base/clock.ts";
import { Backoff, retry } from "../base/retry.ts";
import type { RetryEvent, RetryLimits, RetryOptions } from "../base/retry.ts";
import type {
  CallOptions,
  GetOptions,
  ListOptions,
  Storage,
  StorageFact,
  StorageTraits,
  StoredObject,
  Upload,
  UploadOptions,
} from "./storage.ts";

export type StorageOperation =
  | "put"
  | "replace"
  | "get"
  | "stat"
  | "list"
  | "delete"
  | "deleteMany"
  | "startUpload"
  | "write"
  | "finish"
  | "inspect";

export interface StorageRetry extends RetryEvent {
  readonly operation: StorageOperation;
  /** The key, or the prefix of a list. */
  readonly key: string;
}

/** Limits as in src/base/retry.ts: 15 minutes by default. */
export interface RetryingOptions extends RetryLimits {
  clock: Clock;
  /** Source of the jitter; without it pauses are exact. */
  random?: Random | undefined;
  /** Told before each pause, for a log or a progress line. */
  onRetry?: ((retry: StorageRetry) => void) | undefined;
}

/** `storage`, with every call repeated while it fails in passing. */
export function retrying(storage: Storage, options: RetryingOptions): Storage {
  return new RetryingStorage(storage, options);
}

class RetryingStorage implements Storage {
  readonly location: string;
  readonly traits: StorageTraits;
  readonly replace?: NonNullable<Storage["replace"]>;
  readonly startUpload?: NonNullable<Storage["startUpload"]>;
  readonly inspect?: NonNullable<Storage["inspect"]>;
  readonly #storage: Storage;
  readonly #options: RetryingOptions;

  constructor(storage: Storage, options: RetryingOptions) {
    // What the storage below cannot do, this one cannot either.
    if (storage.replace) this.replace = (key, body, call) => this.#replace(key, body, call);
    if (storage.startUpload) this.startUpload = (key, call) => this.#startUpload(key, call);
    if (storage.inspect) this.inspect = (call) => this.#inspect(call);
    this.location = storage.location;
    this.traits = storage.traits;
    this.#storage = storage;
    this.#options = options;
  }

  put(key: string, body: Uint8Array, options: CallOptions = {}): Promise<void> {
    const work = (): Promise<void> => this.#storage.put(key, body, options);
    return retry(work, this.#retryOptions("put", key, options));
  }

  get(key: string, options: GetOptions = {}): Promise<Uint8Array> {
    const work = (): Promise<Uint8Array> => this.#storage.get(key, options);
    return retry(work, this.#retryOptions("get", key, options));
  }

  stat(key: string, options: CallOptions = {}): Promise<StoredObject> {
    const work = (): Promise<StoredObject> => this.#storage.stat(key, options);
    return retry(work, this.#retryOptions("stat", key, options));
  }

  async *list(prefix: string, options: ListOptions = {}): AsyncGenerator<StoredObject> {
    const backoff = new Backoff(this.#retryOptions("list", prefix, options));
    // A new attempt starts from the beginning and in any order, so what was told is remembered.
    const told = new Set<string>();
    for (;;) {
      try {
        for await (const object of this.#storage.list(prefix, options)) {
          if (told.has(object.key)) continue;
          told.add(object.key);
          backoff.reset();
          yield object;
        }
        return;
      } catch (error) {
        await backoff.pause(error);
      }
    }
  }

  delete(key: string, options: CallOptions = {}): Promise<void> {
    const work = (): Promise<void> => this.#storage.delete(key, options);
    return retry(work, this.#retryOptions("delete", key, options));
  }

  deleteMany(keys: readonly string[], options: CallOptions = {}): Promise<void> {
    const work = (): Promise<void> => this.#storage.deleteMany(keys, options);
    const what = keys.length === 1 ? keys[0]! : `${keys.length} objects`;
    return retry(work, this.#retryOptions("deleteMany", what, options));
  }

  close(): Promise<void> {
    return this.#storage.close();
  }

  #replace(key: string, body: Uint8Array, options: CallOptions = {}): Promise<void> {
    const work = (): Promise<void> => this.#storage.replace!(key, body, options);
    return retry(work, this.#retryOptions("replace", key, options));
  }

  #inspect(options: CallOptions = {}): Promise<StorageFact[]> {
    const work = (): Promise<StorageFact[]> => this.#storage.inspect!(options);
    return retry(work, this.#retryOptions("inspect", "", options));
  }

  async #startUpload(key: string, options: UploadOptions = {}): Promise<Upload> {
    const start = (): Promise<Upload> => this.#storage.startUpload!(key, options);
    const upload = await retry(start, this.#retryOptions("startUpload", key, options));
    return {
      pieceBytes: upload.pieceBytes,
      parallel: upload.parallel,
      write: (piece, bytes, call = {}) =>
        retry(() => upload.write(piece, bytes, call), this.#retryOptions("write", key, call)),
      finish: (piece, bytes, call = {}) =>
        retry(() => upload.finish(piece, bytes, call), this.#retryOptions("finish", key, call)),
      abort: () => upload.abort(),
    };
  }

  #retryOptions(operation: StorageOperation, key: string, options: CallOptions): RetryOptions {
    const { onRetry, ...limits } = this.#options;
    return {
      ...limits,
      onRetry: onRetry && ((event) => onRetry({ ...event, operation, key })),
      signal: options.signal,
    };
  }
}
