// LZ4 frames, as Barman and the lz4 program write them: blocks of at most 4 MiB, which may refer to the 64 KiB before them
// (github.com/lz4/lz4: doc/lz4_Frame_format.md, doc/lz4_Block_format.md). Decoding only; no dictionaries, no legacy frames.

import { have, need, uint32, type ByteQueue } from "./byte-queue.ts";
import { copyWithin } from "./snappy.ts";
import { Xxh32, xxh32 } from "./xxh32.ts";

const MAGIC = 0x184d2204;
const MAGIC_SKIPPABLE = 0x184d2a50;
/** How far back a block may refer. */
const WINDOW = 65_536;
const BLOCK_SIZES: readonly (number | undefined)[] = [
  undefined,
  undefined,
  undefined,
  undefined,
  1 << 16,
  1 << 18,
  1 << 20,
  1 << 22,
];

/** Decodes one frame, or several one behind the other. */
export function* decodeLz4(input: ByteQueue): Generator<Uint8Array | undefined, void> {
  let frames = 0;
  for (; yield* have(input, 1); frames++) {
    const magic = uint32(yield* need(input, 4));
    if (magic === MAGIC) yield* decodeFrame(input);
    else if ((magic & ~0xf) >>> 0 === MAGIC_SKIPPABLE) yield* skipFrame(input);
    else throw new Error("it does not begin as a frame does");
  }
  if (frames === 0) throw new Error("it is empty");
}

function* skipFrame(input: ByteQueue): Generator<undefined, void> {
  let left = uint32(yield* need(input, 4));
  while (left > 0) left -= (yield* need(input, Math.min(left, WINDOW))).length;
}

interface FrameHeader {
  readonly blockBytes: number;
  readonly independent: boolean;
  readonly blockChecksums: boolean;
  readonly contentChecksum: boolean;
  readonly contentBytes: bigint | undefined;
}

function* readHeader(input: ByteQueue): Generator<undefined, FrameHeader> {
  const [flags = 0, sizes = 0] = Uint8Array.from(yield* need(input, 2));
  const blockBytes = BLOCK_SIZES[(sizes >> 4) & 7];
  if (flags >> 6 !== 1 || (flags & 2) !== 0 || (sizes & 0x8f) !== 0 || blockBytes === undefined)
    throw new Error("its header is damaged");
  if ((flags & 1) !== 0) throw new Error("it needs a dictionary");
  const size = (flags & 8) === 0 ? new Uint8Array(0) : Uint8Array.from(yield* need(input, 8));
  const [checksum] = yield* need(input, 1);
  const header = Uint8Array.of(flags, sizes, ...size);
  if (((xxh32(header) >> 8) & 0xff) !== checksum) throw new Error("its header is damaged");
  return {
    blockBytes,
    independent: (flags & 0x20) !== 0,
    blockChecksums: (flags & 0x10) !== 0,
    contentChecksum: (flags & 4) !== 0,
    contentBytes: size.length === 0 ? undefined : Buffer.from(size).readBigUInt64LE(),
  };
}

function* decodeFrame(input: ByteQueue): Generator<Uint8Array | undefined, void> {
  const frame = yield* readHeader(input);
  const { blockBytes } = frame;
  const hash = new Xxh32();
  let total = 0n;
  // The end of what came before stands at the beginning, where a block can refer to it.
  const memory = new Uint8Array(WINDOW + blockBytes);
  let before = 0;
  for (;;) {
    const word = uint32(yield* need(input, 4));
    if (word === 0) break;
    const length = word & 0x7fffffff;
    if (length > blockBytes) throw new Error("a block is too large");
    const checksumBytes = frame.blockChecksums ? 4 : 0;
    const stored = yield* need(input, length + checksumBytes);
    const block = stored.subarray(0, length);
    if (frame.blockChecksums && xxh32(block) !== uint32(stored, length))
      throw new Error("a block's checksum does not match");
    let end = before + length;
    if (word >>> 31 === 1) memory.set(block, before);
    else end = decodeBlock(block, memory, { start: before, limit: before + blockBytes });
    const content = memory.slice(before, end);
    if (frame.contentChecksum) hash.update(content);
    total += BigInt(content.length);
    yield content;
    if (!frame.independent) {
      const keep = Math.min(WINDOW, end);
      memory.copyWithin(0, end - keep, end);
      before = keep;
    }
  }
  if (frame.contentChecksum && uint32(yield* need(input, 4)) !== hash.digest())
    throw new Error("its checksum does not match");
  if (frame.contentBytes !== undefined && frame.contentBytes !== total)
    throw new Error("it is not as long as it says");
}

/** Decodes one block into `out` from `start` on; what lies before may be referred to. The end of what was written. */
function decodeBlock(
  block: Uint8Array,
  out: Uint8Array,
  { start, limit }: { readonly start: number; readonly limit: number },
): number {
  let at = 0;
  let end = start;
  const more = (first: number): number => {
    let length = first;
    if (first !== 15) return length;
    for (;;) {
      const byte = block[at++];
      if (byte === undefined) throw new Error("a block ends too early");
      length += byte;
      if (byte !== 255) return length;
    }
  };
  while (at < block.length) {
    const token = block[at++]!;
    const literals = more(token >> 4);
    if (at + literals > block.length || end + literals > limit)
      throw new Error("a block reaches beyond its end");
    out.set(block.subarray(at, at + literals), end);
    at += literals;
    end += literals;
    // The last sequence has no match.
    if (at === block.length) return end;
    if (at + 2 > block.length) throw new Error("a block ends too early");
    const offset = block[at]! | (block[at + 1]! << 8);
    at += 2;
    const count = more(token & 15) + 4;
    if (offset === 0 || offset > end || end + count > limit)
      throw new Error("a block refers to what is not there");
    end = copyWithin(out, { at: end, offset, count });
  }
  throw new Error("a block ends too early");
}
