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
  /** Blocks at once. */
  readonly lanes: number;
}

/** `body`, compressed. At most `lanes` blocks are held, and what was made of them. */
export async function* gzipBlocks(
  body: AsyncIterable<Uint8Array>,
  { level, lanes }: GzipOptions,
): AsyncGenerator<Uint8Array, void> {
  const free = Array.from({ length: lanes }, () => new Lane(level));
  const all = [...free];
  const running: { readonly lane: Lane; readonly output: Promise<readonly Buffer[]> }[] = [];
  let [size, crc] = [0, 0];
  const start = (lane: Lane): void => {
    const block = lane.block();
    size += block.length;
    crc = crc32(block, crc);
    running.push({ lane, output: lane.deflate() });
  };
  const next = async function* (): AsyncGenerator<Uint8Array, void> {
    const first = running.shift()!;
    yield* await first.output;
    free.push(first.lane);
  };
  try {
    yield HEADER;
    let lane = free.pop()!;
    for await (const chunk of body) {
      for (let at = 0; at < chunk.length;) {
        at += lane.fill(chunk, at);
        if (!lane.isFull) continue;
        start(lane);
        if (free.length === 0) yield* next();
        lane = free.pop()!;
      }
    }
    start(lane);
    while (running.length > 0) yield* next();
    const trailer = Buffer.alloc(8);
    trailer.writeUInt32LE(crc, 0);
    trailer.writeUInt32LE(size % 2 ** 32, 4);
    yield Buffer.concat([LAST_BLOCK, trailer]);
  } finally {
    // What still runs owns its memory until it is done, and its failure is nobody's any more.
    await Promise.allSettled(running.map(({ output }) => output));
    for (const lane of all) lane.close();
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
