// Bits of bytes, from the high one down, as bzip2 packs them.

/** Reads bits of `bytes`, beginning with bit `bit` (0 to 7) of the first. */
export class BitReader {
  readonly #bytes: Uint8Array;
  #at = 0;
  #word = 0;
  #count = 0;

  constructor(bytes: Uint8Array, bit: number) {
    this.#bytes = bytes;
    if (bit > 0) this.read(bit);
  }

  /** Bytes that were read to their end. */
  get bytesDone(): number {
    return this.#at - Math.ceil(this.#count / 8);
  }

  /** Bytes that were read, if only in part. */
  get bytesTouched(): number {
    return this.#at - Math.floor(this.#count / 8);
  }

  /** How many bits of the next byte were read. */
  get bitInByte(): number {
    return (8 - (this.#count % 8)) % 8;
  }

  /** The next `count` bits, 24 at most. Throws when there are fewer. */
  read(count: number): number {
    while (this.#count < count) {
      const byte = this.#bytes[this.#at];
      if (byte === undefined) throw new Error("it ends too early");
      this.#at++;
      this.#word = (this.#word << 8) | byte;
      this.#count += 8;
    }
    this.#count -= count;
    return (this.#word >>> this.#count) & ((1 << count) - 1);
  }
}
