// Fetching WAL ahead of a recovery: a process beside the server keeps the next segments in a spool while PostgreSQL replays, so
// that recovery waits for neither round trips nor connections. It ends by itself: at the end of the archive, when nobody
// takes what it fetched, when the spool is gone, or at the first failure. It never tells anything absent.

import { throwIfCancelled } from "../base/cancellation.ts";
import type { Clock } from "../base/clock.ts";
import { HoldfastError } from "../base/errors.ts";
import { segmentName, segmentNumber, type SegmentName } from "../barman/wal-name.ts";
import type { Archive } from "./archive.ts";
import { copiesOf, listWalFolder, type WalObject } from "./find-wal.ts";
import { fetchWal } from "./wal-fetch.ts";
import type { Lease, WalSpool } from "./wal-spool.ts";

export interface PrefetchOptions {
  readonly archive: Archive;
  readonly spool: WalSpool;
  /** How many segments to hold at most. */
  readonly count: number;
  readonly segmentSize: number;
  readonly systemId: bigint;
  /** Milliseconds without anybody taking a segment after which it ends. */
  readonly idle: number;
  readonly clock: Clock;
  readonly signal?: AbortSignal | undefined;
}

/** Milliseconds between looks at the spool. */
const LOOK_MS = 40;
/** Large segments are held in smaller numbers. */
const SPOOL_BYTES_MAX = 128 << 20;

/**
 * Keeps segments behind the wanted one in the spool until there is no use in it. Resolves with how many it fetched; at once
 * when another process does the same.
 */
export async function prefetchWal(options: PrefetchOptions): Promise<number> {
  const { spool, signal } = options;
  const lease = await spool.lease();
  if (lease === undefined) return 0;
  const stop = new AbortController();
  const stopped = signal ? AbortSignal.any([signal, stop.signal]) : stop.signal;
  const prefetch = new Prefetch({ ...options, signal: stopped });
  try {
    await prefetch.run(lease);
    return prefetch.fetched;
  } finally {
    stop.abort();
    await prefetch.settled();
    // Who lost the lease leaves everything to the one who has it.
    if (await lease.renew()) await spool.clear();
  }
}

class Prefetch {
  fetched = 0;
  readonly #options: PrefetchOptions;
  readonly #count: number;
  readonly #flying = new Map<string, Promise<void>>();
  /** Segments that cannot be had: whoever asks for one itself is told why. */
  readonly #failed = new Set<string>();
  /** Segments that were put into the spool. */
  readonly #held = new Set<string>();
  /** The segment that was not there when PostgreSQL had got to `wanted`: it is not asked for again before that moves on. */
  #absent: { name: string; wanted: string } | undefined;
  /** What was listed last: a folder by its name. */
  #listed: { key: string; objects: readonly WalObject[] } | undefined;

  constructor(options: PrefetchOptions) {
    this.#options = options;
    const fitting = Math.floor(SPOOL_BYTES_MAX / options.segmentSize);
    this.#count = Math.max(1, Math.min(options.count, fitting));
  }

  async run(lease: Lease): Promise<void> {
    const { spool, clock, idle, signal } = this.#options;
    let last: string | undefined;
    let since = clock.monotonic();
    while (await lease.renew()) {
      throwIfCancelled(signal);
      const wanted = await spool.wanted();
      if (wanted === undefined) return;
      if (wanted !== last) since = clock.monotonic();
      else if (clock.monotonic() - since > idle) return;
      last = wanted;
      // Before the look: what lands between the two would be taken for nothing.
      const isBusy = this.#flying.size > 0;
      const { here } = await spool.look();
      const { names, isAll } = await this.#fill(wanted);
      for (const name of here) if (!names.includes(name)) await spool.drop(name);
      const isEmpty = !names.some((name) => here.has(name));
      if (!isAll && isEmpty && !isBusy && this.#flying.size === 0) return;
      await clock.sleep(LOOK_MS, signal).catch(() => throwIfCancelled(signal));
    }
  }

  async settled(): Promise<void> {
    await Promise.all(this.#flying.values());
  }

  /**
   * Starts to fetch what is missing behind `wanted`. The names that are of use there, and whether those are as many as may be
   * held: not at the end of the archive, or before a segment that cannot be had.
   */
  async #fill(wanted: string): Promise<{ names: string[]; isAll: boolean }> {
    const { segmentSize } = this.#options;
    const timeline = Number.parseInt(wanted.slice(0, 8), 16);
    const first = segmentNumber(wanted, segmentSize) + 1;
    const ahead = Array.from({ length: this.#count }, (_, i) =>
      segmentName(timeline, first + i, segmentSize),
    );
    for (const name of this.#held) if (!ahead.includes(name)) this.#held.delete(name);
    const names: string[] = [];
    for (const text of ahead) {
      if (this.#failed.has(text)) break;
      // What was held and is not here was taken a moment ago.
      if (!this.#held.has(text) && !this.#flying.has(text)) {
        if (this.#absent?.name === text && this.#absent.wanted === wanted) break;
        const name = { kind: "segment", name: text, timeline, compression: null } as const;
        const folder = await this.#folder(name);
        if (copiesOf(folder, name).length === 0) {
          this.#absent = { name: text, wanted };
          break;
        }
        this.#flying.set(text, this.#fly(name, folder));
      }
      names.push(text);
    }
    return { names, isAll: names.length === ahead.length };
  }

  async #fly(name: SegmentName, folder: readonly WalObject[]): Promise<void> {
    try {
      await this.#fetch(name, folder);
      this.#held.add(name.name);
    } catch {
      this.#failed.add(name.name);
    } finally {
      this.#flying.delete(name.name);
    }
  }

  /** What a listing shows of a folder; asked for again only when a segment is not in it. */
  async #folder(name: SegmentName): Promise<readonly WalObject[]> {
    const { archive, signal } = this.#options;
    const key = name.name.slice(0, 16);
    const known = this.#listed?.key === key ? this.#listed.objects : [];
    if (copiesOf(known, name).length > 0) return known;
    const objects = await listWalFolder(archive, name, { signal });
    this.#listed = { key, objects };
    return objects;
  }

  async #fetch(name: SegmentName, folder: readonly WalObject[]): Promise<void> {
    const { archive, spool, systemId, signal } = this.#options;
    await spool.announcing(name.name, async () => {
      const found = await fetchWal({ archive, name, folder, systemId, signal });
      // A partial segment may be a whole one the next time.
      if (found === undefined || found.partial)
        throw new HoldfastError("WAL_MISSING", `${name.name} is gone from ${archive.location}`);
      throwIfCancelled(signal);
      await spool.put(name.name, found.content);
      this.fetched++;
    });
  }
}
