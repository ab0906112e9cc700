// One connection to the server: finds out where to begin, streams timeline after timeline, answers. It ends with an error,
// always: a server never ends a stream by itself but to hang up (docs/decisions/receiver.md#where-a-stream-begins).

import { HoldfastError, isHoldfastError } from "../../base/errors.ts";
import { unlessCancelled } from "../../base/cancellation.ts";
import type { Clock } from "../../base/clock.ts";
import { formatLsn, parseLsn, segmentAt, segmentStart, type Lsn } from "../../barman/lsn.ts";
import { chooseStart, timelineOf, type StreamStart } from "../../barman/stream-start.ts";
import { segmentName } from "../../barman/wal-name.ts";
import type { Archive } from "../archive.ts";
import type { Connection, ServerIdentity } from "../connection.ts";
import { sendStatus, streamWal, type StreamMessage } from "../replication-stream.ts";
import { storeHistory, wayTo } from "./histories.ts";
import type { Intake } from "./intake.ts";
import type { KnownWal } from "./known-wal.ts";
import { slotLost, type SlotState } from "./slot.ts";
import type { SegmentPlace, SpoolIdentity } from "./spool-file.ts";

export interface SessionOptions {
  /** For replication. */
  connection: Connection;
  /** What it says of itself. */
  server: ServerIdentity;
  archive: Archive;
  identity: SpoolIdentity;
  known: KnownWal;
  intake: Intake;
  slot: SlotState;
  /** A position of which the server is known to have all that follows, for when what was to come is lost. */
  findOldest: () => Promise<Lsn | undefined>;
  clock: Clock;
  onEvent: (event: SessionEvent) => void;
  /** Asks to end: what arrived is stored, the server gets a last answer. */
  stop: AbortSignal;
  /** Ends the wait for that. */
  signal: AbortSignal;
}

export type SessionEvent =
  | { readonly kind: "streaming"; readonly timeline: number; readonly segment: string }
  | { readonly kind: "timeline"; readonly timeline: number; readonly position: Lsn }
  /** WAL that neither the archive nor the server has. */
  | { readonly kind: "gap"; readonly first: string; readonly last: string }
  | { readonly kind: "heard"; readonly serverEnd: Lsn };

/** A status is due after this time, with a question, so that a server that is gone is noticed. */
const STATUS_MS = 5000;
/** While WAL comes, the server hears how much arrived about this often. */
const REPORT_MS = 100;
const SILENCE_MS = 60_000;
const GOODBYE_MS = 2000;

export class Session {
  readonly #options: SessionOptions;
  #reported: Lsn = 0n;
  #isCopying = false;
  #heardAt = 0;
  #isTaking = false;
  #sentAt = 0;

  constructor(options: SessionOptions) {
    this.#options = options;
  }

  /** Streams until the connection ends, with the reason; resolves only when asked to stop. */
  async run(): Promise<void> {
    const { connection, archive, identity, known, intake, server, slot, signal } = this.#options;
    const { segmentSize: size } = identity;
    const { timeline } = server;
    const position = parseLsn(server.position, `${connection.place}, IDENTIFY_SYSTEM`);
    this.#options.onEvent({ kind: "heard", serverEnd: position });
    const path = await wayTo({ connection, archive, known, timeline, signal });
    const archived = known.with(intake.waiting);
    const start = chooseStart({ path, archived, restart: slot.restart, position, size });
    if (slot.walStatus === "lost") {
      throw slotLost(slot.name, segmentName(start.timeline, start.segment, size));
    }
    if (segmentStart(start.segment, size) > position) {
      throw new HoldfastError(
        "POSTGRES_FAILED",
        `the server's WAL ends at ${formatLsn(position)}, and ${archive.location} has it up to ${formatLsn(segmentStart(start.segment, size))}`,
        {
          hint: "Wait until the standby has caught up; a server that was set back needs an archive of its own.",
          retryable: true,
        },
      );
    }
    const place = (segment: number): SegmentPlace => ({
      timeline: timelineOf(path, segment, size),
      segment,
    });
    let next = await this.#begin(place, start, position);
    while (next !== undefined) next = await this.#goOn(next);
  }

  /** Answers the server when there is something new. */
  report(): void {
    const { durable } = this.#options.intake;
    if (durable !== undefined && durable > this.#reported) this.#send(false);
  }

  /** Streams from the first segment that the server still has. */
  async #begin(
    place: (segment: number) => SegmentPlace,
    start: StreamStart,
    position: Lsn,
  ): Promise<NextTimeline | undefined> {
    const { identity, findOldest } = this.#options;
    const { segmentSize: size } = identity;
    const later: (() => Promise<number | undefined>)[] = [
      ...start.otherwise.map((segment) => () => Promise.resolve(segment)),
      async () => {
        const oldest = await findOldest();
        return oldest === undefined ? undefined : segmentAt(oldest, size);
      },
      () => Promise.resolve(segmentAt(position, size)),
    ];
    for (let segment = start.segment; ;) {
      const tellGap = (): void => this.#tellGap(place, start.segment, segment);
      try {
        return await this.#stream(place(segment), start.segment, tellGap);
      } catch (error) {
        if (!isHoldfastError(error, "WAL_MISSING") || this.#isCopying) throw error;
        const before = segment;
        while (segment <= before) {
          const candidate = later.shift();
          if (candidate === undefined) throw error;
          segment = (await candidate()) ?? segment;
        }
      }
    }
  }

  /** Of the segments from `expected` up to, not including, `first`, those that nobody has. */
  #tellGap(place: (segment: number) => SegmentPlace, expected: number, first: number): void {
    const { identity, known, onEvent } = this.#options;
    const isLost = (segment: number): boolean => !known.has(place(segment));
    const name = (segment: number): string =>
      segmentName(place(segment).timeline, segment, identity.segmentSize);
    let last = first - 1;
    while (last > expected && !isLost(last)) last -= 1;
    if (first > expected) onEvent({ kind: "gap", first: name(expected), last: name(last) });
  }

  /** Stores the history of the next timeline first, then the end of the old one, and streams the new one. */
  async #goOn({ timeline, position }: NextTimeline): Promise<NextTimeline | undefined> {
    const { connection, archive, identity, known, intake, onEvent, signal } = this.#options;
    if (intake.received < position) {
      throw new HoldfastError(
        "POSTGRES_FAILED",
        `the timeline ended at ${formatLsn(position)}, and the server sent WAL up to ${formatLsn(intake.received)} only`,
        { hint: "Wait: it is asked for again.", retryable: true },
      );
    }
    await storeHistory({ connection, archive, known, timeline, signal });
    onEvent({ kind: "timeline", timeline, position });
    const segment = segmentAt(position, identity.segmentSize);
    return await this.#stream({ timeline, segment }, segment, () => undefined);
  }

  /** Streams one timeline to its end. Undefined when asked to stop. */
  async #stream(
    place: SegmentPlace,
    expected: number,
    onBegin: () => void,
  ): Promise<NextTimeline | undefined> {
    const { connection, identity, intake, slot, clock, onEvent, stop, signal } = this.#options;
    const { segmentSize: size } = identity;
    const { timeline, segment } = place;
    const position = segmentStart(segment, size);
    const messages = streamWal(connection, { slot: slot.name, timeline, position, signal });
    const over = new AbortController();
    const beat = this.#beat(AbortSignal.any([over.signal, signal]));
    this.#heardAt = clock.monotonic();
    this.#isCopying = false;
    let next: NextTimeline | undefined;
    let coming: Promise<IteratorResult<StreamMessage, void>> | undefined;
    try {
      for (;;) {
        coming = messages.next();
        const { done, value } = await unlessCancelled(coming, stop);
        if (done === true) break;
        this.#heardAt = clock.monotonic();
        if (!this.#isCopying && (value.kind === "wal" || value.kind === "keepalive")) {
          await intake.begin(place, expected);
          this.#isCopying = true;
          onBegin();
          onEvent({ kind: "streaming", timeline, segment: segmentName(timeline, segment, size) });
        }
        if (value.kind === "next-timeline") next = value;
        else if (value.kind !== "end") await this.#take(value);
        else this.#isCopying = false;
      }
    } catch (error) {
      if (!stop.aborted) throw error;
      await this.#leave(messages, coming);
      return undefined;
    } finally {
      over.abort();
      await beat;
      void messages.return().catch(() => undefined);
    }
    if (next !== undefined) return next;
    throw new HoldfastError("POSTGRES_UNREACHABLE", "the server ended the stream", {
      hint: "See the server's log; it does so when it shuts down.",
      retryable: true,
    });
  }

  async #take(message: StreamMessage & { kind: "wal" | "keepalive" }): Promise<void> {
    const { intake, clock, onEvent, stop } = this.#options;
    onEvent({ kind: "heard", serverEnd: message.serverEnd });
    if (message.kind === "wal") {
      this.#isTaking = true;
      await intake.write(message, stop);
      this.#isTaking = false;
      this.#heardAt = clock.monotonic();
      // Whoever waits for what arrived hears of it at once, and a busy server not of every message.
      const isAll = intake.received >= message.serverEnd;
      if (isAll || this.#heardAt - this.#sentAt > REPORT_MS) this.#send(false);
    } else if (message.wantsReply) this.#send(false);
  }

  /** The server gets a last answer when all that arrived is stored, and the copy is ended as it should be. */
  async #leave(
    messages: AsyncGenerator<StreamMessage, void>,
    coming: Promise<IteratorResult<StreamMessage, void>> | undefined,
  ): Promise<void> {
    const { connection, intake, clock, signal } = this.#options;
    coming?.catch(() => undefined);
    try {
      await unlessCancelled(intake.finish(), signal);
    } catch {
      // What is not stored by now is not reported, so the server keeps it.
    }
    this.#send(false);
    connection.endCopy();
    const ended = (async () => {
      let one = await coming;
      while (one?.done !== true) one = await messages.next();
    })().catch(() => undefined);
    const limit = new AbortController();
    await Promise.race([ended, clock.sleep(GOODBYE_MS, limit.signal).catch(() => undefined)]);
    limit.abort();
    this.#isCopying = false;
  }

  #send(wantsReply: boolean): void {
    const { connection, intake, clock } = this.#options;
    if (!this.#isCopying) return;
    const durable = intake.durable ?? 0n;
    if (durable > this.#reported) this.#reported = durable;
    const flush = this.#reported;
    const { received } = intake;
    const write = received > flush ? received : flush;
    this.#sentAt = clock.monotonic();
    sendStatus(connection, { write, flush, now: clock.nowNanoseconds() / 1000n, wantsReply });
  }

  async #beat(signal: AbortSignal): Promise<void> {
    const { connection, clock } = this.#options;
    try {
      for (;;) {
        await clock.sleep(STATUS_MS, signal);
        this.#send(true);
        // While nothing is taken, nothing is heard either, and that is our doing: the intake has no room.
        const isSilent = clock.monotonic() - this.#heardAt > SILENCE_MS;
        if (isSilent && !this.#isTaking) connection.destroy();
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }
}

interface NextTimeline {
  readonly timeline: number;
  readonly position: Lsn;
}
