// The outer structure of zstd data (RFC 8878 §3): frames of a header, blocks and perhaps a checksum. Nothing is
// decompressed here; this only tells whether the last frame is whole.

const FRAME_MAGIC = 0xfd2fb528;
const SKIPPABLE_MAGIC = 0x184d2a50;
const RLE_BLOCK = 1;
const RESERVED_BLOCK = 3;

/**
 * The frames that `bytes` are made of, one as a rule; undefined when they are not whole frames and nothing else. A
 * decompressor tells neither a frame whose end is missing, once it has the content, nor what follows the first frame.
 */
export function splitFrames(bytes: Uint8Array): Uint8Array[] | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const frames: Uint8Array[] = [];
  let at = 0;
  do {
    const end = endOfFrame(view, at);
    if (end === undefined || end > view.byteLength) return undefined;
    frames.push(bytes.subarray(at, end));
    at = end;
  } while (at < view.byteLength);
  return frames;
}

/** Bytes of content that a frame states it has; undefined when it states none. */
export function statedContentBytes(frame: Uint8Array): number | undefined {
  const descriptor = frame[4] ?? 0;
  const fieldBytes = sizeFieldBytes(descriptor);
  const at = 5 + headerRest(descriptor) - fieldBytes;
  if (fieldBytes === 0 || at + fieldBytes > frame.length) return undefined;
  const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
  if (fieldBytes === 1) return view.getUint8(at);
  // Two bytes count from where one byte ends.
  if (fieldBytes === 2) return view.getUint16(at, true) + 256;
  return fieldBytes === 4 ? view.getUint32(at, true) : Number(view.getBigUint64(at, true));
}

/** Index after the frame at `start`, perhaps beyond the end; undefined when it is none. */
function endOfFrame(view: DataView, start: number): number | undefined {
  if (start + 8 > view.byteLength) return undefined;
  const magic = view.getUint32(start, true);
  if ((magic & 0xfffffff0) === SKIPPABLE_MAGIC) return start + 8 + view.getUint32(start + 4, true);
  if (magic !== FRAME_MAGIC) return undefined;
  const descriptor = view.getUint8(start + 4);
  let at = start + 5 + headerRest(descriptor);
  for (;;) {
    if (at + 3 > view.byteLength) return undefined;
    const block = view.getUint16(at, true) | (view.getUint8(at + 2) << 16);
    const type = (block >> 1) & 3;
    if (type === RESERVED_BLOCK) return undefined;
    at += 3 + (type === RLE_BLOCK ? 1 : block >> 3);
    if ((block & 1) === 1) return at + ((descriptor & 4) !== 0 ? 4 : 0);
  }
}

/** Bytes of a frame header after magic and descriptor: window, dictionary id, content size. */
function headerRest(descriptor: number): number {
  const singleSegment = (descriptor & 0x20) !== 0;
  const dictionaryBytes = [0, 1, 2, 4][descriptor & 3]!;
  return (singleSegment ? 0 : 1) + dictionaryBytes + sizeFieldBytes(descriptor);
}

function sizeFieldBytes(descriptor: number): number {
  const singleSegment = (descriptor & 0x20) !== 0;
  return [singleSegment ? 1 : 0, 2, 4, 8][descriptor >> 6]!;
}
