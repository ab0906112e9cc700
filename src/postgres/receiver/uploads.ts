// Whole segments on their way from the spool to the archive, several at once. A storage that is away is tried again for as
// long as it takes; content that is not what it should be ends everything. What is told as stored is durable.

import { isHoldfastError } from "../../base/errors.ts";
import type { Clock, Random } from "../../base/clock.ts";
import { Semaphore } from "../../base/concurrency.ts";
import { retry, type RetryEvent } from "../../base/retry.ts";
import { requireSegmentHeader } from "../../barman/wal-header.ts";
import type { Archive } from "../archive.ts";
import { storeWal } from "../store-segment.ts";
import type { SpoolFile, SpoolIdentity } from "./spool-file.ts";

interface Options {
  archive: Archive;
  identity: SpoolIdentity;
  /** Other programs store segments here too. */
  shared: boolean;
  clock: Clock;
  random: Random;
  /** Aborts what is under way. */
  signal: AbortSignal;
  /** The segment is durable. */
  onStored: (file: SpoolFile) => Promise<void>;
  onRetry: (event: RetryEvent) => void;
  /** Nothing more can be stored: WAL_DIFFERS, WAL_INVALID or a defect. */
  onFailed: (error: unknown) => void;
}

/** Bytes of segments that may be in memory at once. */
const MEMORY_MAX = 96 << 20;
const PARALLEL_MAX = 4;
const DELAY_MAX = 30_000;

/** True for errors that no repetition mends. */
export function isFinal(error: unknown): boolean {
  return (
    !isHoldfastError(error) ||
    isHoldfastError(
      error,
      "WAL_DIFFERS",
      "WAL_INVALID",
      "ARCHIVE_FOREIGN",
      "BUG",
      "USAGE",
      "CANCELLED",
    )
  );
}

export class Uploads {
  readonly #options: Options;
  readonly #places: Semaphore;
  readonly #waiting = new Set<SpoolFile>();
  readonly #running = new Set<Promise<void>>();

  constructor(options: Options) {
    this.#options = options;
    // Each is in memory twice, as it is and compressed.
    const fitting = Math.floor(MEMORY_MAX / (2 * options.identity.segmentSize));
    this.#places = new Semaphore(Math.max(1, Math.min(PARALLEL_MAX, fitting)));
  }

  /** Segments that are not durable yet. */
  get waiting(): ReadonlySet<SpoolFile> {
    return this.#waiting;
  }

  /** Takes a complete segment. */
  add(file: SpoolFile): void {
    this.#waiting.add(file);
    const work = this.#store(file).finally(() => this.#running.delete(work));
    this.#running.add(work);
  }

  /** Resolves when everything was stored, or has failed. */
  async settled(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
  }

  async #store(file: SpoolFile): Promise<void> {
    const { clock, random, signal, onStored, onRetry, onFailed } = this.#options;
    try {
      await this.#places.run(
        () =>
          retry(() => this.#put(file), {
            clock,
            random,
            signal,
            elapsedMax: Infinity,
            delayMax: DELAY_MAX,
            isRetryable: (error) => !isFinal(error),
            onRetry,
          }),
        signal,
      );
      this.#waiting.delete(file);
      await onStored(file);
    } catch (error) {
      if (!signal.aborted) onFailed(error);
    }
  }

  async #put(file: SpoolFile): Promise<void> {
    const { archive, identity, shared, signal } = this.#options;
    const { segmentSize, systemId } = identity;
    const content = await file.read(segmentSize);
    const source = `the segment ${file.name} in the spool`;
    requireSegmentHeader(content, {
      name: file.name,
      source,
      segmentSize,
      systemId: BigInt(systemId),
    });
    await storeWal(archive, {
      name: { kind: "segment", name: file.name, timeline: file.timeline, compression: null },
      content,
      lookForOthers: shared,
      signal,
    });
  }
}
