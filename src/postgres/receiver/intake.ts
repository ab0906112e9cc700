// What becomes of WAL that arrives: it is written to the spool, cut into segments, stored in the archive, and told as
// durable in the order of the log (docs/decisions/receiver.md). Takes no more than the spool may hold; knows nothing of
// connections.

import { messageOf } from "../../base/errors.ts";
import { unlessCancelled } from "../../base/cancellation.ts";
import type { Clock, Random } from "../../base/clock.ts";
import { Semaphore } from "../../base/concurrency.ts";
import type { RetryEvent } from "../../base/retry.ts";
import { segmentStart, type Lsn } from "../../barman/lsn.ts";
import { bytesFrom, cutAtSegments } from "../../barman/wal-pieces.ts";
import type { Archive } from "../archive.ts";
import { DurableLog } from "./durable-log.ts";
import type { KnownWal } from "./known-wal.ts";
import { Lag } from "./lag.ts";
import { Partials } from "./partials.ts";
import type { OpenedSpool, Spool } from "./spool.ts";
import type { SegmentPlace, SpoolFile, SpoolIdentity } from "./spool-file.ts";
import { isFinal, Uploads } from "./uploads.ts";

export interface IntakeOptions {
  archive: Archive;
  identity: SpoolIdentity;
  spool: OpenedSpool;
  /** Bytes that the spool may hold. */
  spoolLimit: number;
  known: KnownWal;
  /** Other programs archive here as well. */
  shared: boolean;
  /** Milliseconds after which WAL that is not in the archive is stored as a partial segment; undefined for never. */
  partialAfter: number | undefined;
  clock: Clock;
  random: Random;
  /** Called when more is durable. */
  onDurable: () => void;
  /** A segment, by its name, is durable. */
  onStored: (name: string) => void;
  onRetry: (event: RetryEvent) => void;
  onNotice: (text: string) => void;
  /** Aborts everything, for good. */
  signal: AbortSignal;
}

/** How often it is looked whether something has to be synced or stored. */
const TICK_MS = 250;
/** What arrived is safe on the disk after this time. */
const SYNC_AFTER_MS = 1000;
const TROUBLE_MS = 5000;

export class Intake {
  readonly #options: IntakeOptions;
  readonly #spool: Spool;
  readonly #log: DurableLog;
  readonly #uploads: Uploads;
  readonly #partials: Partials | undefined;
  readonly #lag = new Lag();
  /** Unfinished segments of an earlier run, which may go on. */
  readonly #left = new Set<SpoolFile>();
  /** Unfinished segments that nothing will be added to, as their timeline ended. */
  readonly #resting = new Set<SpoolFile>();
  /** The segment that grows. */
  #file: SpoolFile | undefined;
  /** A file is made or taken up again while none of the same name is being removed. */
  readonly #turn = new Semaphore(1);
  #timeline = 0;
  #position: Lsn = 0n;
  #dirtySince: number | undefined;
  #syncedAt = 0;
  #wakeRoom: (() => void) | undefined;
  readonly #failed = new AbortController();

  constructor(options: IntakeOptions) {
    this.#options = options;
    const { archive, identity, spool, known, shared, partialAfter, clock, random, signal } =
      options;
    this.#spool = spool.spool;
    this.#log = new DurableLog(identity.segmentSize);
    this.#uploads = new Uploads({
      archive,
      identity,
      shared,
      clock,
      random,
      signal,
      onStored: (file) => this.#stored(file),
      onRetry: options.onRetry,
      onFailed: (error) => this.#fail(error),
    });
    if (partialAfter !== undefined) {
      this.#partials = new Partials({
        archive,
        segmentSize: identity.segmentSize,
        known: known.partials,
        clock,
        signal,
        onNotice: options.onNotice,
        onCovered: (file, bytes) => {
          this.#log.covered(file, bytes);
          this.#durable();
        },
      });
    }
  }

  /** Takes over what an earlier run left in the spool. */
  async start(): Promise<void> {
    const { spool, identity, known } = this.#options;
    for (const file of spool.complete) this.#upload(file);
    for (const file of spool.begun) {
      // A partial segment must not come beside the whole one, which an earlier run archived by way of another spool.
      if (known.has(file)) await this.#spool.remove(file);
      else if (file.written < identity.segmentSize) this.#left.add(file);
      else {
        await file.complete();
        this.#upload(file);
      }
    }
  }

  /** Does what is due, again and again. Resolves when all is stopped. */
  async run(): Promise<void> {
    const { clock, onNotice, signal } = this.#options;
    while (!signal.aborted) {
      try {
        await this.#tick();
        await clock.sleep(TICK_MS, signal);
      } catch (error) {
        if (signal.aborted) break;
        if (isFinal(error)) {
          this.#fail(error);
          break;
        }
        // A full disk, for one, may have room later.
        onNotice(messageOf(error));
        await clock.sleep(TROUBLE_MS, signal).catch(() => undefined);
      }
    }
    await this.#uploads.settled();
  }

  /** Aborted with the reason when nothing more can be archived. */
  get failed(): AbortSignal {
    return this.#failed.signal;
  }

  /** Position behind the last byte that arrived. */
  get received(): Lsn {
    const file = this.#file;
    if (file === undefined) return this.#position;
    const end =
      segmentStart(file.segment, this.#options.identity.segmentSize) + BigInt(file.written);
    return end > this.#position ? end : this.#position;
  }

  /** Everything before is durable in the archive; undefined before a stream began. */
  get durable(): Lsn | undefined {
    return this.#log.position;
  }

  /** Segments that are whole and not durable yet. */
  get waiting(): ReadonlySet<SegmentPlace> {
    return this.#uploads.waiting;
  }

  get spoolBytes(): number {
    return this.#spool.bytes;
  }

  /** Milliseconds since the oldest byte that is not durable arrived. */
  get lag(): number {
    return this.#lag.milliseconds(this.#options.clock.monotonic());
  }

  /**
   * A stream begins with the first byte of a segment. `expected` is the segment that should have come, when WAL was lost
   * before this one.
   */
  async begin(place: SegmentPlace, expected: number = place.segment): Promise<void> {
    const { clock, identity } = this.#options;
    for (const file of this.#left) this.#resting.add(file);
    this.#left.clear();
    if (this.#file !== undefined) this.#resting.add(this.#file);
    this.#file = await this.#turn.run(() => Promise.resolve(this.#takeUp(place)));
    await this.#settleResting();
    this.#timeline = place.timeline;
    this.#position = segmentStart(place.segment, identity.segmentSize);
    // What an earlier run left may not be in the archive.
    this.#dirtySince = this.#file === undefined ? undefined : clock.monotonic();
    this.#lag.clear();
    this.#log.begin(place, expected);
    this.#tellCoverage();
    this.#durable();
  }

  /** Takes what a message of the stream adds. Waits while the spool is full. */
  async write(
    message: { readonly start: Lsn; readonly bytes: Uint8Array },
    signal: AbortSignal,
  ): Promise<void> {
    const { clock, identity } = this.#options;
    const bytes = bytesFrom(this.#position, message);
    const start = this.#position;
    for (const piece of cutAtSegments({ start, bytes, size: identity.segmentSize })) {
      const place = { timeline: this.#timeline, segment: piece.segment };
      if (this.#file === undefined) {
        this.#file = await this.#create(place, signal);
        this.#tellCoverage();
      }
      await this.#file.write(piece.offset, piece.bytes);
      this.#position += BigInt(piece.bytes.length);
      const now = clock.monotonic();
      this.#dirtySince ??= now;
      this.#lag.received(this.received, now);
      if (piece.offset + piece.bytes.length < identity.segmentSize) continue;
      const file = this.#file;
      this.#file = undefined;
      this.#dirtySince = undefined;
      await file.complete();
      this.#log.advance(file);
      this.#upload(file);
    }
  }

  /** Stores what there is of the segment that grows, and waits for all others to be stored. */
  async finish(): Promise<void> {
    if (this.#file !== undefined) {
      await this.#file.sync();
      await this.#refresh(this.#file);
    }
    for (const file of this.#left) await this.#refresh(file);
    await this.#settleResting();
    await this.#uploads.settled();
    await this.#partials?.tidy(true);
  }

  /** Leaves a snapshot of the receiver in the spool, for other programs. */
  async tell(status: object): Promise<void> {
    await this.#spool.tell(status);
  }

  /** Closes the spool. Call it when `run` has ended. */
  async close(): Promise<void> {
    await this.#spool.close();
  }

  async #create(place: SegmentPlace, signal: AbortSignal): Promise<SpoolFile> {
    const { segmentSize } = this.#options.identity;
    const { spoolLimit } = this.#options;
    while (this.#spool.bytes + segmentSize > spoolLimit) {
      const room = new Promise<void>((resolve) => (this.#wakeRoom = resolve));
      await unlessCancelled(room, signal);
    }
    return await this.#turn.run(
      async () => this.#takeUp(place) ?? (await this.#spool.create(place)),
    );
  }

  /** What is in the archive of a segment that is taken up again counts from the beginning. */
  #tellCoverage(): void {
    const file = this.#file;
    if (file !== undefined) this.#log.covered(file, this.#partials?.coverage(file) ?? 0);
  }

  /** The file of an unfinished segment, which grows from now on. */
  #takeUp(place: SegmentPlace): SpoolFile | undefined {
    const file = [...this.#resting].find(
      ({ timeline, segment }) => timeline === place.timeline && segment === place.segment,
    );
    if (file !== undefined) this.#resting.delete(file);
    return file;
  }

  #upload(file: SpoolFile): void {
    this.#log.await(file);
    this.#uploads.add(file);
  }

  async #stored(file: SpoolFile): Promise<void> {
    this.#options.known.add(file);
    this.#log.stored(file);
    this.#durable();
    this.#options.onStored(file.name);
    await this.#partials?.retire(file);
    await this.#spool.remove(file);
    this.#wakeRoom?.();
  }

  #durable(): void {
    const { durable } = this;
    if (durable !== undefined) this.#lag.durable(durable);
    this.#options.onDurable();
  }

  async #tick(): Promise<void> {
    const { clock, partialAfter } = this.#options;
    const now = clock.monotonic();
    const file = this.#file;
    if (file !== undefined && now - this.#syncedAt >= SYNC_AFTER_MS) {
      this.#syncedAt = now;
      await file.sync();
    }
    await this.#partials?.tidy();
    for (const left of this.#left) await this.#refresh(left);
    await this.#settleResting();
    if (file === undefined || this.#partials === undefined || partialAfter === undefined) return;
    const isDirty = file.written > this.#partials.coverage(file);
    if (!isDirty || this.#dirtySince === undefined) return;
    if (now - this.#dirtySince < partialAfter) return;
    // What arrives while it is stored makes it dirty again.
    this.#dirtySince = now;
    await this.#refresh(file);
    if (file === this.#file && file.written === this.#partials.coverage(file))
      this.#dirtySince = undefined;
  }

  /** Stores what there is of a segment, unless the whole one is in the archive: it comes again before a hole is filled. */
  async #refresh(file: SpoolFile): Promise<void> {
    if (!this.#options.known.has(file)) await this.#partials?.refresh(file);
  }

  /** Stores what unfinished segments have, as nothing will be added to them; then the spool needs them no more. */
  async #settleResting(): Promise<void> {
    const { known } = this.#options;
    for (const file of this.#resting) {
      const isNeeded = this.#partials !== undefined && !known.has(file);
      if (isNeeded) await this.#refresh(file);
      if (isNeeded && this.#partials!.coverage(file) < file.written) continue;
      await this.#turn.run(async () => {
        if (this.#resting.delete(file)) await this.#spool.remove(file);
      });
      this.#wakeRoom?.();
    }
  }

  #fail(error: unknown): void {
    this.#failed.abort(error);
  }
}
