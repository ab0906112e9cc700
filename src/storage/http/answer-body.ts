// Where the bytes of one answer go: into the caller's memory, or into memory of their own that is no larger than needed.

import { HoldfastError } from "../../base/errors.ts";
import { ANSWER_BYTES_MAX, ERROR_BYTES_MAX } from "./transport.ts";

export interface AnswerBodyOptions {
  /** The caller's memory. */
  readonly into: Uint8Array | undefined;
  readonly isSuccess: boolean;
  /** Bytes that the headers announce, if they do. */
  readonly announced: number | undefined;
  /** What is being done, for messages. */
  readonly what: string;
}

export class AnswerBody {
  /** Memory for all of it: the caller's, or as much as was announced. */
  readonly #memory: Uint8Array | undefined;
  readonly #isSuccess: boolean;
  readonly #what: string;
  #chunks: Uint8Array[] = [];
  /** Bytes that came, kept or not. */
  received = 0;

  constructor({ into, isSuccess, announced, what }: AnswerBodyOptions) {
    this.#isSuccess = isSuccess;
    this.#what = what;
    if (!isSuccess) return;
    if (announced !== undefined && announced > (into?.length ?? ANSWER_BYTES_MAX)) {
      throw this.#tooLong(into?.length ?? ANSWER_BYTES_MAX);
    }
    this.#memory =
      into ?? (announced === undefined ? undefined : Buffer.allocUnsafeSlow(announced));
  }

  /** Takes the next bytes. STORAGE_FAILED when there are more than anyone asked for. */
  add(chunk: Uint8Array): void {
    const at = this.received;
    this.received += chunk.length;
    if (this.#memory !== undefined) {
      if (this.received > this.#memory.length) throw this.#tooLong(this.#memory.length);
      this.#memory.set(chunk, at);
    } else if (this.#isSuccess) {
      if (this.received > ANSWER_BYTES_MAX) throw this.#tooLong(ANSWER_BYTES_MAX);
      this.#chunks.push(chunk);
    } else if (at < ERROR_BYTES_MAX) {
      this.#chunks.push(chunk);
    }
  }

  /** Where the next bytes belong, at most `bytes` of them: memory to read into. Undefined when they go through `add`. */
  room(bytes: number): Uint8Array | undefined {
    const room = this.#memory?.subarray(this.received, this.received + bytes);
    return room !== undefined && room.length > 0 ? room : undefined;
  }

  /** So many bytes were read into the room. */
  fill(bytes: number): void {
    this.received += bytes;
  }

  /** What came so far. */
  bytes(): Uint8Array {
    if (this.#memory !== undefined) return this.#memory.subarray(0, this.received);
    if (this.#chunks.length > 1) this.#chunks = [Buffer.concat(this.#chunks)];
    return this.#chunks[0] ?? new Uint8Array(0);
  }

  #tooLong(limit: number): HoldfastError {
    const message = `cannot ${this.#what}: the server sends more than the ${limit} bytes asked for`;
    return new HoldfastError("STORAGE_FAILED", message);
  }
}
