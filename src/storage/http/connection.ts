// One connection to an HTTP server, used for one request after another. Written here rather than taken from `node:http`
// because of where the bytes of an answer go: straight from the kernel into the memory of whoever asked, without a buffer,
// a stream and a copy in between, which took more time than all of AES (docs/decisions/storage.md#http).

import type { OnReadOpts } from "node:net";
import { asBuffer } from "../../base/bytes.ts";
import { cancelled, throwIfCancelled } from "../../base/cancellation.ts";
import { HoldfastError } from "../../base/errors.ts";
import type { RateLimit } from "../../base/rate-limit.ts";
import { AnswerBody } from "./answer-body.ts";
import { ChunkReader } from "./chunks.ts";
import type { Line } from "./dial.ts";
import { BadAnswer, parseHead } from "./head.ts";
import type { Head } from "./head.ts";
import { Pace } from "./pace.ts";
import { requestHead } from "./request-head.ts";
import type { HeadOptions } from "./request-head.ts";
import { TornAnswer } from "./transport.ts";
import type { WireAnswer, WireRequest } from "./transport.ts";
import { wireError } from "./wire-error.ts";

/** Heads, chunked bodies and whatever has no memory of its own are read through this much. */
const OWN_BYTES = 16 * 1024;
const HEAD_BYTES_MAX = 64 * 1024;
/** One read takes at most this much, so that other connections get their turn. */
const READ_BYTES = 512 * 1024;

/** Under TLS a body is copied and encrypted before the kernel takes it: so much of it at once. */
const TLS_PIECE_BYTES = 128 * 1024;
/** Answers before the real one. */
const INTERIM_MAX = 20;

/** The server closed a kept connection just as it was used again: nothing of the request was looked at. */
export class StaleConnection extends Error {}

export interface ConnectionOptions {
  /** Opens the line, which must hand what it reads to `onread` or emit it as data. */
  dial: (onread: OnReadOpts) => Line;
  head: HeadOptions;
  /** Milliseconds without a byte in either direction after which a request fails. */
  silence: number;
  upload: RateLimit | undefined;
  download: RateLimit | undefined;
  /** Told when it is closed for good. */
  onClose: (connection: Connection) => void;
}

/** Bytes of the bodies of one exchange. */
export interface ExchangeBytes {
  sent: number;
  received: number;
}

interface Exchange {
  readonly request: WireRequest;
  readonly bytes: ExchangeBytes;
  readonly resolve: (answer: WireAnswer) => void;
  readonly reject: (error: unknown) => void;
  /** Anything came. */
  isAnswered: boolean;
  /** All of the request is with the kernel. */
  isSent: boolean;
  /** The beginning of the head. */
  text: string;
  head: Head | undefined;
  body: AnswerBody | undefined;
  chunks: ChunkReader | undefined;
  /** Answers that came before the real one. */
  interim: number;
}

export class Connection {
  /** Milliseconds for which the server keeps it while idle, when it said so. */
  idle: number | undefined;
  /** When it became idle, by the clock of its pool. */
  idleSince = 0;
  /** It was silent for too long. */
  timedOut = false;
  readonly #options: ConnectionOptions;
  readonly #line: Line;
  readonly #pace: Pace | undefined;
  readonly #own: Buffer = Buffer.allocUnsafeSlow(OWN_BYTES);
  #exchange: Exchange | undefined;
  #uses = 0;
  #isOpen = true;
  /** More came than belongs to any answer. */
  #isSpoilt = false;
  /** We end it, for a reason that has nothing to do with the server. */
  #isEnding = false;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#line = options.dial({
      buffer: () => this.#room(),
      callback: (count, memory) => this.#read(memory.subarray(0, count)),
    });
    const { socket } = this.#line;
    this.#pace = options.download && new Pace(socket, options.download);
    // A peer that vanished without a word is noticed while nothing is asked of it.
    socket.setKeepAlive(true, 30_000);
    socket.on("data", (chunk: Buffer) => void this.#read(chunk));
    socket.on("error", (error) => this.#fail(error));
    socket.on("timeout", () => {
      const seconds = Math.round(options.silence / 1000);
      this.timedOut = true;
      this.#fail(new Error(`nothing came for ${seconds} seconds`));
    });
    socket.on("end", () => this.#ended());
    socket.on("close", () => this.#ended());
  }

  /** True when another request may be tried on it. */
  get isOpen(): boolean {
    return this.#isOpen && this.#exchange === undefined;
  }

  /** Sends a request and resolves with its answer; one at a time. StaleConnection when it may be tried elsewhere. */
  async exchange(request: WireRequest, bytes: ExchangeBytes): Promise<WireAnswer> {
    const { signal } = request;
    throwIfCancelled(signal);
    this.#uses += 1;
    this.#line.hold(true);
    this.#watch(this.#options.silence);
    const onAbort = (): void => this.#fail(cancelled(signal!));
    signal?.addEventListener("abort", onAbort, { once: true });
    try {
      return await new Promise<WireAnswer>((resolve, reject) => {
        this.#exchange = {
          request,
          bytes,
          resolve,
          reject,
          isAnswered: false,
          isSent: false,
          text: "",
          head: undefined,
          body: undefined,
          chunks: undefined,
          interim: 0,
        };
        this.#send(this.#exchange).catch((error: unknown) => this.#fail(error));
      });
    } finally {
      signal?.removeEventListener("abort", onAbort);
    }
  }

  /** Closes it; a request under way fails. */
  destroy(): void {
    this.#isEnding = true;
    this.#fail(new Error("the connection was closed"));
  }

  async #send(exchange: Exchange): Promise<void> {
    const { request, bytes } = exchange;
    const { upload, head } = this.#options;
    const { socket, isTls } = this.#line;
    const parts = request.body ?? [];
    const sent = (): void => void (exchange.isSent = true);
    const text = requestHead(request, head);
    socket.cork();
    socket.write(text, "latin1", parts.length === 0 ? sent : undefined);
    const step = upload?.pieceBytes ?? (isTls ? TLS_PIECE_BYTES : undefined);
    if (step === undefined) {
      for (const [i, part] of parts.entries()) {
        socket.write(part, i === parts.length - 1 ? sent : undefined);
        bytes.sent += part.length;
      }
      return socket.uncork();
    }
    socket.uncork();
    for (const part of parts) {
      for (let at = 0; at < part.length; at += step) {
        const piece = part.subarray(at, at + step);
        await upload?.take(piece.length, request.signal);
        // An early answer, an abort: the memory is no longer ours.
        if (this.#exchange !== exchange) return;
        bytes.sent += piece.length;
        await new Promise<void>((resolve) => socket.write(piece, () => resolve()));
      }
    }
    sent();
    // The answer may have come while the last piece was being written off.
    if (this.#exchange === exchange) this.#complete(exchange);
  }

  /** Where the next bytes go: into the answer's own memory while its body is read, never beyond its end. */
  #room(): Uint8Array {
    const { head, body } = this.#exchange ?? {};
    if (head === undefined || body === undefined || typeof head.body !== "number") return this.#own;
    const most = Math.min(READ_BYTES, this.#pace?.pieceBytes ?? READ_BYTES);
    return body.room(Math.min(most, head.body - body.received)) ?? this.#own;
  }

  /** Bytes came, in our own buffer, in the answer's memory or as data. False stops the reading until it is resumed. */
  #read(bytes: Uint8Array): boolean {
    const exchange = this.#exchange;
    // Nobody asked: whatever it is, it must not be taken for an answer later.
    if (exchange === undefined) {
      this.destroy();
      return false;
    }
    exchange.isAnswered = true;
    const before = exchange.body?.received ?? 0;
    try {
      if (exchange.body !== undefined && isWithin(bytes, exchange.body, this.#own)) {
        exchange.body.fill(bytes.length);
      } else {
        this.#take(exchange, bytes);
      }
      exchange.bytes.received += (exchange.body?.received ?? 0) - before;
      this.#complete(exchange);
    } catch (error) {
      this.#fail(error);
      return false;
    }
    this.#pace?.took(bytes.length);
    return this.#pace === undefined;
  }

  /** Takes bytes that are not where they belong yet. */
  #take(exchange: Exchange, bytes: Uint8Array): void {
    let rest = asBuffer(bytes);
    while (exchange.head === undefined) {
      // What came earlier is a few bytes of the head at most, or the whole of it in a few reads.
      const { length } = exchange.text;
      exchange.text += rest.toString("latin1", 0, HEAD_BYTES_MAX + 4 - length);
      const end = exchange.text.indexOf("\r\n\r\n", Math.max(0, length - 3));
      if (end < 0) {
        if (exchange.text.length > HEAD_BYTES_MAX) throw new BadAnswer("its head is too long");
        return;
      }
      rest = rest.subarray(end + 4 - length);
      const head = parseHead(exchange.text.slice(0, end), exchange.request.method);
      exchange.text = "";
      // Interim answers: the real one follows.
      if (head.status >= 200) this.#begin(exchange, head);
      else if (head.status === 101) throw new BadAnswer("it wants to speak something else");
      else if (++exchange.interim > INTERIM_MAX)
        throw new BadAnswer("it announces and never answers");
      if (rest.length === 0) return;
    }
    this.#takeBody(exchange, rest);
  }

  #begin(exchange: Exchange, head: Head): void {
    const { into, what } = exchange.request;
    const announced = typeof head.body === "number" ? head.body : undefined;
    const isSuccess = head.status === 200 || head.status === 206;
    exchange.head = head;
    exchange.body = new AnswerBody({ into, isSuccess, announced, what });
    if (head.body === "chunked") exchange.chunks = new ChunkReader();
  }

  #takeBody({ head, body, chunks, request }: Exchange, bytes: Uint8Array): void {
    if (chunks !== undefined) {
      const used = chunks.read(bytes, (content) => body!.add(content));
      if (used < bytes.length) throw new BadAnswer("more came than was asked for");
      return;
    }
    const left = typeof head!.body === "number" ? head!.body - body!.received : Infinity;
    if (bytes.length > left) {
      // Some servers send the body that belongs to a HEAD; what follows on this connection means nothing any more.
      if (request.method !== "HEAD") throw new BadAnswer("more came than was asked for");
      return void (this.#isSpoilt = true);
    }
    if (bytes.length > 0) body!.add(bytes);
  }

  /** Ends the exchange when its answer is whole. */
  #complete(exchange: Exchange): void {
    const { head, body, chunks } = exchange;
    if (head === undefined || body === undefined) return;
    const isWhole =
      chunks?.isDone ?? (typeof head.body === "number" && body.received === head.body);
    // Of an error enough is enough.
    if (!isWhole && body.isFull) this.#isSpoilt = true;
    else if (!isWhole) return;
    this.#exchange = undefined;
    this.idle = head.idle;
    // An answer that came early: the rest of the body must not be read from memory that is no longer ours.
    if (head.keepsAlive && exchange.isSent && !this.#isSpoilt) this.#rest();
    else this.#close();
    exchange.resolve({ status: head.status, headers: head.headers, body: body.bytes() });
  }

  /** The server says no more: the end of a body without a length, or of everything. */
  #ended(): void {
    const { head, body, request, resolve } = this.#exchange ?? {};
    if (head?.body !== "until-close") return this.#fail(new Error("the connection was closed"));
    this.#exchange = undefined;
    this.#close();
    if (request) resolve?.({ status: head.status, headers: head.headers, body: body!.bytes() });
  }

  #watch(silence: number): void {
    if (this.#pace === undefined) this.#line.socket.setTimeout(silence);
    else this.#pace.watch(silence);
  }

  #rest(): void {
    this.#watch(0);
    this.#line.hold(false);
  }

  #close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#pace?.stop();
    this.#line.socket.destroy();
    this.#options.onClose(this);
  }

  #fail(error: unknown): void {
    const exchange = this.#exchange;
    this.#exchange = undefined;
    this.#close();
    if (exchange !== undefined) exchange.reject(this.#meaning(error, exchange));
  }

  #meaning(error: unknown, exchange: Exchange): unknown {
    if (error instanceof HoldfastError) return error;
    const { request, head, body } = exchange;
    const told = wireError(error, request.what, request.url.host);
    if (head !== undefined && body !== undefined && (head.status === 200 || head.status === 206)) {
      const answer = { status: head.status, headers: head.headers, body: body.bytes() };
      return new TornAnswer(told.message, answer, error);
    }
    const isTheirs = !this.timedOut && !this.#isEnding;
    if (this.#uses > 1 && !exchange.isAnswered && isTheirs) return new StaleConnection();
    return told;
  }
}

/** True when the bytes were read into the body's own memory already. */
function isWithin(bytes: Uint8Array, body: AnswerBody, own: Uint8Array): boolean {
  if (bytes.buffer === own.buffer) return false;
  const room = body.room(1);
  return room?.buffer === bytes.buffer && room.byteOffset === bytes.byteOffset;
}
