// A storage that fails by rule, for tests of whatever must survive a failing one. Never part of a running product.
// Faults are chosen by operation, key and count, so a test places each one exactly; nothing here is random.

import { HoldfastError } from "../base/errors.ts";
import type { StorageOperation } from "./retrying.ts";
import type {
  CallOptions,
  GetOptions,
  ListOptions,
  Storage,
  StorageTraits,
  StoredObject,
  Upload,
} from "./storage.ts";

/**
 * before   the call fails and nothing happened
 * after    the call took effect, and its reply was lost
 * torn     get fills half of the memory and fails; list yields half of the entries and fails; put is "before"
 * damaged  get succeeds with one bit changed, as on a rotting disk
 * hold     the call waits for `until` before it goes on
 * kill     the process "dies" before the call, or after it took effect: this and all later calls fail
 */
export type Fault =
  | { readonly kind: "before" | "after" | "torn"; readonly error?: Error }
  | { readonly kind: "damaged" }
  | { readonly kind: "hold"; readonly until: Promise<void> }
  | { readonly kind: "kill"; readonly when: "before" | "after" };

export interface FaultRule {
  /** Which operations; all by default. */
  readonly on?: StorageOperation | undefined;
  /** Which keys or list prefixes; all by default. */
  readonly key?: RegExp | undefined;
  /** How many matching calls pass unharmed first; 0 by default. */
  readonly skip?: number | undefined;
  /** How many calls are hit in all; 1 by default. */
  readonly times?: number | undefined;
  /** Hit only each n-th of the calls that could be hit; 1 by default. */
  readonly every?: number | undefined;
  readonly fault: Fault;
}

export interface FaultyStorage extends Storage {
  /** Every call so far: `put data/ab/…`. */
  readonly calls: readonly string[];
  /** How many calls were hit: a test that expects faults asserts that they happened. */
  readonly hits: number;
  /** True after a "kill". */
  readonly killed: boolean;
}

/** `storage` with the faults of `rules`; the first rule that applies to a call hits it. */
export function faulty(storage: Storage, rules: readonly FaultRule[]): FaultyStorage {
  return new RuledStorage(storage, rules);
}

interface RuleState {
  readonly rule: FaultRule;
  matched: number;
}

class RuledStorage implements FaultyStorage {
  readonly location: string;
  readonly traits: StorageTraits;
  readonly calls: string[] = [];
  hits = 0;
  killed = false;
  readonly #storage: Storage;
  readonly #rules: readonly RuleState[];

  constructor(storage: Storage, rules: readonly FaultRule[]) {
    this.location = storage.location;
    this.traits = storage.traits;
    this.#storage = storage;
    this.#rules = rules.map((rule) => ({ rule, matched: 0 }));
  }

  put(key: string, body: Uint8Array, options: CallOptions = {}): Promise<void> {
    return this.#call("put", key, () => this.#storage.put(key, body, options));
  }

  replace(key: string, body: Uint8Array, options: CallOptions = {}): Promise<void> {
    return this.#call("replace", key, () => this.#storage.replace!(key, body, options));
  }

  get(key: string, options: GetOptions = {}): Promise<Uint8Array> {
    return this.#call("get", key, (fault) => this.#get(key, options, fault));
  }

  stat(key: string, options: CallOptions = {}): Promise<StoredObject> {
    return this.#call("stat", key, () => this.#storage.stat(key, options));
  }

  async *list(prefix: string, options: ListOptions = {}): AsyncGenerator<StoredObject> {
    const objects: StoredObject[] = [];
    const torn = await this.#call("list", prefix, async (fault) => {
      for await (const object of this.#storage.list(prefix, options)) objects.push(object);
      if (fault?.kind !== "torn") return undefined;
      objects.length = Math.ceil(objects.length / 2);
      return failure(fault);
    });
    yield* objects;
    if (torn) throw torn;
  }

  delete(key: string, options: CallOptions = {}): Promise<void> {
    return this.#call("delete", key, () => this.#storage.delete(key, options));
  }

  deleteMany(keys: readonly string[], options: CallOptions = {}): Promise<void> {
    const work = (): Promise<void> => this.#storage.deleteMany(keys, options);
    return this.#call("deleteMany", keys.join(" "), work);
  }

  async startUpload(key: string, options: CallOptions = {}): Promise<Upload> {
    const start = (): Promise<Upload> => this.#storage.startUpload!(key, options);
    const upload = await this.#call("startUpload", key, start);
    return {
      pieceBytes: upload.pieceBytes,
      parallel: upload.parallel,
      write: (piece, bytes, writing) =>
        this.#call("write", key, () => upload.write(piece, bytes, writing)),
      finish: (piece, bytes, finishing) =>
        this.#call("finish", key, () => upload.finish(piece, bytes, finishing)),
      abort: () => upload.abort(),
    };
  }

  close(): Promise<void> {
    return this.#storage.close();
  }

  async #get(key: string, options: GetOptions, fault: Fault | undefined): Promise<Uint8Array> {
    const bytes = await this.#storage.get(key, options);
    if (fault?.kind === "damaged" && bytes.length > 0) {
      const middle = bytes.length >> 1;
      bytes[middle] = (bytes[middle] ?? 0) ^ 0x10;
    }
    if (fault?.kind !== "torn") return bytes;
    bytes.fill(0xee, bytes.length >> 1);
    throw failure(fault);
  }

  async #call<T>(
    operation: StorageOperation,
    key: string,
    work: (fault: Fault | undefined) => Promise<T>,
  ): Promise<T> {
    this.calls.push(`${operation} ${key}`);
    if (this.killed) throw dead();
    const fault = this.#faultFor(operation, key);
    if (fault?.kind === "hold") await fault.until;
    const tornPut = fault?.kind === "torn" && operation !== "get" && operation !== "list";
    if (fault?.kind === "before" || tornPut) throw failure(fault);
    if (fault?.kind === "kill" && fault.when === "before") this.killed = true;
    if (this.killed) throw dead();
    const result = await work(fault);
    if (fault?.kind === "after") throw failure(fault);
    if (fault?.kind === "kill") this.killed = true;
    // A call that was under way when the process died never tells its result.
    if (this.killed) throw dead();
    return result;
  }

  #faultFor(operation: StorageOperation, key: string): Fault | undefined {
    for (const state of this.#rules) {
      const { on = operation, key: pattern, skip = 0, times = 1, every = 1 } = state.rule;
      if (on !== operation || (pattern !== undefined && !pattern.test(key))) continue;
      const turn = state.matched - skip;
      state.matched += 1;
      if (turn < 0 || turn % every !== 0 || turn / every >= times) continue;
      this.hits += 1;
      return state.rule.fault;
    }
    return undefined;
  }
}

function failure(fault: { readonly error?: Error }): Error {
  const passing = { retryable: true };
  return fault.error ?? new HoldfastError("STORAGE_UNAVAILABLE", "injected fault", passing);
}

function dead(): HoldfastError {
  return new HoldfastError("STORAGE_FAILED", "injected fault: the process is dead");
}
