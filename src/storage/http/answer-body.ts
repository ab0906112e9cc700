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

/** Memory for a body of unknown length begins with this much and doubles. */
const FIRST_BYTES = 4096;

export class AnswerBody {
  /** The caller's memory, as much as was announced, or what has been needed so far. */
  #memory: Uint8Array;
  /** The memory has its final size: bytes may be read straight into it. */
  readonly #isFixed: boolean;
  readonly #limit: number;
  readonly #isSuccess: boolean;
  readonly #what: string;
  /** Bytes that came. */
  received = 0;

  constructor({ into, isSuccess, announced, what }: AnswerBodyOptions) {
    this.#isSuccess = isSuccess;
    this.#what = what;
    this.#limit = isSuccess ? (into?.length ?? ANSWER_BYTES_MAX) : ERROR_BYTES_MAX;
    const target = isSuccess ? into : undefined;
    if (isSuccess && announced !== undefined && announced > this.#limit) throw this.#tooLong();
    this.#isFixed = isSuccess && (target !== undefined || announced !== undefined);
    this.#memory = target ?? Buffer.allocUnsafeSlow(this.#isFixed ? announced! : FIRST_BYTES);
  }

  /** An error's body of which enough has come: the rest is not worth waiting for. */
  get isFull(): boolean {
    return !this.#isSuccess && this.received >= this.#limit;
  }

  /** Copies the next bytes. STORAGE_FAILED when there are more than anyone asked for. */
  add(chunk: Uint8Array): void {
    const end = this.received + chunk.length;
    if (end > this.#limit) {
      if (this.#isSuccess) throw this.#tooLong();
      return this.add(chunk.subarray(0, this.#limit - this.received));
    }
    if (end > this.#memory.length) {
      if (this.#isFixed) throw this.#tooLong();
      const larger = Buffer.allocUnsafeSlow(
        Math.min(this.#limit, Math.max(end, 2 * this.received)),
      );
      larger.set(this.#memory.subarray(0, this.received));
      this.#memory = larger;
    }
    this.#memory.set(chunk, this.received);
    this.received = end;
  }

  /** Where the next bytes belong, at most `bytes` of them: memory to read into. Undefined when they go through `add`. */
  room(bytes: number): Uint8Array | undefined {
    if (!this.#isFixed || this.received === this.#memory.length || bytes <= 0) return undefined;
    return this.#memory.subarray(this.received, this.received + bytes);
  }

  /** So many bytes were read into the room. */
  fill(bytes: number): void {
    this.received += bytes;
  }

  /** What came so far. */
  bytes(): Uint8Array {
    return this.#memory.subarray(0, this.received);
  }

  #tooLong(): HoldfastError {
    const message = `cannot ${this.#what}: the server sends more than the ${this.#limit} bytes asked for`;
    return new HoldfastError("STORAGE_FAILED", message);
  }
}
