// A growing set of SHA-1s in little memory (about 30 bytes for each), which gives each one a number in the order in which they
// came: whatever is to be known about them lies in arrays beside it. A million strings in a Map would take ten times as much.

import { SHA1_DIGITS } from "./store-name.ts";

const BYTES = SHA1_DIGITS / 2;
/** Slots are at most this part full. */
const LOAD = 0.6;

/** What a digit stands for, by its character; too much for a byte when it is none. */
const DIGITS = new Uint16Array(256).fill(0x1000);
for (let i = 0; i < 16; i++) DIGITS[i.toString(16).charCodeAt(0)] = i;

export class Sha1Set {
  #count = 0;
  #keys: Buffer;
  /** Number of the key plus one; 0 is a free slot. */
  #slots: Uint32Array;
  readonly #one = Buffer.alloc(BYTES);

  /** `expected`: how many there will probably be. */
  constructor(expected = 1000) {
    this.#keys = Buffer.alloc(Math.max(16, expected) * BYTES);
    this.#slots = new Uint32Array(slotsFor(expected));
  }

  get size(): number {
    return this.#count;
  }

  /** Adds a SHA-1 of 40 hexadecimal digits, unless it is there; its number either way. */
  add(sha1: string): number {
    this.#one.write(sha1, "hex");
    return this.#addOne();
  }

  /** As `add`, of the 40 digits at `at` of `text`; -1 when they are not lower-case hexadecimal. Makes no string. */
  addDigits(text: Uint8Array, at: number): number {
    const one = this.#one;
    for (let i = 0; i < BYTES; i++) {
      const value = (DIGITS[text[at + 2 * i]!]! << 4) | DIGITS[text[at + 2 * i + 1]!]!;
      if (value > 0xff) return -1;
      one[i] = value;
    }
    return this.#addOne();
  }

  /** Adds what is in `#one`. */
  #addOne(): number {
    const slot = this.#slotOf();
    const found = this.#slots[slot]!;
    if (found !== 0) return found - 1;
    const number = this.#count++;
    if (this.#count * BYTES > this.#keys.length) {
      const larger = Buffer.alloc(this.#keys.length * 2);
      this.#keys.copy(larger);
      this.#keys = larger;
    }
    this.#one.copy(this.#keys, number * BYTES);
    this.#slots[slot] = number + 1;
    if (this.#count > this.#slots.length * LOAD) this.#grow();
    return number;
  }

  /** The number of a SHA-1, -1 when it is not there. */
  indexOf(sha1: string): number {
    this.#one.write(sha1, "hex");
    return this.#slots[this.#slotOf()]! - 1;
  }

  has(sha1: string): boolean {
    return this.indexOf(sha1) !== -1;
  }

  /** The SHA-1 with that number. */
  at(number: number): string {
    return this.#keys.toString("hex", number * BYTES, (number + 1) * BYTES);
  }

  /** All of them, in the order in which they came. */
  *[Symbol.iterator](): Generator<string, void> {
    for (let number = 0; number < this.#count; number++) yield this.at(number);
  }

  /** Where `#one` is, or would be. */
  #slotOf(): number {
    const mask = this.#slots.length - 1;
    // The digits are as good as random, but those of the first folder may be all alike.
    let slot = (this.#one.readUInt32LE(8) ^ this.#one.readUInt32LE(1)) & mask;
    for (;;) {
      const found = this.#slots[slot]!;
      if (found === 0) return slot;
      const at = (found - 1) * BYTES;
      if (this.#keys.compare(this.#one, 0, BYTES, at, at + BYTES) === 0) return slot;
      slot = (slot + 1) & mask;
    }
  }

  #grow(): void {
    this.#slots = new Uint32Array(this.#slots.length * 2);
    for (let number = 0; number < this.#count; number++) {
      this.#keys.copy(this.#one, 0, number * BYTES, (number + 1) * BYTES);
      this.#slots[this.#slotOf()] = number + 1;
    }
  }
}

function slotsFor(count: number): number {
  let slots = 64;
  while (slots * LOAD < count) slots *= 2;
  return slots;
}
