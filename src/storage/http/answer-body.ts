// Where the bytes of one answer go: into the caller's memory, or into memory of their own that is no larger than needed.

import { HoldfastError } from "../../base/errors.ts";
import { ANSWER_BYTES_MAX, ERROR_BYTES_MAX } from "./transport.ts";

export class AnswerBody {
  readonly #into: Uint8Array | undefined;
  readonly #isSuccess: boolean;
  readonly #what: string;
  #chunks: Uint8Array[] = [];
  /** Bytes that came, kept or not. */
  received = 0;

  constructor(options: { into: Uint8Array | undefined; isSuccess: boolean; what: string }) {
    this.#isSuccess = options.isSuccess;
    this.#into = options.isSuccess ? options.into : undefined;
    this.#what = options.what;
  }

  /** Takes the next bytes. STORAGE_FAILED when there are more than anyone asked for. */
  add(chunk: Uint8Array): void {
    const into = this.#into;
    const at = this.received;
    this.received += chunk.length;
    if (into !== undefined) {
      if (this.received > into.length) throw this.#tooLong(into.length);
      into.set(chunk, at);
    } else if (this.#isSuccess) {
      if (this.received > ANSWER_BYTES_MAX) throw this.#tooLong(ANSWER_BYTES_MAX);
      this.#chunks.push(chunk);
    } else if (at < ERROR_BYTES_MAX) {
      this.#chunks.push(chunk);
    }
  }

  /** What came so far. */
  bytes(): Uint8Array {
    if (this.#into !== undefined) return this.#into.subarray(0, this.received);
    if (this.#chunks.length > 1) this.#chunks = [Buffer.concat(this.#chunks)];
    return this.#chunks[0] ?? new Uint8Array(0);
  }

  #tooLong(limit: number): HoldfastError {
    const message = `cannot ${this.#what}: the server sent more than the ${limit} bytes asked for`;
    return new HoldfastError("STORAGE_FAILED", message);
  }
}
