// zstd for blobs and for the small repository files (docs/formats/restic.md#packs, #crypto).
//
// Node's one-shot functions build and throw away a whole zstd context for each call, which costs more than
// compressing a small file does. `ZstdContext` keeps one context and writes into memory of the caller instead. It
// uses the `_handle` of Node's zlib stream, which is not a documented interface: the constructor therefore tries it on
// known data and falls back to the documented functions when anything is not as expected.
// No checksum is added to the frames: every blob and file has a SHA-256 and a MAC of its own.

import zlib from "node:zlib";
import { asBuffer, concatBytes } from "../base/bytes.ts";
import { HoldfastError } from "../base/errors.ts";
import { splitFrames, statedContentBytes } from "./zstd-frame.ts";

/** restic's names of its compression settings. */
export type CompressionMode = "auto" | "off" | "fastest" | "better" | "max";

const LEVELS: Record<CompressionMode, number> = { off: 0, fastest: 1, auto: 1, better: 6, max: 15 };

/** The zstd level for a mode; 0 means that data blobs are stored as they are. */
export function compressionLevel(mode: CompressionMode): number {
  return LEVELS[mode];
}

/** Largest plaintext that any well-formed repository file or blob decompresses to: 1 GiB. */
export const MAX_PLAINTEXT: number = 1 << 30;

/** Node takes output memory in pieces of at most this: what is large gets much smaller, mostly. */
const CHUNK_BYTES_MAX = 2 << 20;

/** `bytes` as one zstd frame. */
export function compressZstd(bytes: Uint8Array, level = 3): Uint8Array {
  return zlib.zstdCompressSync(bytes, {
    params: { [zlib.constants.ZSTD_c_compressionLevel]: level },
    pledgedSrcSize: bytes.length,
    chunkSize: Math.min(CHUNK_BYTES_MAX, Math.max(64, bytes.length + (bytes.length >> 7) + 512)),
  });
}

/**
 * The content of the zstd frames in `bytes`; at most `maxBytes`, which is also the output size to expect when it is
 * known. Throws FILE_DAMAGED when the data is not zstd or larger than allowed.
 */
export function decompressZstd(bytes: Uint8Array, maxBytes: number = MAX_PLAINTEXT): Uint8Array {
  const plains: Uint8Array[] = [];
  let left = maxBytes;
  for (const frame of splitFrames(bytes) ?? [bytes.subarray(0, 0)]) {
    const plain = decompressFrame(frame, left);
    left -= plain.length;
    plains.push(plain);
  }
  return plains.length === 1 ? plains[0]! : concatBytes(plains);
}

function decompressFrame(frame: Uint8Array, maxBytes: number): Uint8Array {
  // A frame says how long its content is, mostly; it is believed when that asks for less memory than a guess.
  const guess = Math.max(4096, frame.length * 8);
  const expected = Math.min(maxBytes, guess, statedContentBytes(frame) ?? guess);
  try {
    return zlib.zstdDecompressSync(frame, {
      maxOutputLength: Math.max(1, maxBytes),
      chunkSize: Math.max(64, expected + 64),
    });
  } catch (error) {
    throw new HoldfastError("FILE_DAMAGED", "compressed data is damaged or larger than stated", {
      cause: error,
    });
  }
}

interface ZlibHandle {
  /** Called synchronously when the data is damaged. */
  onerror: (message: string) => void;
  reset(): void;
  writeSync(
    flush: number,
    input: Uint8Array,
    inputOffset: number,
    inputLength: number,
    output: Uint8Array,
    outputOffset: number,
    outputLength: number,
  ): void;
}

interface ZlibStream {
  _handle: ZlibHandle;
  /** [output bytes left, input bytes left] after each write. */
  _writeState: Uint32Array;
}

const FLUSH_END = zlib.constants.ZSTD_e_end;

/** Where the rest of a frame goes that found no room, and a frame of which nobody knows how much room it needs. */
const SPARE = Buffer.alloc(64 << 10);

/** Keeps one zstd context of Node alive and runs it to the end on one input at a time. */
class ReusedStream {
  readonly #create: () => unknown;
  #stream: ZlibStream | undefined;
  #failed = false;

  constructor(create: () => unknown) {
    this.#create = create;
  }

  /** Bytes of one frame, or undefined when the output was too small. */
  compress(input: Uint8Array, output: Uint8Array): number | undefined {
    // No reset: Node's drops the level. A frame that was written to its end leaves the context ready for the next.
    let [outputLeft, inputLeft] = this.#write(input, output);
    if (outputLeft > 0 && inputLeft === 0) return this.#done(output.length - outputLeft);
    // No frame is so long that this many rounds do not end it.
    for (let rounds = 4 + input.length / 4096; outputLeft === 0 && !this.#failed; rounds--) {
      [outputLeft, inputLeft] = this.#write(input.subarray(input.length - inputLeft), SPARE);
      if (rounds <= 0) this.#failed = true;
    }
    return this.#done(undefined);
  }

  /**
   * True when the whole frame `input`, which states that it has `output.length` bytes or nothing about it, gives exactly
   * these. Resets only when it must: a frame that states its size, or that left room, is surely at its end.
   */
  decompress(input: Uint8Array, output: Uint8Array, stated: boolean): boolean {
    if (!stated && output.length < SPARE.length) {
      const [spareLeft, inputLeft] = this.#write(input, SPARE);
      if (spareLeft === 0 || inputLeft > 0) this.#failed = true;
      if (this.#done(0) === undefined || SPARE.length - spareLeft !== output.length) return false;
      output.set(SPARE.subarray(0, output.length));
      return true;
    }
    const [outputLeft, inputLeft] = this.#write(input, output);
    if (outputLeft > 0 || inputLeft > 0) this.#failed = true;
    const done = this.#done(0) !== undefined;
    if (!stated) this.#stream?._handle.reset();
    return done;
  }

  #write(input: Uint8Array, output: Uint8Array): [outputLeft: number, inputLeft: number] {
    const stream = (this.#stream ??= this.#open());
    stream._handle.writeSync(FLUSH_END, input, 0, input.length, output, 0, output.length);
    const [outputLeft = 0, inputLeft = 0] = stream._writeState;
    return [outputLeft, inputLeft];
  }

  /** `bytes`, unless there was an error: that sticks to the context, so the next input starts afresh. */
  #done(bytes: number | undefined): number | undefined {
    if (!this.#failed) return bytes;
    this.#failed = false;
    this.#stream = undefined;
    return undefined;
  }

  #open(): ZlibStream {
    const stream = this.#create() as ZlibStream;
    if (typeof stream._handle?.writeSync !== "function") throw new TypeError("no zlib handle");
    if (!(stream._writeState instanceof Uint32Array)) throw new TypeError("no write state");
    stream._handle.onerror = () => (this.#failed = true);
    return stream;
  }
}

/**
 * One zstd compressor and one decompressor for the life of a thread. Not reentrant. Outputs go into memory of the
 * caller, so a run of a million blobs allocates nothing.
 */
export class ZstdContext {
  readonly #level: number;
  readonly #compressor: ReusedStream;
  readonly #decompressor: ReusedStream;
  /** True when Node's handle behaves as expected and is used; otherwise the documented functions are. */
  readonly reuses: boolean;

  constructor(level: number) {
    this.#level = level;
    const params = { [zlib.constants.ZSTD_c_compressionLevel]: level };
    this.#compressor = new ReusedStream(() => zlib.createZstdCompress({ params }));
    this.#decompressor = new ReusedStream(() => zlib.createZstdDecompress());
    this.reuses = this.#works();
  }

  /** Compresses `input` into `output`; the number of bytes, or 0 when that does not fit. */
  compress(input: Uint8Array, output: Uint8Array): number {
    if (this.reuses) return this.#compressor.compress(input, output) ?? 0;
    const frame = compressZstd(input, this.#level);
    if (frame.length >= output.length) return 0;
    output.set(frame);
    return frame.length;
  }

  /**
   * Decompresses `input`, whole frames that must give exactly `output.length` bytes. False when they do not, for
   * whatever reason: the data is damaged. (Frames of more bytes than that may pass; the caller's hash tells.)
   */
  decompress(input: Uint8Array, output: Uint8Array): boolean {
    if (this.reuses && splitFrames(input)?.length === 1) {
      const stated = statedContentBytes(input);
      if (stated !== undefined && stated !== output.length) return false;
      return this.#decompressor.decompress(input, output, stated !== undefined);
    }
    try {
      const plain = decompressZstd(input, output.length);
      if (plain.length !== output.length) return false;
      output.set(plain);
      return true;
    } catch {
      return false;
    }
  }

  #works(): boolean {
    const plain = Buffer.from("holdfast ".repeat(50), "latin1");
    const frame = Buffer.alloc(plain.length);
    const output = Buffer.alloc(plain.length);
    try {
      for (let round = 0; round < 2; round++) {
        const length = this.#compressor.compress(plain, frame);
        if (length === undefined || length === 0) return false;
        const good = frame.subarray(0, length);
        if (!asBuffer(decompressZstd(good, plain.length)).equals(plain)) return false;
        output.fill(0);
        if (!this.#decompressor.decompress(good, output, true)) return false;
        if (!output.equals(plain)) return false;
        const damaged = Buffer.from(good);
        damaged[0] = damaged[0]! ^ 0xff;
        if (this.#decompressor.decompress(damaged, output, true)) return false;
      }
    } catch {
      return false;
    }
    return true;
  }
}

/** Larger files are few. */
const SMALL_FILE_BYTES = 256 << 10;
/** From so many files on a context is worth having. */
const FILES_FEW = 8;
let filesOpened = 0;
let fileContext: ZstdContext | undefined;

/** As `decompressZstd`, for the files of a repository, of which there may be thousands: with a context that is kept. */
export function decompressFile(bytes: Uint8Array): Uint8Array {
  const stated = statedContentBytes(bytes) ?? 0;
  if (stated > 0 && stated <= SMALL_FILE_BYTES && ++filesOpened > FILES_FEW) {
    fileContext ??= new ZstdContext(1);
    const plain = Buffer.allocUnsafeSlow(stated);
    if (fileContext.decompress(bytes, plain)) return plain;
  }
  return decompressZstd(bytes);
}
