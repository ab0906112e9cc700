// The Huffman tables of bzip2: lengths of codes, each told as the difference to the one before.

import type { BitReader } from "./bit-reader.ts";

const LENGTH_MAX = 20;

/** One table: codes of one length are consecutive, shorter ones come first. */
export class HuffmanTable {
  readonly #symbols: Uint16Array;
  /** By length: the first code, how many there are, and where their symbols begin. */
  readonly #first = new Int32Array(LENGTH_MAX + 1);
  readonly #count = new Int32Array(LENGTH_MAX + 1);
  readonly #start = new Int32Array(LENGTH_MAX + 1);
  readonly #shortest: number;

  constructor(lengths: Uint8Array) {
    this.#symbols = new Uint16Array(lengths.length);
    for (const length of lengths) this.#count[length]!++;
    let code = 0;
    let start = 0;
    for (let length = 1; length <= LENGTH_MAX; length++) {
      code *= 2;
      this.#first[length] = code;
      this.#start[length] = start;
      code += this.#count[length]!;
      start += this.#count[length]!;
      if (code > 2 ** length) throw new Error("a table has more codes than there can be");
    }
    const next = this.#start.slice();
    for (const [symbol, length] of lengths.entries()) this.#symbols[next[length]!++] = symbol;
    this.#shortest = lengths.reduce((least, length) => Math.min(least, length), LENGTH_MAX);
  }

  /** The next symbol. */
  read(bits: BitReader): number {
    let code = bits.read(this.#shortest);
    for (let length = this.#shortest; ; length++) {
      const place = code - this.#first[length]!;
      if (place >= 0 && place < this.#count[length]!)
        return this.#symbols[this.#start[length]! + place]!;
      if (length === LENGTH_MAX) throw new Error("a code is none of its table");
      code = code * 2 + bits.read(1);
    }
  }
}

/** Reads the table of an alphabet. */
export function readTable(bits: BitReader, alphabet: number): HuffmanTable {
  const lengths = new Uint8Array(alphabet);
  let length = bits.read(5);
  for (let symbol = 0; symbol < alphabet; symbol++) {
    for (;;) {
      if (length < 1 || length > LENGTH_MAX) throw new Error("a table is damaged");
      if (bits.read(1) === 0) break;
      length += bits.read(1) === 0 ? 1 : -1;
    }
    lengths[symbol] = length;
  }
  return new HuffmanTable(lengths);
}
