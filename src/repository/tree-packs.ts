// Packs of trees, held whole in memory for a while: the trees of a snapshot lie together, and fetching a pack once (or
// taking it from the cache, where it is compared with its name every time) costs less than fetching each tree.
//
// Whoever walks what is held waits for nothing, for minutes in many snapshots of the same trees. Meanwhile nobody would
// hear a signal or refresh a lock, so others get their turn here.

import { setImmediate as turn } from "node:timers/promises";
import { throwIfCancelled } from "../base/cancellation.ts";
import { isHoldfastError } from "../base/errors.ts";
import type { Id } from "../base/bytes.ts";
import type { BlobPlace } from "./blob-index.ts";
import type { Repository } from "./repository.ts";

/** Bytes of all packs held, and of the largest one that is. */
const BYTES_MAX = 64 << 20;
const PACK_BYTES_MAX = 32 << 20;
/** Trees of one pack that are read one by one before the pack is fetched: who wants one tree must not wait for it. */
const READS_APART = 8;
/** Others get their turn after so many milliseconds. */
const TURN_MS = 20;

export class TreePacks {
  readonly #repository: Repository;
  /** The one used last is last. */
  readonly #held = new Map<Id, Promise<Uint8Array | undefined>>();
  readonly #sizes = new Map<Id, number>();
  readonly #reads = new Map<Id, number>();
  /** Packs that are damaged, gone or too large. */
  readonly #refused = new Set<Id>();
  #rested: number;

  constructor(repository: Repository) {
    this.#repository = repository;
    this.#rested = repository.machine.clock.monotonic();
  }

  /** The sealed bytes of a tree, or undefined when it should be fetched by itself. Throws CANCELLED. */
  async find(
    { pack, offset, length }: BlobPlace,
    signal?: AbortSignal,
  ): Promise<Uint8Array | undefined> {
    if (this.#refused.has(pack)) return undefined;
    let held = this.#held.get(pack);
    if (held === undefined) {
      const reads = (this.#reads.get(pack) ?? 0) + 1;
      this.#reads.set(pack, reads);
      if (this.#repository.cache === undefined && reads <= READS_APART) return undefined;
      held = this.#load(pack, signal);
    }
    this.#held.delete(pack);
    this.#held.set(pack, held);
    const bytes = await held;
    await this.#rest();
    throwIfCancelled(signal);
    return bytes !== undefined && offset + length <= bytes.length
      ? bytes.subarray(offset, offset + length)
      : undefined;
  }

  /** Lets others have their turn when it is time. */
  async #rest(): Promise<void> {
    const { clock } = this.#repository.machine;
    if (clock.monotonic() - this.#rested < TURN_MS) return;
    await turn();
    this.#rested = clock.monotonic();
  }

  async #load(pack: Id, signal?: AbortSignal): Promise<Uint8Array | undefined> {
    try {
      const bytes = await this.#repository.loadRaw("pack", pack, signal);
      if (bytes.length > PACK_BYTES_MAX) this.#refuse(pack);
      else this.#keep(pack, bytes.length);
      return bytes;
    } catch (error) {
      if (!isHoldfastError(error)) throw error;
      // A tree of a damaged pack may be sound. Whatever keeps the pack away will keep the tree away as well, and be told.
      this.#refuse(pack);
      return undefined;
    }
  }

  #keep(pack: Id, bytes: number): void {
    this.#sizes.set(pack, bytes);
    let sum = 0;
    for (const size of this.#sizes.values()) sum += size;
    for (const oldest of this.#held.keys()) {
      if (sum <= BYTES_MAX) break;
      const size = this.#sizes.get(oldest);
      // One that is still being fetched has no size yet.
      if (size === undefined || oldest === pack) continue;
      sum -= size;
      this.#sizes.delete(oldest);
      this.#held.delete(oldest);
    }
  }

  #refuse(pack: Id): void {
    this.#refused.add(pack);
    this.#held.delete(pack);
  }
}
