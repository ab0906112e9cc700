// bzip2: blocks of up to 900 kB, sorted (Burrows-Wheeler), moved to front and Huffman-coded, one behind the other without
// regard to bytes (en.wikipedia.org/wiki/Bzip2#File_format). Decoding only. Blocks made by bzip2 before 0.9.5, which were
// stirred with random numbers, are refused.

import { BitReader } from "./bit-reader.ts";
import { have, need, type ByteQueue } from "./byte-queue.ts";
import { readTable, type HuffmanTable } from "./huffman.ts";

const BLOCK_MAGIC = 0x314159265359;
const END_MAGIC = 0x177245385090;
/** Content of a block, in units of the level. */
const LEVEL_BYTES = 100_000;
/** No symbol has more than 20 bits, so no stored block is larger than this; the tables are the rest. */
const STORED_PER_BYTE = 2.5;
const TABLES_BYTES = 65_536;
/** Symbols that one table codes before the next selector. */
const GROUP = 50;
const OUTPUT_BYTES = 1 << 18;

/** Decodes one stream, or several one behind the other. */
export function* decodeBzip2(input: ByteQueue): Generator<Uint8Array | undefined, void> {
  let streams = 0;
  for (; yield* have(input, 1); streams++) yield* decodeStream(input);
  if (streams === 0) throw new Error("it is empty");
}

function* decodeStream(input: ByteQueue): Generator<Uint8Array | undefined, void> {
  const header = Buffer.from(yield* need(input, 4)).toString("latin1");
  if (!/^BZh[1-9]$/.test(header)) throw new Error("it does not begin as a stream does");
  const blockBytes = Number(header[3]) * LEVEL_BYTES;
  const storedMax = blockBytes * STORED_PER_BYTE + TABLES_BYTES;
  const table = new Uint32Array(blockBytes);
  let combined = 0;
  let bit = 0;
  for (;;) {
    // Where a block ends is known only when it is decoded.
    yield* have(input, storedMax);
    const bits = new BitReader(input.peek(), bit);
    const magic = bits.read(24) * 2 ** 24 + bits.read(24);
    const checksum = bits.read(16) * 2 ** 16 + bits.read(16);
    if (magic === END_MAGIC) {
      if (checksum !== combined >>> 0) throw new Error("its checksum does not match");
      input.take(bits.bytesTouched);
      return;
    }
    if (magic !== BLOCK_MAGIC) throw new Error("a block does not begin as one");
    const block = readBlock(bits, table);
    const found = yield* unsort(table, block);
    if (found !== checksum) throw new Error("a block's checksum does not match");
    combined = ((combined << 1) | (combined >>> 31)) ^ checksum;
    input.take(bits.bytesDone);
    bit = bits.bitInByte;
  }
}

interface Block {
  /** How many bytes are in the table, and where the original begins. */
  readonly length: number;
  readonly origin: number;
}

/** Reads a block into the low bytes of `table`. */
function readBlock(bits: BitReader, table: Uint32Array): Block {
  if (bits.read(1) === 1) throw new Error("it was made by a version of bzip2 that is too old");
  const origin = bits.read(24);
  const symbols = readSymbols(bits);
  const { tables, selectors } = readCoding(bits, symbols.length + 2);
  const endOfBlock = symbols.length + 1;
  let length = 0;
  let run = 0;
  let place = 1;
  let selector = 0;
  let left = 0;
  let coding = tables[0]!;
  for (;;) {
    if (left === 0) {
      const next = selectors[selector++];
      if (next === undefined) throw new Error("a block has too few selectors");
      coding = tables[next]!;
      left = GROUP;
    }
    left--;
    const symbol = coding.read(bits);
    if (symbol <= 1) {
      // The length of a run, in digits 1 and 2 of base 2.
      run += place << symbol;
      place *= 2;
      if (run > table.length) throw new Error("a block is too large");
      continue;
    }
    if (run > 0) {
      if (length + run > table.length) throw new Error("a block is too large");
      table.fill(symbols[0]!, length, length + run);
      length += run;
      run = 0;
      place = 1;
    }
    if (symbol === endOfBlock) break;
    if (length >= table.length) throw new Error("a block is too large");
    const at = symbol - 1;
    const byte = symbols[at]!;
    symbols.copyWithin(1, 0, at);
    symbols[0] = byte;
    table[length++] = byte;
  }
  if (origin >= length) throw new Error("a block does not say where it begins");
  return { length, origin };
}

/** The bytes that occur in a block, in ascending order. */
function readSymbols(bits: BitReader): Uint8Array {
  const found: number[] = [];
  const ranges = bits.read(16);
  for (let range = 0; range < 16; range++) {
    if (((ranges >> (15 - range)) & 1) === 0) continue;
    const used = bits.read(16);
    for (let i = 0; i < 16; i++) if ((used >> (15 - i)) & 1) found.push(range * 16 + i);
  }
  if (found.length === 0) throw new Error("a block has no symbols");
  return Uint8Array.from(found);
}

interface Coding {
  readonly tables: readonly HuffmanTable[];
  /** Which table codes each group of symbols. */
  readonly selectors: Uint8Array;
}

function readCoding(bits: BitReader, alphabet: number): Coding {
  const count = bits.read(3);
  const groups = bits.read(15);
  if (count < 2 || count > 6 || groups === 0) throw new Error("a block's tables are damaged");
  const order = Uint8Array.from({ length: count }, (_, i) => i);
  const selectors = new Uint8Array(groups);
  for (let i = 0; i < groups; i++) {
    let at = 0;
    while (bits.read(1) === 1) if (++at >= count) throw new Error("a selector is damaged");
    const selected = order[at]!;
    order.copyWithin(1, 0, at);
    order[0] = selected;
    selectors[i] = selected;
  }
  const tables = Array.from({ length: count }, () => readTable(bits, alphabet));
  return { tables, selectors };
}

/** Brings the bytes of a block back into their order and yields them; returns their checksum. */
function* unsort(table: Uint32Array, { length, origin }: Block): Generator<Uint8Array, number> {
  const starts = new Uint32Array(257);
  for (let i = 0; i < length; i++) starts[(table[i]! & 0xff) + 1]!++;
  for (let i = 1; i < 257; i++) starts[i]! += starts[i - 1]!;
  // The low byte of each entry is what the block holds, the rest where the next one stands.
  for (let i = 0; i < length; i++) table[starts[table[i]! & 0xff]!++]! |= i << 8;
  let crc = ~0;
  let out = new Uint8Array(OUTPUT_BYTES);
  let written = 0;
  let last = -1;
  let repeated = 0;
  let entry = table[table[origin]! >>> 8]!;
  for (let i = 0; i < length; i++) {
    const byte = entry & 0xff;
    entry = table[entry >>> 8]!;
    // After four equal bytes comes the number of further ones.
    const count = repeated === 4 ? byte : 1;
    const value = repeated === 4 ? last : byte;
    repeated = repeated === 4 ? 0 : byte === last ? repeated + 1 : 1;
    last = value;
    if (written + count > out.length) {
      yield out.subarray(0, written);
      out = new Uint8Array(OUTPUT_BYTES);
      written = 0;
    }
    for (const end = written + count; written < end; written++) {
      out[written] = value;
      crc = (crc << 8) ^ CRC_TABLE[(crc >>> 24) ^ value]!;
    }
  }
  if (written > 0) yield out.subarray(0, written);
  return ~crc >>> 0;
}

/** The CRC-32 of bzip2 runs over bits from the high one down. */
const CRC_TABLE = Int32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 24;
  for (let bit = 0; bit < 8; bit++) crc = crc < 0 ? (crc << 1) ^ 0x04c11db7 : crc << 1;
  return crc;
});
