// Input of a decoder that comes in pieces of any length, and the way decoders ask for more of it. A decoder is a generator:
// it yields output, or undefined when it needs more input than there is.

/** Yields pieces of output; undefined asks for more input, or for `ended`. Throws an Error that says what is wrong. */
export type Decoder = (input: ByteQueue) => Generator<Uint8Array | undefined, void>;

/** Bytes that were given and not yet taken. */
export class ByteQueue {
  /** Nothing will be added any more. */
  ended = false;
  #bytes: Uint8Array = new Uint8Array(0);
  #start = 0;
  #end = 0;
  /** The memory is ours: what was given is never written to. */
  #owned = false;

  get length(): number {
    return this.#end - this.#start;
  }

  push(bytes: Uint8Array): void {
    const { length } = this;
    if (length === 0) {
      this.#bytes = bytes;
      this.#start = 0;
      this.#end = bytes.length;
      this.#owned = false;
      return;
    }
    if (!this.#owned || this.#end + bytes.length > this.#bytes.length) {
      const memory = new Uint8Array(2 * (length + bytes.length));
      memory.set(this.peek());
      this.#bytes = memory;
      this.#start = 0;
      this.#end = length;
      this.#owned = true;
    }
    this.#bytes.set(bytes, this.#end);
    this.#end += bytes.length;
  }

  /** A view of what is there, valid until the next push. */
  peek(): Uint8Array {
    return this.#bytes.subarray(this.#start, this.#end);
  }

  /** A view of the first `length` bytes, which are gone from the queue; valid until the next push. */
  take(length: number): Uint8Array {
    const taken = this.peek().subarray(0, length);
    this.#start += taken.length;
    return taken;
  }
}

/** Waits until `length` bytes are there. False when the input ends before. */
export function* have(input: ByteQueue, length: number): Generator<undefined, boolean> {
  while (input.length < length && !input.ended) yield undefined;
  return input.length >= length;
}

/** Takes `length` bytes; throws when the input ends before. */
export function* need(input: ByteQueue, length: number): Generator<undefined, Uint8Array> {
  if (yield* have(input, length)) return input.take(length);
  throw new Error("it ends too early");
}

/** A little-endian number of four bytes. */
export function uint32(bytes: Uint8Array, at = 0): number {
  return (
    (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0
  );
}
