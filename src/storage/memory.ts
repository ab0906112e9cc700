// Objects in memory, for tests and for repositories that never leave the process.
// Stricter than a disk on purpose: bodies are copied in and out, and read as late as the contract allows, so a
// caller that reuses its memory too early or keeps a view of a stored object is found out.

import { setImmediate as turn } from "node:timers/promises";
import { concatBytes, equalBytes } from "../base/bytes.ts";
import { systemClock, type Clock } from "../base/clock.ts";
import { throwIfCancelled } from "../base/cancellation.ts";
import { HoldfastError } from "../base/errors.ts";
import { checkKey, normalPrefix } from "./keys.ts";
import { lengthWithin, rangeOf } from "./ranges.ts";
import type {
  CallOptions,
  GetOptions,
  ListOptions,
  Storage,
  StorageTraits,
  StoredObject,
  Upload,
} from "./storage.ts";

/** Small, so that tests cross it often. */
const PIECE_BYTES = 1024;

export interface MemoryStorageOptions {
  /** The objects by key; give the same map again to "reopen" a storage after a simulated crash. */
  objects?: Map<string, Uint8Array>;
  /** Name shown to people; "memory" by default. */
  location?: string;
  /** Tells when an object was stored; the machine's clock by default. */
  clock?: Clock;
}

/** A storage whose objects live in a Map. */
export function openMemoryStorage(options: MemoryStorageOptions = {}): Storage {
  return new MemoryStorage(options);
}

class MemoryStorage implements Storage {
  readonly location: string;
  readonly traits: StorageTraits = { local: true, strongLists: true, connections: 16 };
  readonly #objects: Map<string, Uint8Array>;
  readonly #times = new Map<string, number>();
  readonly #clock: Clock;

  constructor(options: MemoryStorageOptions) {
    this.location = options.location ?? "memory";
    this.#objects = options.objects ?? new Map<string, Uint8Array>();
    this.#clock = options.clock ?? systemClock;
  }

  async put(key: string, body: Uint8Array, options: CallOptions = {}): Promise<void> {
    checkKey(key);
    await settle(options);
    const existing = this.#objects.get(key);
    if (existing === undefined) this.#keep(key, Uint8Array.from(body));
    else if (!equalBytes(existing, body)) {
      throw new HoldfastError("STORAGE_EXISTS", `${key} exists with different content`);
    }
  }

  async replace(key: string, body: Uint8Array, options: CallOptions = {}): Promise<void> {
    checkKey(key);
    await settle(options);
    this.#keep(key, Uint8Array.from(body));
  }

  async get(key: string, options: GetOptions = {}): Promise<Uint8Array> {
    checkKey(key);
    const range = rangeOf(key, options);
    await settle(options);
    const body = this.#find(key);
    const length = lengthWithin(key, range, body.length);
    const bytes = body.subarray(range.offset, range.offset + length);
    if (options.into === undefined) return bytes.slice();
    options.into.set(bytes);
    return options.into.subarray(0, length);
  }

  async stat(key: string, options: CallOptions = {}): Promise<StoredObject> {
    checkKey(key);
    await settle(options);
    return { key, size: this.#find(key).length };
  }

  async *list(prefix: string, options: ListOptions = {}): AsyncGenerator<StoredObject> {
    const start = normalPrefix(prefix);
    await settle(options);
    for (const [key, body] of Array.from(this.#objects)) {
      throwIfCancelled(options.signal);
      if (options.after !== undefined && key <= options.after) continue;
      if (key.startsWith(start)) yield { key, size: body.length, modified: this.#times.get(key) };
    }
  }

  async delete(key: string, options: CallOptions = {}): Promise<void> {
    checkKey(key);
    await settle(options);
    this.#objects.delete(key);
  }

  async deleteMany(keys: readonly string[], options: CallOptions = {}): Promise<void> {
    for (const key of keys) await this.delete(key, options);
  }

  async startUpload(key: string, options: CallOptions = {}): Promise<Upload> {
    checkKey(key);
    await settle(options);
    this.#refuseTaken(key);
    const pieces: Uint8Array[] = [];
    const write: Upload["write"] = async (piece, bytes, { signal } = {}) => {
      await settle({ signal });
      pieces[piece] = Uint8Array.from(bytes);
    };
    return {
      pieceBytes: PIECE_BYTES,
      parallel: 3,
      write,
      finish: async (piece, bytes, finishing) => {
        await write(piece, bytes, finishing);
        // A copy of its own: small Buffers are views of memory that many share.
        const body = Uint8Array.from(concatBytes(pieces));
        const stored = this.#objects.get(key);
        // The same finish again, because its reply was lost.
        if (stored !== undefined && equalBytes(stored, body)) return;
        this.#refuseTaken(key);
        this.#keep(key, body);
      },
      abort: () => Promise.resolve(),
    };
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  #keep(key: string, body: Uint8Array): void {
    this.#objects.set(key, body);
    this.#times.set(key, this.#clock.now());
  }

  #refuseTaken(key: string): void {
    if (this.#objects.has(key)) throw new HoldfastError("STORAGE_EXISTS", `${key} exists already`);
  }

  #find(key: string): Uint8Array {
    const body = this.#objects.get(key);
    if (body === undefined) throw new HoldfastError("STORAGE_NOT_FOUND", `${key} does not exist`);
    return body;
  }
}

/** Lets a turn of the event loop pass, as every real storage does. */
async function settle(options: CallOptions): Promise<void> {
  throwIfCancelled(options.signal);
  await turn();
  throwIfCancelled(options.signal);
}
