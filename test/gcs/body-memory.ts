/**
 * Where the double keeps bodies. A bucket that takes gigabytes into fresh memory makes the kernel find as many pages, and
 * a virtual machine may have to fetch each of them from its host: on shared cores that is time taken from the client that
 * is being measured. What was touched beforehand costs nothing more; past it, bodies are allocated as they come.
 */
export class BodyMemory {
  readonly #touched: Buffer;
  #used = 0;

  constructor(bytes: number) {
    this.#touched = Buffer.allocUnsafeSlow(bytes).fill(0);
  }

  take(bytes: number): Buffer {
    const start = this.#used;
    if (bytes > this.#touched.length - start) return Buffer.allocUnsafeSlow(bytes);
    this.#used += bytes;
    return this.#touched.subarray(start, start + bytes);
  }

  concat(pieces: readonly Buffer[]): Buffer {
    const whole = this.take(pieces.reduce((sum, { length }) => sum + length, 0));
    let end = 0;
    for (const piece of pieces) {
      whole.set(piece, end);
      end += piece.length;
    }
    return whole;
  }

  /** Nothing that was taken is needed any more. */
  reuse(): void {
    this.#used = 0;
  }
}
