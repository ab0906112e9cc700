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
/** What else fails for good may be a volume that is not mounted at the moment. */
const FAILED_PAUSE_MS = 10_000;
const TIDY_PAUSE_MS = 60_000;

export class Partials {
  readonly #options: Options;
  /** The objects that are, or may be, in the archive, by the names of their segments. */
  readonly #objects = new Map<string, string>();
  /** How much of a file is known to be in such an object. */
  readonly #covered = new WeakMap<SpoolFile, number>();
  /** One at a time: a refresh must not land behind the removal of the same object. */
  readonly #turn = new Semaphore(1);
  /** Files from which the object in the archive was made: it is a beginning of theirs. */
  readonly #own = new WeakSet<SpoolFile>();
  /** Whose whole segment is there, and whose object could not be removed. */
  readonly #late = new Set<SpoolFile>();
  #tidyAt = -Infinity;
  #refusedUntil = -Infinity;
  #isRefused = false;

  constructor(options: Options) {
    this.#options = options;
    for (const { path } of options.known) {
      const parts = readObjectName(path);
      if (parts.kind !== "wal" || parts.wal.kind !== "partial") continue;
      this.#objects.set(parts.wal.name, path);
    }
  }

  /** How many bytes of the file are known to be in the archive. */
  coverage(file: SpoolFile): number {
    return this.#covered.get(file) ?? 0;
  }

  /** Stores what was written of `file` by now. Failures are told, and tried again at the next call. Throws WAL_DIFFERS. */
  async refresh(file: SpoolFile): Promise<void> {
    if (this.#options.clock.monotonic() < this.#refusedUntil) return;
    const release = await this.#turn.acquire(this.#options.signal);
    try {
      const length = file.written;
      if (file.isComplete || length <= this.coverage(file)) return;
      await this.#store(file, length);
    } catch (error) {
      this.#tell(file, error);
    } finally {
      release();
    }
  }

  /** Removes what is there of a segment that is durable as a whole. What fails is told, and tried again by `tidy`. */
  async retire(file: SpoolFile): Promise<void> {
    const release = await this.#turn.acquire(this.#options.signal);
    try {
      const object = this.#objects.get(file.name);
      if (object === undefined) return;
      const { archive, signal } = this.#options;
      await archive.storage.deleteMany([...new Set([object, pathOf(file)])], { signal });
      this.#objects.delete(file.name);
      this.#late.delete(file);
    } catch (error) {
      const { signal, clock, onNotice } = this.#options;
      if (signal.aborted) return;
      this.#late.add(file);
      this.#tidyAt = clock.monotonic() + TIDY_PAUSE_MS;
      onNotice(`${file.name}.partial stays beside the whole segment for now: ${messageOf(error)}`);
    } finally {
      release();
    }
  }

  /** Removes what could not be removed before; `now` without a pause. */
  async tidy(now = false): Promise<void> {
    if (!now && this.#options.clock.monotonic() < this.#tidyAt) return;
    for (const file of this.#late) await this.retire(file);
  }

  async #store(file: SpoolFile, length: number): Promise<void> {
    const { archive, signal } = this.#options;
    const content = await file.read(length);
    const object = this.#objects.get(file.name);
    // One that is not of this file's making: of an earlier run, or stored by a call whose reply was lost.
    if (object !== undefined && !this.#own.has(file)) {
      const reach = await this.#reachOf(object, content, length);
      // What is there is the same log, and goes as far: it must not become shorter.
      if (reach >= length) {
        this.#cover(file, length);
        return;
      }
    }
    const { storage } = archive;
    const body = await compressWhole(content, GZIP_FAST);
    if (storage.replace === undefined) {
      throw new HoldfastError("STORAGE_DENIED", `${storage.location} replaces no objects`);
    }
    const path = pathOf(file);
    this.#objects.set(file.name, object ?? path);
    await storage.replace(path, body, { signal });
    this.#isRefused = false;
    this.#own.add(file);
    this.#cover(file, length);
    // Barman would take the other one.
    if (object !== undefined && object !== path) await storage.delete(object, { signal });
    this.#objects.set(file.name, path);
  }

  #cover(file: SpoolFile, length: number): void {
    this.#covered.set(file, length);
    this.#options.onCovered(file, length);
  }

  /**
   * How far an object of an earlier run reaches: a shorter one must not take its place. Throws WAL_DIFFERS when it is not
   * the same log.
   */
  async #reachOf(path: string, content: Buffer, length: number): Promise<number> {
    const { archive, segmentSize, signal } = this.#options;
    const parts = readObjectName(path);
    if (parts.kind !== "wal" || parts.wal.kind !== "partial") return 0;
    let known: Uint8Array;
    try {
      const stored = await archive.storage.get(path, { signal });
      known = (await readSegment(stored, { name: parts.wal, source: path, segmentSize })).bytes;
    } catch (error) {
      // Nobody can use it: ours is better.
      if (isHoldfastError(error, "WAL_INVALID", "STORAGE_NOT_FOUND")) return 0;
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
    const isRefused = isHoldfastError(error, "STORAGE_DENIED");
    this.#refusedUntil = clock.monotonic() + (isRefused ? REFUSED_PAUSE_MS : FAILED_PAUSE_MS);
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
