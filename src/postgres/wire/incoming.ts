// What a server sends, cut into messages: one byte of type, four of length, the body (PostgreSQL's protocol 3). Reads no
// more from the socket than its reader takes: a base backup comes faster than it can be compressed.

import type { Duplex } from "node:stream";
import { HoldfastError } from "../../base/errors.ts";
import type { ReadMemory } from "./read-memory.ts";

export interface Message {
  /** Character code of the type. */
  readonly type: number;
  /** A view of memory that nothing writes to any more; where memory is lent, only until the next message is asked for. */
  readonly body: Buffer;
}

/** Bytes that may wait for the reader; above that the socket is left alone. */
const WAITING_MAX = 1 << 20;
/** No message that we ask for comes near; a longer one is not of this protocol. */
const MESSAGE_MAX = 1 << 28;
const HEADER = 5;

/** The messages from a stream, in order. Owns the stream's reading side from its creation on. */
export class Incoming {
  readonly #stream: Duplex;
  readonly #memory: ReadMemory | undefined;
  readonly #chunks: Buffer[] = [];
  /** Lent memory of chunks, and of those that were taken whole since the last message. */
  readonly #lent = new Map<Buffer, Buffer>();
  #spent: Buffer[] = [];
  #scratch: Buffer = Buffer.alloc(0);
  /** Bytes of the first chunk that were taken already. */
  #taken = 0;
  #waiting = 0;
  #end: Error | undefined;
  #wake: (() => void) | undefined;

  /** `memory` is what `stream` reads into, if that is ours. */
  constructor(stream: Duplex, memory?: ReadMemory) {
    this.#stream = stream;
    this.#memory = memory;
    if (memory === undefined) stream.on("data", (chunk: Buffer) => this.#onData(chunk, undefined));
    else memory.takeOver(this.#onData);
    stream.on("error", (error) => this.#finish(error));
    stream.on("close", () => this.#finish(lost()));
    stream.on("end", () => this.#finish(lost()));
    if (stream.destroyed) this.#finish(lost());
  }

  /** The next message. Rejects with why the stream ended once all that came before was taken. */
  async next(): Promise<Message> {
    for (const memory of this.#spent) this.#memory?.giveBack(memory);
    if (this.#spent.length > 0) this.#spent = [];
    for (;;) {
      const message = this.#message();
      if (message !== undefined) return message;
      if (this.#end !== undefined) throw this.#end;
      const woken = new Promise<void>((resolve) => (this.#wake = resolve));
      if (this.#stream.isPaused()) this.#stream.resume();
      await woken;
    }
  }

  #message(): Message | undefined {
    if (this.#waiting < HEADER) return undefined;
    const header = this.#peek(HEADER);
    const length = header.readUInt32BE(1) - 4;
    if (length < 0 || length > MESSAGE_MAX) {
      throw new HoldfastError(
        "POSTGRES_FAILED",
        "the server's answer is not PostgreSQL's protocol",
        {
          hint: "Check that host and port are those of a PostgreSQL server, without a proxy that changes what it says.",
        },
      );
    }
    if (this.#waiting < HEADER + length) return undefined;
    const type = header[0]!;
    this.#skip(HEADER);
    const body = this.#peek(length);
    this.#skip(length);
    return { type, body };
  }

  /** The next `length` bytes, which are there: a view where they lie together, a copy where not. */
  #peek(length: number): Buffer {
    const [first] = this.#chunks;
    if (first === undefined) return Buffer.alloc(0);
    if (first.length - this.#taken >= length) {
      return first.subarray(this.#taken, this.#taken + length);
    }
    const joined = this.#joinedMemory(length);
    let filled = 0;
    let from = this.#taken;
    for (const chunk of this.#chunks) {
      filled += chunk.copy(joined, filled, from, Math.min(chunk.length, from + length - filled));
      if (filled === length) break;
      from = 0;
    }
    return joined;
  }

  #skip(length: number): void {
    this.#waiting -= length;
    this.#taken += length;
    for (
      let first = this.#chunks[0];
      first && this.#taken >= first.length;
      [first] = this.#chunks
    ) {
      this.#taken -= first.length;
      this.#chunks.shift();
      const memory = this.#lent.get(first);
      if (memory === undefined) continue;
      this.#lent.delete(first);
      this.#spent.push(memory);
    }
  }

  /** Memory for what lies in several chunks. */
  #joinedMemory(length: number): Buffer {
    if (this.#memory?.isLent !== true || length <= HEADER) return Buffer.allocUnsafe(length);
    if (this.#scratch.length < length) this.#scratch = Buffer.allocUnsafeSlow(length);
    return this.#scratch.subarray(0, length);
  }

  readonly #onData = (chunk: Buffer, memory: Buffer | undefined): void => {
    this.#chunks.push(chunk);
    if (memory !== undefined) this.#lent.set(chunk, memory);
    this.#waiting += chunk.length;
    if (this.#wake !== undefined) this.#wakeReader();
    else if (this.#waiting > WAITING_MAX) this.#stream.pause();
  };

  #finish(error: Error): void {
    this.#end ??= error;
    this.#wakeReader();
  }

  #wakeReader(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }
}

function lost(): HoldfastError {
  return new HoldfastError("POSTGRES_UNREACHABLE", "the server closed the connection", {
    hint: "See the server's log for the reason; a restart or a broken network ends connections.",
    retryable: true,
  });
}
