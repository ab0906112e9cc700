// The segment that is still growing, in the archive as `.partial`, so that seconds are lost with a server and not a whole
// segment (docs/decisions/receiver.md#partial-segments). It is padded with zeros to the size of a segment, because
// PostgreSQL takes no other; it never covers less than it did; and it goes once the whole segment is durable.

import { HoldfastError, isHoldfastError, messageOf } from "../../base/errors.ts";
import type { Clock } from "../../base/clock.ts";
import { Semaphore } from "../../base/concurrency.ts";
import { objectPath, readObjectName } from "../../barman/layout.ts";
import { lengthWithoutZeros } from "../../barman/wal-header.ts";
import type { Archive } from "../archive.ts";
import { readSegment } from "../read-segment.ts";
import { compressWhole, GZIP_FAST } from "../wal-codec.ts";
import type { KnownPartial } from "./known-wal.ts";
import type { SpoolFile } from "./spool-file.ts";

interface Options {
  archive: Archive;
  /** Bytes of a segment. */
  segmentSize: number;
  /** Those that an earlier run left without a whole segment. */
  known: readonly KnownPartial[];
  clock: Clock;
  /** The first `bytes` of the segment are durable. */
  onCovered: (file: SpoolFile, bytes: number) => void;
  onNotice: (text: string) => void;
  signal: AbortSignal;
}

/** A bucket that forbids to replace objects may be told otherwise later. */
const REFUSED_PAUSE_MS = 10 * 60_000;

export class Partials {
  readonly #options: Options;
  /** By name: how far what is in the archive reaches; undefined when that was not looked up yet. */
  readonly #stored = new Map<string, number | undefined>();
  /** Objects of an earlier run, by name. */
  readonly #left = new Map<string, string>();
  /** One at a time: a refresh must not land behind the removal of the same object. */
  readonly #turn = new Semaphore(1);
  #refusedUntil = -Infinity;
  #isRefused = false;

  constructor(options: Options) {
    this.#options = options;
    for (const { path } of options.known) {
      const parts = readObjectName(path);
      if (parts.kind !== "wal" || parts.wal.kind !== "partial") continue;
      this.#stored.set(parts.wal.name, undefined);
      this.#left.set(parts.wal.name, path);
    }
  }

  /** What is in the archive reaches this far into the segment. */
  coverage(file: SpoolFile): number {
    return this.#stored.get(file.name) ?? 0;
  }

  /** Stores what was written of `file` by now. Failures are told, and tried again at the next call. Throws WAL_DIFFERS. */
  async refresh(file: SpoolFile): Promise<void> {
    if (this.#options.clock.monotonic() < this.#refusedUntil) return;
    const release = await this.#turn.acquire(this.#options.signal);
    try {
      const length = file.written;
      if (file.isComplete || length <= (this.#stored.get(file.name) ?? 0)) return;
      await this.#store(file, length);
    } catch (error) {
      this.#tell(file, error);
    } finally {
      release();
    }
  }

  /** Removes what is there of a segment that is durable as a whole. */
  async retire(file: SpoolFile): Promise<void> {
    const release = await this.#turn.acquire(this.#options.signal);
    try {
      if (!this.#stored.has(file.name)) return;
      const { archive, signal } = this.#options;
      const paths = new Set([pathOf(file), this.#left.get(file.name) ?? pathOf(file)]);
      await archive.storage.deleteMany([...paths], { signal });
      this.#stored.delete(file.name);
      this.#left.delete(file.name);
    } catch (error) {
      if (this.#options.signal.aborted) return;
      this.#options.onNotice(
        `${file.name}.partial stays beside the whole segment: ${messageOf(error)}`,
      );
    } finally {
      release();
    }
  }

  async #store(file: SpoolFile, length: number): Promise<void> {
    const { archive, signal, onCovered } = this.#options;
    const content = await file.read(length);
    const left = this.#left.get(file.name);
    if (left !== undefined && this.#stored.get(file.name) === undefined) {
      const reach = await this.#reachOf(left, content, length);
      this.#stored.set(file.name, reach);
      // What is there is the same log, and goes as far: it must not become shorter.
      if (reach >= length) {
        onCovered(file, length);
        return;
      }
    }
    const { storage } = archive;
    const body = await compressWhole(content, GZIP_FAST);
    if (storage.replace === undefined) {
      throw new HoldfastError("STORAGE_DENIED", `${storage.location} replaces no objects`);
    }
    // Known from now on, whatever comes of the call: a reply that is lost leaves the object there.
    this.#stored.set(file.name, this.#stored.get(file.name) ?? 0);
    await storage.replace(pathOf(file), body, { signal });
    this.#stored.set(file.name, length);
    this.#isRefused = false;
    onCovered(file, length);
    // Barman would take the other one.
    if (left !== undefined && left !== pathOf(file)) await storage.delete(left, { signal });
    this.#left.delete(file.name);
  }

  /**
   * How far an object of an earlier run reaches: a shorter one must not take its place. Throws WAL_DIFFERS when it is not
   * the same log.
   */
  async #reachOf(path: string, content: Buffer, length: number): Promise<number> {
    const { archive, segmentSize, signal } = this.#options;
    const parts = readObjectName(path);
    if (parts.kind !== "wal" || parts.wal.kind !== "partial") return 0;
    const stored = await archive.storage.get(path, { signal });
    let known: Uint8Array;
    try {
      known = (await readSegment(stored, { name: parts.wal, source: path, segmentSize })).bytes;
    } catch (error) {
      // Nobody can use it: ours is better.
      if (isHoldfastError(error, "WAL_INVALID")) return 0;
      throw error;
    }
    const reach = lengthWithoutZeros(known);
    const common = Math.min(reach, length);
    if (content.subarray(0, common).equals(known.subarray(0, common))) return reach;
    throw new HoldfastError(
      "WAL_DIFFERS",
      `${path} in ${archive.location} begins otherwise than what the server sends`,
      {
        hint: "A server that was set back without a new timeline needs an archive of its own: name another --server.",
      },
    );
  }

  #tell(file: SpoolFile, error: unknown): void {
    const { signal, clock, onNotice } = this.#options;
    if (signal.aborted) return;
    if (isHoldfastError(error, "WAL_DIFFERS", "BUG") || !isHoldfastError(error)) throw error;
    if (error.retryable) {
      onNotice(`${file.name}.partial was not refreshed: ${error.message}`);
      return;
    }
    this.#refusedUntil = clock.monotonic() + REFUSED_PAUSE_MS;
    if (this.#isRefused) return;
    this.#isRefused = true;
    onNotice(
      `going on without partial segments, so that up to a whole segment may be lost with the server: ${error.message}`,
    );
  }
}

function pathOf(file: SpoolFile): string {
  const { name, timeline } = file;
  return objectPath({
    kind: "wal",
    wal: { kind: "partial", name, timeline, compression: "gzip" },
  });
}
