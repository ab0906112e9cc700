// The database during capture: one connection that is kept, and made anew after a failure. A database that does not answer never
// keeps files from being captured: the tick then has no position of its own.

import { throwIfCancelled } from "../../base/cancellation.ts";
import type { Clock } from "../../base/clock.ts";
import { HoldfastError, isHoldfastError } from "../../base/errors.ts";
import type { Connection } from "../../postgres/connection.ts";
import type { Repository } from "../../repository/repository.ts";
import type { AttachmentCatalogue } from "../catalogue.ts";
import { loadCatalogue, SEGMENTS } from "./catalogue-files.ts";
import { Comparison, referredNames } from "./comparison.ts";
import type { AskedNames } from "./comparison.ts";
import type { Candidate } from "./filestore-source.ts";
import type { CaptureSession } from "./session.ts";

/** How long one question may take. */
const PATIENCE_MS = 60_000;

export interface DatabaseSideOptions {
  readonly connect: (signal: AbortSignal) => Promise<Connection>;
  readonly clock: Clock;
  /** Everything that holds files of the instance. */
  readonly repositories: readonly Repository[];
  readonly onFailure: (error: HoldfastError) => void;
  readonly onNotice: (text: string) => void;
}

export class DatabaseSide {
  readonly #options: DatabaseSideOptions;
  readonly #comparison: Comparison;
  #connection: Connection | undefined;
  #catalogue: { readonly session: CaptureSession; readonly of: AttachmentCatalogue } | undefined;

  constructor(options: DatabaseSideOptions) {
    this.#options = options;
    this.#comparison = new Comparison(options.clock);
  }

  /** All names are compared next time. */
  reset(): void {
    this.#comparison.reset();
  }

  /** The position and what rows refer to; undefined when the database does not answer, which is told. */
  async ask(signal: AbortSignal): Promise<AskedNames | undefined> {
    return await this.#tolerant(signal, (connection, until) =>
      this.#comparison.ask(connection, until),
    );
  }

  /** Which of these names rows refer to; undefined when the database does not answer. */
  async referred(
    candidates: readonly Candidate[],
    signal: AbortSignal,
  ): Promise<Set<string> | undefined> {
    if (candidates.length === 0) return new Set();
    return await this.#tolerant(signal, (connection, until) =>
      referredNames(connection, candidates, until),
    );
  }

  /** What was asked for is compared, and a tick is over. */
  done(asked: AskedNames): void {
    this.#comparison.done(asked);
  }

  /** Brings the catalogue of attachments up to date, for the capture that is being made. */
  async observe(session: CaptureSession, full: boolean, signal: AbortSignal): Promise<void> {
    if (this.#catalogue?.session !== session) {
      const { repositories, onNotice } = this.#options;
      const of = await loadCatalogue({ session, repositories, onNotice, signal });
      this.#catalogue = { session, of };
    }
    const catalogue = this.#catalogue.of;
    const observed = await this.#tolerant(signal, (connection, until) =>
      catalogue.observe({ connection, full, signal: until }),
    );
    if (observed === undefined) return;
    const { add, drop } = catalogue.changes();
    for (const { name, bytes } of add) await session.writeSide(`${SEGMENTS}${name}`, bytes);
    for (const name of drop) session.side.drop(`${SEGMENTS}${name}`);
  }

  /** A capture with everything that was observed is durable. */
  committed(): void {
    this.#catalogue?.of.stored();
  }

  /** Closes the connection. Never fails. */
  async close(): Promise<void> {
    const connection = this.#connection;
    this.#connection = undefined;
    await connection?.close().catch(() => {});
  }

  /** Runs `work`, which is given up when it takes too long: a row lock of an upgrade must not hold up files. */
  async #tolerant<T>(
    signal: AbortSignal,
    work: (connection: Connection, until: AbortSignal) => Promise<T>,
  ): Promise<T | undefined> {
    const late = new AbortController();
    const over = new AbortController();
    const reason = new HoldfastError(
      "POSTGRES_UNREACHABLE",
      `the database did not answer within ${PATIENCE_MS / 1000} s`,
      { hint: "Is the table ir_attachment locked, or the server out of reach?", retryable: true },
    );
    this.#options.clock.sleep(PATIENCE_MS, over.signal).then(
      () => late.abort(),
      () => {},
    );
    const until = AbortSignal.any([signal, late.signal]);
    try {
      this.#connection ??= await this.#options.connect(until);
      return await work(this.#connection, until);
    } catch (failure) {
      throwIfCancelled(signal);
      const error = late.signal.aborted ? reason : failure;
      // Whatever state it is in, the next one is a new one.
      this.#connection?.destroy();
      this.#connection = undefined;
      // The next answer may come from another server, which took over without the last transactions of this one.
      this.#comparison.reset();
      if (!isHoldfastError(error) || error.code === "BUG") throw error;
      this.#options.onFailure(error);
      return undefined;
    } finally {
      over.abort();
    }
  }
}
