// Snappy in its framing format, as Barman writes it: chunks of at most 64 KiB, each with a CRC-32C of its content
// (github.com/google/snappy: framing_format.txt, format_description.txt). Decoding only.

import { crc32c } from "../../base/crc32c.ts";
import { need, have, uint32, type ByteQueue } from "./byte-queue.ts";

const COMPRESSED = 0x00;
const PLAIN = 0x01;
const STREAM_IDENTIFIER = 0xff;
const SIGNATURE = "sNaPpY";

/** The largest content of one chunk. */
const CHUNK_BYTES = 65_536;
/** The largest chunk: content that did not compress, with its checksum, or the little more that snappy may need. */
const STORED_BYTES_MAX = 4 + CHUNK_BYTES + CHUNK_BYTES / 6 + 32;

/** Decodes one stream, or several one behind the other. */
export function* decodeSnappy(input: ByteQueue): Generator<Uint8Array | undefined, void> {
  let identified = false;
  while (yield* have(input, 1)) {
    const head = yield* need(input, 4);
    const kind = head[0]!;
    const length = head[1]! | (head[2]! << 8) | (head[3]! << 16);
    if (!identified && kind !== STREAM_IDENTIFIER) throw new Error("it has no stream identifier");
    if (kind === STREAM_IDENTIFIER) {
      const isSignature = length === SIGNATURE.length;
      if (!isSignature) throw new Error("its stream identifier is damaged");
      const signature = Buffer.from(yield* need(input, length)).toString("latin1");
      if (signature !== SIGNATURE) throw new Error("its stream identifier is damaged");
      identified = true;
    } else if (kind === COMPRESSED || kind === PLAIN) {
      if (length < 4 || length > STORED_BYTES_MAX)
        throw new Error("a chunk has no possible length");
      const chunk = yield* need(input, length);
      const stored = chunk.subarray(4);
      if (kind === PLAIN && stored.length > CHUNK_BYTES) throw new Error("a chunk is too large");
      const content = kind === PLAIN ? Uint8Array.from(stored) : decodeBlock(stored, CHUNK_BYTES);
      if (masked(crc32c(content)) !== uint32(chunk)) throw new Error("a checksum does not match");
      yield content;
    } else if (kind < 0x80) {
      throw new Error(`it has a chunk of an unknown kind (${kind})`);
    } else {
      // Padding, and kinds that may be skipped by those who do not know them.
      for (let left = length; left > 0; left -= Math.min(left, CHUNK_BYTES))
        yield* need(input, Math.min(left, CHUNK_BYTES));
    }
  }
  if (!identified) throw new Error("it is empty");
}

/** The checksum as it is stored: rotated and shifted, because content may hold checksums itself. */
function masked(crc: number): number {
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

/** One block of the raw format, of at most `limit` bytes of content. */
export function decodeBlock(block: Uint8Array, limit: number): Uint8Array {
  let length = 0;
  let at = 0;
  for (let shift = 0; ; shift += 7) {
    const byte = block[at++];
    if (byte === undefined || shift > 28) throw new Error("a block's length is damaged");
    length += (byte & 0x7f) * 2 ** shift;
    if (byte < 0x80) break;
  }
  if (length > limit) throw new Error("a block is too large");
  const out = new Uint8Array(length);
  let written = 0;
  while (at < block.length) {
    const tag = block[at++]!;
    let count = (tag >> 2) + 1;
    if ((tag & 3) === 0) {
      if (count > 60) {
        const extra = count - 60;
        if (at + extra > block.length) throw new Error("a block ends too early");
        count = 1;
        for (let i = 0; i < extra; i++) count += block[at + i]! * 2 ** (8 * i);
        at += extra;
      }
      if (at + count > block.length || written + count > length)
        throw new Error("a block reaches beyond its end");
      out.set(block.subarray(at, at + count), written);
      at += count;
      written += count;
      continue;
    }
    let offset: number;
    const bytes = (tag & 3) === 3 ? 4 : tag & 3;
    if (at + bytes > block.length) throw new Error("a block ends too early");
    if (bytes === 1) {
      count = ((tag >> 2) & 7) + 4;
      offset = ((tag >> 5) << 8) | block[at]!;
    } else {
      offset = block[at]! | (block[at + 1]! << 8);
      if (bytes === 4) offset += (block[at + 2]! | (block[at + 3]! << 8)) * 65_536;
    }
    at += bytes;
    if (offset === 0 || offset > written || written + count > length)
      throw new Error("a block refers to what is not there");
    written = copyWithin(out, { at: written, offset, count });
  }
  if (written !== length) throw new Error("a block is not as long as it says");
  return out;
}

/** Repeats `count` bytes from `offset` before `at`, byte after byte: source and target may overlap. The new end. */
export function copyWithin(
  out: Uint8Array,
  { at, offset, count }: { readonly at: number; readonly offset: number; readonly count: number },
): number {
  const end = at + count;
  if (offset >= count) {
    out.copyWithin(at, at - offset, end - offset);
  } else {
    for (let to = at; to < end; to++) out[to] = out[to - offset]!;
  }
  return end;
}
