// The wire to an rclone that runs as a child: HTTP/2 over its standard input and output, without any negotiation. When it
// ends by itself the request fails in passing, and the next one starts another.

import { connect } from "node:http2";
import type { ClientHttp2Session } from "node:http2";
import { toHex } from "../../base/bytes.ts";
import { throwIfCancelled, unlessCancelled } from "../../base/cancellation.ts";
import { Semaphore } from "../../base/concurrency.ts";
import { HoldfastError, isHoldfastError } from "../../base/errors.ts";
import type { BackendContext } from "../backend.ts";
import { TornAnswer } from "../http/transport.ts";
import type { Transport, WireAnswer, WireRequest } from "../http/transport.ts";
import { serverName } from "../rest/client.ts";
import { exchange } from "./exchange.ts";
import { RcloneProcess } from "./process.ts";
import type { ProcessOptions } from "./process.ts";

export interface PipesOptions {
  readonly command: ProcessOptions["command"];
  readonly env: ProcessOptions["env"];
  /** Requests at once. */
  readonly connections: number;
  /** Milliseconds that it may take until it answers the first request. */
  readonly timeout: number;
  readonly context: BackendContext;
}

/** Where all requests go: HTTP wants a host, and there is none. */
export const PIPES_URL = "http://localhost/";

/** Bytes that may be under way to us, of one answer and of all: the default of 64 KiB would make pipes wait. */
const WINDOW_BYTES = 4 * 1024 * 1024;
const WINDOW_BYTES_ALL = 32 * 1024 * 1024;
/** Megabytes that a session may hold before it refuses more. */
const SESSION_MEMORY = 256;
/** How long to wait for the end of a child whose pipes have ended. */
const END_MS = 2_000;

export interface OpenedPipes {
  readonly transport: Transport;
  /** "1.75.2", when it told. */
  readonly version: string | undefined;
}

/** Starts rclone and makes sure that it answers. USAGE, STORAGE_FAILED, CANCELLED. */
export async function openPipes(options: PipesOptions): Promise<OpenedPipes> {
  const transport = new Pipes(options);
  await transport.start(options.context.signal);
  return { transport, version: transport.version };
}

interface Connection {
  readonly process: RcloneProcess;
  readonly session: ClientHttp2Session;
}

class Pipes implements Transport {
  readonly #options: PipesOptions;
  readonly #places: Semaphore;
  #connection: Promise<Connection> | undefined;
  /** Requests under way. */
  #active = 0;
  #isClosed = false;
  version: string | undefined;

  constructor(options: PipesOptions) {
    this.#options = options;
    this.#places = new Semaphore(options.connections);
  }

  async start(signal: AbortSignal | undefined): Promise<void> {
    this.#connection = this.#open(signal);
    await this.#connection;
  }

  async request(request: WireRequest): Promise<WireAnswer> {
    return await this.#places.run(() => this.#attempt(request), request.signal);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    const connection = await this.#connection?.catch(() => undefined);
    connection?.session.destroy();
    await connection?.process.stop();
  }

  async #attempt(request: WireRequest): Promise<WireAnswer> {
    const connection = await this.#running(request);
    const { process, session } = connection;
    this.#active += 1;
    process.hold(true);
    try {
      return await exchange(session, request, this.#options.context);
    } catch (error) {
      throw await this.#explained(connection, request.what, error);
    } finally {
      this.#active -= 1;
      if (this.#active === 0) process.hold(false);
    }
  }

  /** The child that runs, or a new one in place of one that has ended. */
  async #running({ what, signal }: WireRequest): Promise<Connection> {
    throwIfCancelled(signal);
    if (this.#isClosed) throw new HoldfastError("BUG", `cannot ${what}: the storage is closed`);
    const before = this.#connection;
    const connection = await before?.catch(() => undefined);
    if (connection && !connection.session.destroyed && !connection.session.closed)
      return connection;
    // Whoever comes first starts it; the others wait for that one.
    if (this.#connection === before) this.#connection = this.#open(undefined);
    try {
      return await this.#connection!;
    } catch (error) {
      throw inPassing(error);
    }
  }

  async #open(signal: AbortSignal | undefined): Promise<Connection> {
    const { command, env, timeout, context } = this.#options;
    const { clock, notice } = context;
    const onLine = (line: string): void => notice(`rclone: ${line}`);
    const process = new RcloneProcess({ command, env, clock, onLine });
    const connection = connectTo(process);
    const stopped = new AbortController();
    const ending = signal ? AbortSignal.any([signal, stopped.signal]) : stopped.signal;
    const late = clock.sleep(timeout, ending).then(
      () => "late" as const,
      () => "cancelled" as const,
    );
    const answered = this.#probe(connection, ending).then(
      () => "answered" as const,
      () => "failed" as const,
    );
    const outcome = await Promise.race([
      answered,
      late,
      process.ended.then(() => "ended" as const),
    ]);
    stopped.abort();
    if (outcome === "answered") {
      process.hold(false);
      return connection;
    }
    // It may have said why, in its last words.
    if (outcome === "failed" && !signal?.aborted) await this.#awaitEnd(process);
    const otherwise =
      outcome === "late"
        ? `did not answer within ${timeout / 1000} s`
        : "does not speak HTTP/2 on its pipes";
    const failure = process.failure("start rclone", otherwise);
    connection.session.destroy();
    process.kill();
    await process.ended;
    throwIfCancelled(signal);
    throw failure;
  }

  /** An object that nobody has: whatever the answer is, it is one. */
  async #probe(connection: Connection, signal: AbortSignal): Promise<void> {
    const { context } = this.#options;
    const url = new URL(`file-${toHex(context.random(8))}`, PIPES_URL);
    const request = { kind: "other", method: "GET", url, what: "start rclone", signal } as const;
    const answer = await unlessCancelled(exchange(connection.session, request, context), signal);
    this.version = /^rclone\/v?(.+)$/.exec(serverName(answer) ?? "")?.[1];
  }

  async #awaitEnd(process: RcloneProcess): Promise<void> {
    const waiting = new AbortController();
    const late = this.#options.context.clock.sleep(END_MS, waiting.signal).catch(() => {});
    await Promise.race([process.ended, late]);
    waiting.abort();
  }

  /** Says what became of rclone when that is why a request failed. */
  async #explained(connection: Connection, what: string, error: unknown): Promise<unknown> {
    const { process, session } = connection;
    if (!isHoldfastError(error, "STORAGE_UNAVAILABLE") || !session.destroyed) return error;
    await this.#awaitEnd(process);
    const why = process.failure(what, "closed its pipes");
    // What is left of it must not run on beside the next one.
    if (process.isRunning) process.kill();
    if (error instanceof TornAnswer) return new TornAnswer(why.message, error.answer, error);
    return inPassing(why);
  }
}

function connectTo(process: RcloneProcess): Connection {
  const session = connect(PIPES_URL, {
    createConnection: () => process.pipes,
    settings: { enablePush: false, initialWindowSize: WINDOW_BYTES },
    maxSessionMemory: SESSION_MEMORY,
  });
  // The requests under way tell it, and so does the end of the child.
  session.on("error", () => {});
  session.on("connect", () => session.setLocalWindowSize(WINDOW_BYTES_ALL));
  return { process, session };
}

/** A child that ended once may not the next time. */
function inPassing(error: unknown): unknown {
  if (!isHoldfastError(error, "STORAGE_FAILED")) return error;
  const { message, hint } = error;
  const told = { retryable: true, cause: error, ...(hint !== undefined && { hint }) };
  return new HoldfastError("STORAGE_UNAVAILABLE", message, told);
}
