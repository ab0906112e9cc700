// gzip on several cores: blocks of one MiB are deflated side by side, each complete in itself and flushed to a whole byte,
// and put one behind the other as a single member. A single one it must be: Python's tar, with which Barman restores,
// stops reading where the first member ends. The work is done by the threads that Node keeps for zlib.

import { constants, crc32, createDeflateRaw, type DeflateRaw } from "node:zlib";

const BLOCK_BYTES = 1 << 20;
/** Of the memory into which zlib writes: large enough that a block needs few trips to the threads. */
const OUTPUT_BYTES = 1 << 18;
/** gzip, deflate, no name, no time; made on some machine or other. */
const HEADER = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
/** The last block of a stream, without content. */
const LAST_BLOCK = Buffer.from([3, 0]);

export interface GzipOptions {
  /** 1 to 9. */
  readonly level: number;
  /** Blocks at once: one that is filled, the others being compressed; two at least. */
  readonly lanes: number;
  readonly output: (bytes: Uint8Array) => Promise<void>;
}

/** A gzip file on its way: bytes are written, compressed ones come out at `output`, which may make the writer wait. */
export class GzipBlocks {
  readonly #output: (bytes: Uint8Array) => Promise<void>;
  readonly #all: readonly Lane[];
  readonly #free: Lane[];
  readonly #running: { readonly lane: Lane; readonly output: Promise<readonly Buffer[]> }[] = [];
  #lane: Lane;
  #size = 0;
  #crc = 0;
  #hasBegun = false;

  constructor({ level, lanes, output }: GzipOptions) {
    this.#output = output;
    this.#all = Array.from({ length: lanes }, () => new Lane(level));
    this.#free = this.#all.slice(1);
    this.#lane = this.#all[0]!;
  }

  /** Takes a copy of `bytes`. Resolves when more may be written; throws what `output` threw. */
  async write(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) {
      at += this.#lane.fill(bytes, at);
      if (this.#lane.isFull) await this.#turn();
    }
  }

  /** Nothing more comes; resolves when all of it is out. */
  async end(): Promise<void> {
    this.#start();
    while (this.#running.length > 0) await this.#emitFirst();
    const trailer = Buffer.alloc(8);
    trailer.writeUInt32LE(this.#crc, 0);
    trailer.writeUInt32LE(this.#size % 2 ** 32, 4);
    if (!this.#hasBegun) await this.#output(HEADER);
    await this.#output(Buffer.concat([LAST_BLOCK, trailer]));
    await this.close();
  }

  /** Frees what it holds, also when it is left before its end. */
  async close(): Promise<void> {
    // What still runs owns its memory until it is done, and its failure is nobody's any more.
    await Promise.allSettled(this.#running.map(({ output }) => output));
    for (const lane of this.#all) lane.close();
  }

  /** The block is full: on to the next one, as soon as one is free. */
  async #turn(): Promise<void> {
    this.#start();
    if (this.#free.length === 0) await this.#emitFirst();
    this.#lane = this.#free.pop()!;
  }

  #start(): void {
    const block = this.#lane.block();
    this.#size += block.length;
    this.#crc = crc32(block, this.#crc);
    const output = this.#lane.deflate();
    // It is awaited when its turn comes.
    output.catch(() => {});
    this.#running.push({ lane: this.#lane, output });
  }

  async #emitFirst(): Promise<void> {
    const { lane, output } = this.#running[0]!;
    const pieces = await output;
    this.#running.shift();
    this.#free.push(lane);
    if (!this.#hasBegun) await this.#output(HEADER);
    this.#hasBegun = true;
    for (const piece of pieces) await this.#output(piece);
  }
}

/** One deflater and the block that it works on. */
class Lane {
  readonly #input = Buffer.allocUnsafeSlow(BLOCK_BYTES);
  readonly #deflater: DeflateRaw;
  #filled = 0;
  #output: Buffer[] = [];

  constructor(level: number) {
    this.#deflater = createDeflateRaw({
      level,
      // Larger blocks inside: fewer trees to build, a seventh less time at level 1, and a little less output.
      memLevel: 9,
      // Every write ends at a whole byte, and with all that it holds.
      flush: constants.Z_SYNC_FLUSH,
      chunkSize: OUTPUT_BYTES,
    });
    this.#deflater.on("data", (bytes: Buffer) => this.#output.push(bytes));
  }

  get isFull(): boolean {
    return this.#filled === BLOCK_BYTES;
  }

  /** Takes what fits; the number of bytes taken. */
  fill(chunk: Uint8Array, from: number): number {
    const part = chunk.subarray(from, from + BLOCK_BYTES - this.#filled);
    this.#input.set(part, this.#filled);
    this.#filled += part.length;
    return part.length;
  }

  /** What it holds, as it is now. */
  block(): Buffer {
    return this.#input.subarray(0, this.#filled);
  }

  async deflate(): Promise<readonly Buffer[]> {
    const block = this.block();
    this.#output = [];
    if (block.length > 0) {
      // Nothing of the block before may be referred to: in the stream another one stands there.
      this.#deflater.reset();
      await new Promise<void>((resolve, reject) => {
        this.#deflater.write(block, (error) => (error ? reject(error) : resolve()));
      });
    }
    this.#filled = 0;
    return this.#output;
  }

  close(): void {
    this.#deflater.destroy();
  }
}
