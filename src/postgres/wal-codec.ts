// Compression of what lies in an archive: every kind that Barman and CloudNativePG write is read, and those that all their
// versions read, or that are worth it, are written. Output is bounded: what lies in a bucket may be a bomb. Which kinds are
// libraries and which our own: docs/decisions/dependencies.md.

import { promisify } from "node:util";
import {
  constants,
  createGunzip,
  createZstdDecompress,
  gunzip,
  gzip,
  zstdCompress,
  zstdDecompress,
} from "node:zlib";
import { HoldfastError, isHoldfastError, messageOf } from "../base/errors.ts";
import type { Compression } from "../barman/wal-name.ts";
import { ByteQueue, type Decoder } from "./compression/byte-queue.ts";
import { decodeBzip2 } from "./compression/bzip2.ts";
import { decodeLz4 } from "./compression/lz4.ts";
import { decodeSnappy } from "./compression/snappy.ts";

const gzipAsync = promisify(gzip);
const gunzipAsync = promisify(gunzip);
const zstdAsync = promisify(zstdCompress);
const unzstdAsync = promisify(zstdDecompress);

/** Output of streams comes in pieces of about this many bytes. */
const PIECE_BYTES = 256 * 1024;
/** Input is taken in steps, because all that comes of one is held: a thousand times as much at worst. */
const STEP_BYTES = 32 * 1024;

const DECODERS: Partial<Record<Compression, Decoder>> = {
  bzip2: decodeBzip2,
  lz4: decodeLz4,
  snappy: decodeSnappy,
};

/** How WAL is stored. */
export interface WalCompression {
  /** Null for content as it is. */
  readonly kind: "gzip" | "zstd" | null;
  readonly level: number;
}

/** The default: every version of Barman reads it, and higher levels cost far more time than they save space. */
export const GZIP_FAST: WalCompression = { kind: "gzip", level: 1 };

const LEVELS: Readonly<Record<"gzip" | "zstd", { default: number; max: number }>> = {
  gzip: { default: 1, max: 9 },
  zstd: { default: 3, max: 19 },
};

/** Reads "none", "gzip", "gzip:6", "zstd" or "zstd:3". Throws USAGE that names `source`. */
export function parseWalCompression(text: string, source: string): WalCompression {
  if (text === "none") return { kind: null, level: 0 };
  const [, kind, digits] = /^(gzip|zstd)(?::(\d{1,2}))?$/.exec(text) ?? [];
  if (kind === "gzip" || kind === "zstd") {
    const limits = LEVELS[kind];
    const level = digits === undefined ? limits.default : Number(digits);
    if (level >= 1 && level <= limits.max) return { kind, level };
  }
  throw new HoldfastError("USAGE", `${source}: "${text}" is no compression of WAL`, {
    hint: "Use none, gzip, gzip:1 to gzip:9, zstd, or zstd:1 to zstd:19.",
  });
}

/** The compressed content. The same content always gives the same bytes, so that storing it twice is noticed. */
export async function compressWhole(
  content: Uint8Array,
  { kind, level }: WalCompression,
): Promise<Uint8Array> {
  if (kind === null) return content;
  if (kind === "gzip") return await gzipAsync(content, { level });
  const { ZSTD_c_compressionLevel, ZSTD_c_checksumFlag } = constants;
  const params = { [ZSTD_c_compressionLevel]: level, [ZSTD_c_checksumFlag]: 1 };
  return await zstdAsync(content, { params, pledgedSrcSize: content.length });
}

/**
 * The content of a compressed object, which may have at most `limit` bytes. Throws WAL_INVALID for what is damaged, cut
 * short or larger; the message begins with `source`.
 */
export async function decompressWhole(
  content: Uint8Array,
  options: {
    readonly compression: Compression;
    /** Bytes. */
    readonly limit: number;
    readonly source?: string | undefined;
  },
): Promise<Uint8Array> {
  const { compression, limit, source } = options;
  try {
    if (compression === "gzip") return await gunzipAsync(content, { maxOutputLength: limit });
    if (compression === "zstd") return await decompressFrames(content, limit);
  } catch (error) {
    const isLarge = (error as { code?: unknown }).code === "ERR_BUFFER_TOO_LARGE";
    throw damaged(isLarge ? tooLarge(limit) : error, { compression, source });
  }
  const pieces: Uint8Array[] = [];
  let total = 0;
  for await (const piece of decompressStream([content], { compression, source })) {
    total += piece.length;
    if (total > limit) throw damaged(tooLarge(limit), { compression, source });
    pieces.push(piece);
  }
  return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces, total);
}

/** Node reads the first frame of zstd and leaves the rest. */
async function decompressFrames(content: Uint8Array, limit: number): Promise<Uint8Array> {
  const frames: Uint8Array[] = [];
  let total = 0;
  for (let at = 0; at < content.length || frames.length === 0;) {
    const options = { maxOutputLength: Math.max(1, limit - total), info: true };
    const { buffer, engine } = (await unzstdAsync(content.subarray(at), options)) as unknown as {
      readonly buffer: Uint8Array;
      readonly engine: { readonly bytesWritten: number };
    };
    at += engine.bytesWritten;
    total += buffer.length;
    if (total > limit) throw tooLarge(limit);
    frames.push(buffer);
  }
  return frames.length === 1 ? frames[0]! : Buffer.concat(frames, total);
}

interface StreamOptions {
  /** Null passes everything on as it is. */
  readonly compression: Compression | null;
  /** What is read, for people. */
  readonly source?: string | undefined;
  /** The code of errors about the content. */
  readonly code?: "WAL_INVALID" | "BACKUP_DAMAGED";
}

/**
 * The content of a compressed stream, in pieces of memory of their own. Throws WAL_INVALID, or `code`, for what is damaged or
 * cut short; errors of `input` pass as they are. Who stops early leaves nothing open.
 */
export async function* decompressStream(
  input: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  options: StreamOptions,
): AsyncGenerator<Uint8Array, void> {
  const { compression } = options;
  if (compression === null) {
    yield* input;
    return;
  }
  try {
    if (compression === "xz") yield* decodeXz(input);
    else if (compression === "gzip" || compression === "zstd") yield* inflate(input, compression);
    else yield* decode(input, DECODERS[compression]!);
  } catch (error) {
    throw isHoldfastError(error) ? error : damaged(error, options);
  }
}

async function* decode(
  input: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  decoder: Decoder,
): AsyncGenerator<Uint8Array, void> {
  const queue = new ByteQueue();
  const steps = decoder(queue);
  for await (const bytes of input) {
    if (bytes.length === 0) continue;
    queue.push(bytes);
    for (let step = steps.next(); ; step = steps.next()) {
      if (step.done === true || step.value === undefined) break;
      yield step.value;
    }
  }
  queue.ended = true;
  for (const output of steps) if (output !== undefined) yield output;
}

async function* inflate(
  input: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  kind: "gzip" | "zstd",
): AsyncGenerator<Uint8Array, void> {
  const options = { chunkSize: PIECE_BYTES };
  const engine = kind === "gzip" ? createGunzip(options) : createZstdDecompress(options);
  const output: Uint8Array[] = [];
  let fail = (_: unknown): void => {};
  engine.on("data", (bytes: Uint8Array) => output.push(bytes));
  engine.on("error", (error) => fail(error));
  const step = (start: (done: () => void) => void): Promise<void> =>
    new Promise((resolve, reject) => {
      fail = reject;
      start(resolve);
    });
  let given = 0;
  try {
    for await (const bytes of input) {
      for (let at = 0; at < bytes.length; at += STEP_BYTES) {
        const piece = bytes.subarray(at, at + STEP_BYTES);
        await step((done) => engine.write(piece, done));
        given += piece.length;
        yield* output.splice(0);
        // Node reads one frame and leaves the rest, which would be content lost without a word.
        if (engine.bytesWritten < given) throw new Error("it goes on behind its end");
      }
    }
    await step((done) => {
      if (engine.readableEnded) done();
      else engine.once("end", done);
      engine.end();
    });
    yield* output.splice(0);
  } finally {
    engine.destroy();
  }
}

async function* decodeXz(
  input: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void> {
  // What the package gives is CommonJS, whose names Node does not find by itself.
  const loaded = (await import("xz-decompress")) as unknown as {
    default: typeof import("xz-decompress");
  };
  const { XzReadableStream } = loaded.default;
  let failure: { error: unknown } | undefined;
  const source = (async function* (): AsyncGenerator<Uint8Array, void> {
    try {
      yield* input;
    } catch (error) {
      failure = { error };
      throw error;
    }
  })();
  try {
    for await (const piece of new XzReadableStream(ReadableStream.from(source))) {
      yield Uint8Array.from(piece);
    }
  } catch (error) {
    throw failure ? failure.error : new Error(xzComplaint(error), { cause: error });
  }
}

/** The library tells no more than a number of its decoder. */
function xzComplaint(error: unknown): string {
  const code = /code (\d+)/.exec(messageOf(error))?.[1];
  if (code === "8") return "it ends too early";
  if (code === "6") return "it has a checksum that is neither CRC-32 nor CRC-64";
  return code === "5" ? "it does not begin as a stream does" : "it is damaged";
}

function tooLarge(limit: number): Error {
  return new Error(`it holds more than ${limit} bytes`);
}

function damaged(
  error: unknown,
  { compression, source, code = "WAL_INVALID" }: StreamOptions,
): HoldfastError {
  const message = `${source ?? "the content"} is no sound ${compression}: ${messageOf(error)}`;
  return new HoldfastError(code, message, { cause: error });
}
