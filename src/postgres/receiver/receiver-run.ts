// One run of a receiver: opens what it needs, keeps a session with the server going, and ends well when it is asked to
// (docs/decisions/receiver.md).

import { cancelled } from "../../base/cancellation.ts";
import { ahead } from "../../base/concurrency.ts";
import { HoldfastError, isHoldfastError, messageOf } from "../../base/errors.ts";
import { Backoff } from "../../base/retry.ts";
import { readLsn, type Lsn } from "../../barman/lsn.ts";
import type { ListedObject } from "../../barman/wal-listing.ts";
import { listArchive } from "../archive.ts";
import type { Connection } from "../connection.ts";
import { describeStatus, type ReceiverStatus } from "../receiver-status.ts";
import type { ReceiveOptions, ReceiveSummary } from "../receiver.ts";
import { Intake } from "./intake.ts";
import { KnownWal } from "./known-wal.ts";
import { claimArchive, readMark, requireSameCluster, type ReceiverMark } from "./owner.ts";
import { Session, type SessionEvent } from "./session.ts";
import { SlotKeeper } from "./slot-keeper.ts";
import type { SpoolClaim } from "./spool.ts";
import type { SpoolIdentity } from "./spool-file.ts";
import { isFinal } from "./uploads.ts";

const STATUS_MS = 10_000;
const RECONNECT_FIRST_MS = 500;
const RECONNECT_MAX_MS = 30_000;
const PASSING = ["POSTGRES_UNREACHABLE", "STORAGE_UNAVAILABLE"] as const;

/** What is open while a receiver runs. */
interface Opened {
  readonly mark: ReceiverMark;
  readonly intake: Intake;
  readonly known: KnownWal;
  /** The first connection, when it was needed to know whose archive it is. */
  readonly connection: Connection | undefined;
}

export class ReceiverRun {
  readonly #options: ReceiveOptions;
  readonly #claim: SpoolClaim;
  readonly #backoff: Backoff;
  /** Asks to end. */
  readonly #stop = new AbortController();
  /** Ends at once. */
  readonly #end = new AbortController();
  #intake: Intake | undefined;
  #session: Session | undefined;
  readonly #slot: SlotKeeper;
  #until: Lsn | undefined;
  #hasStreamed = false;
  #isStreaming = false;
  #timeline: number | undefined;
  #serverEnd: Lsn | undefined;
  #segments = 0;
  #hasGap = false;

  constructor(options: ReceiveOptions, claim: SpoolClaim) {
    this.#options = options;
    this.#claim = claim;
    const { clock, random, onEvent } = options;
    this.#until = typeof options.until === "bigint" ? options.until : undefined;
    this.#slot = new SlotKeeper(options.slot, {
      clock,
      onWarning: (warning) => onEvent({ kind: "slot", warning }),
    });
    this.#backoff = new Backoff({
      clock,
      random,
      signal: this.#stop.signal,
      elapsedMax: Infinity,
      delayFirst: RECONNECT_FIRST_MS,
      delayMax: RECONNECT_MAX_MS,
      isRetryable: (error) => this.#passes(error),
      onRetry: ({ error, delay }) => onEvent({ kind: "disconnected", error, delay }),
    });
  }

  async run(): Promise<ReceiveSummary> {
    const { signal, clock, stopWithin } = this.#options;
    const limit = new AbortController();
    this.#stop.signal.addEventListener("abort", () => {
      // Whatever hangs is left after this time: what is not durable is not reported, and the server keeps it.
      const late = clock.sleep(stopWithin, limit.signal).then(() => this.#end.abort());
      void ahead(late);
    });
    const onAbort = (): void => this.#stop.abort(signal.reason);
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    let running: Promise<unknown> = Promise.resolve();
    try {
      const opened = await this.#open();
      if (opened === undefined) return this.#summary();
      const { intake } = opened;
      running = Promise.all([intake.run(), this.#tellStatus(intake)]);
      await this.#receive(opened);
      if (intake.failed.aborted) throw intake.failed.reason;
      return this.#summary();
    } finally {
      limit.abort();
      signal.removeEventListener("abort", onAbort);
      this.#end.abort();
      await running;
      await this.#intake?.close();
    }
  }

  /** Everything that is needed before the first stream; undefined when asked to stop meanwhile. */
  async #open(): Promise<Opened | undefined> {
    try {
      const { archive, clock, shared } = this.#options;
      const signal = this.#stop.signal;
      let mark = await readMark(archive, signal);
      const objects = await listArchive(archive, { signal });
      let connection: Connection | undefined;
      if (mark === undefined) {
        connection = await this.#firstConnection();
        const { systemId } = await connection.identify({ signal });
        const identity = { systemId, segmentSize: await connection.segmentSize({ signal }) };
        mark = await claimArchive({ archive, objects, identity, shared, clock, signal });
      }
      const intake = await this.#openIntake(mark, objects);
      return { mark, connection, ...intake };
    } catch (error) {
      if (this.#stop.signal.aborted && isHoldfastError(error, "CANCELLED")) return undefined;
      throw error;
    }
  }

  async #openIntake(
    mark: ReceiverMark,
    objects: readonly ListedObject[],
  ): Promise<{ intake: Intake; known: KnownWal }> {
    const { archive, spoolLimit, partialAfter, clock, random, onEvent } = this.#options;
    const { segmentSize } = mark;
    if (spoolLimit < 2 * segmentSize) {
      const message = `a spool of ${spoolLimit} bytes cannot hold two segments of ${segmentSize}`;
      throw new HoldfastError("USAGE", message, { hint: "Raise --spool-limit." });
    }
    const notice = (text: string): void => onEvent({ kind: "notice", text });
    const identity: SpoolIdentity = { systemId: mark.systemId, segmentSize };
    const known = new KnownWal(objects, segmentSize);
    const shared = mark.shared || this.#options.shared;
    if (!shared) await this.#removeLeftovers(known);
    const spool = await this.#claim.open(identity, (path) =>
      notice(`a segment in the spool is damaged, and was put aside as ${path}`),
    );
    const intake = new Intake({
      archive,
      identity,
      spool,
      spoolLimit,
      known,
      shared,
      partialAfter: shared ? undefined : partialAfter,
      clock,
      random,
      onDurable: () => this.#onDurable(),
      onStored: (name) => {
        this.#segments += 1;
        onEvent({ kind: "stored", name });
      },
      onRetry: ({ error, delay }) =>
        notice(`${messageOf(error)}; trying again in ${Math.ceil(delay / 1000)} s`),
      onNotice: notice,
      signal: this.#end.signal,
    });
    this.#intake = intake;
    // Nothing that fails here would be mended by going on.
    intake.failed.addEventListener("abort", () => this.#stop.abort(intake.failed.reason), {
      once: true,
    });
    await intake.start();
    return { intake, known };
  }

  /** Partial segments whose whole one is there: Barman could serve one in place of the other. */
  async #removeLeftovers({ leftovers }: KnownWal): Promise<void> {
    const { archive, onEvent } = this.#options;
    if (leftovers.length === 0) return;
    const paths = leftovers.map(({ path }) => path);
    try {
      await archive.storage.deleteMany(paths, { signal: this.#stop.signal });
    } catch (error) {
      if (this.#stop.signal.aborted) throw error;
      const text = `partial segments stay beside the whole ones: ${messageOf(error)}`;
      onEvent({ kind: "notice", text });
    }
  }

  /** Session after session, until asked to stop or something is wrong for good. */
  async #receive(opened: Opened): Promise<void> {
    const stop = this.#stop.signal;
    let { connection } = opened;
    while (!stop.aborted) {
      try {
        connection ??= await this.#connect();
        await this.#stream(opened, connection);
      } catch (error) {
        if (stop.aborted) break;
        try {
          await this.#backoff.pause(error);
        } catch (final) {
          if (stop.aborted) break;
          this.#stop.abort(final);
          // What arrived is stored all the same.
          await opened.intake.finish().catch(() => undefined);
          throw final;
        }
      } finally {
        this.#isStreaming = false;
        this.#session = undefined;
        connection?.destroy();
        connection = undefined;
      }
    }
    // Without a connection nobody can be told, and the next run goes on from what is durable.
    await opened.intake.finish().catch(() => undefined);
  }

  async #stream({ mark, intake, known }: Opened, connection: Connection): Promise<void> {
    const { archive, clock, onEvent } = this.#options;
    const stop = this.#stop.signal;
    const { systemId } = await connection.identify({ signal: stop });
    const segmentSize = await connection.segmentSize({ signal: stop });
    requireSameCluster(archive, mark, { systemId, segmentSize });
    const sql = await this.#connectSql();
    try {
      const slot = await this.#slot.prepare({ replication: connection, sql, signal: stop });
      // After the slot: one that was just made may begin behind what the server said before, when it switches meanwhile.
      const server = await connection.identify({ signal: stop });
      const session = new Session({
        connection,
        server,
        archive,
        identity: { systemId: mark.systemId, segmentSize: mark.segmentSize },
        known,
        intake,
        slot,
        findOldest: () => oldestOf(sql, stop),
        clock,
        onEvent: (event) => {
          // Not earlier: one command at a time on a connection.
          if (event.kind === "streaming" && sql !== undefined) this.#slot.watch(sql);
          this.#onSession(event);
        },
        stop,
        signal: this.#end.signal,
      });
      this.#session = session;
      onEvent({ kind: "connected", place: connection.place, version: connection.version });
      await session.run();
    } finally {
      await this.#slot.rest();
      sql?.destroy();
    }
  }

  #onSession(event: SessionEvent): void {
    const { onEvent, until } = this.#options;
    if (event.kind === "heard") {
      this.#serverEnd = event.serverEnd;
      if (until === "now") this.#until ??= event.serverEnd;
      this.#stopWhenReached();
      return;
    }
    if (event.kind === "streaming") {
      this.#isStreaming = true;
      this.#hasStreamed = true;
      this.#timeline = event.timeline;
      this.#backoff.reset();
    } else if (event.kind === "gap") this.#hasGap = true;
    onEvent(event);
  }

  #onDurable(): void {
    this.#session?.report();
    this.#stopWhenReached();
  }

  #stopWhenReached(): void {
    const durable = this.#intake?.durable;
    if (this.#until === undefined || durable === undefined || durable < this.#until) return;
    this.#stop.abort(new Error("the position that was asked for is durable"));
  }

  async #connect(): Promise<Connection> {
    const signal = this.#stop.signal;
    return await this.#options.connect({ replication: true, signal });
  }

  async #firstConnection(): Promise<Connection> {
    for (;;) {
      try {
        return await this.#connect();
      } catch (error) {
        await this.#backoff.pause(error);
      }
    }
  }

  /** For a look at the slot; undefined where the role may not. */
  async #connectSql(): Promise<Connection | undefined> {
    try {
      return await this.#options.connect({ replication: false, signal: this.#stop.signal });
    } catch (error) {
      if (this.#stop.signal.aborted) throw cancelled(this.#stop.signal);
      if (isHoldfastError(error, "POSTGRES_UNREACHABLE")) throw error;
      this.#slot.cannotLook(error);
      return undefined;
    }
  }

  /** What is waited out: before it has ever streamed a person is better told at once what is wrong. */
  #passes(error: unknown): boolean {
    if (isHoldfastError(error, "WAL_MISSING") || isFinal(error)) return false;
    return this.#hasStreamed || isHoldfastError(error, ...PASSING);
  }

  async #tellStatus(intake: Intake): Promise<void> {
    const { clock, onEvent } = this.#options;
    const { signal } = this.#end;
    for (;;) {
      const status = this.#status();
      // What it says is for others: a disk that is full must not end what goes on.
      await intake.tell(describeStatus(status, clock.now())).catch(() => undefined);
      if (signal.aborted) return;
      onEvent({ kind: "status", status });
      await clock.sleep(STATUS_MS, signal).catch(() => undefined);
    }
  }

  #status(): ReceiverStatus {
    const intake = this.#intake;
    return {
      isStreaming: this.#isStreaming,
      timeline: this.#timeline,
      received: this.#hasStreamed ? intake?.received : undefined,
      durable: intake?.durable,
      serverEnd: this.#serverEnd,
      lag: intake?.lag ?? 0,
      spoolBytes: intake?.spoolBytes ?? 0,
      waiting: intake?.waiting.size ?? 0,
      slot: this.#slot.state,
    };
  }

  #summary(): ReceiveSummary {
    return { status: this.#status(), segments: this.#segments, hasGap: this.#hasGap };
  }
}

/** Where the last checkpoint began: a server has all WAL from there on. */
async function oldestOf(
  sql: Connection | undefined,
  signal: AbortSignal,
): Promise<Lsn | undefined> {
  try {
    const [row] =
      (await sql?.query("SELECT redo_lsn FROM pg_control_checkpoint()", { signal })) ?? [];
    return readLsn(row?.["redo_lsn"] ?? "");
  } catch (error) {
    if (signal.aborted) throw error;
    return undefined;
  }
}
