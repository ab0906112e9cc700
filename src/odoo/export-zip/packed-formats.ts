// Content that is compressed already, told by its first bytes: what pictures, documents and archives begin with. To deflate it
// costs most of the time of a zip and saves some percent at most. Pure.

/** Beginnings, and what stands at which place. */
const MAGIC: readonly (readonly [at: number, bytes: Uint8Array])[] = [
  [0, Buffer.from([0xff, 0xd8, 0xff])], // JPEG
  [0, Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])], // PNG
  [0, Buffer.from("GIF8")],
  [0, Buffer.from("%PDF-")],
  [0, Buffer.from([0x50, 0x4b, 0x03, 0x04])], // ZIP, and with it the documents of Office
  [0, Buffer.from([0x1f, 0x8b])], // gzip
  [0, Buffer.from("BZh")],
  [0, Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00])], // xz
  [0, Buffer.from([0x28, 0xb5, 0x2f, 0xfd])], // zstd
  [0, Buffer.from([0x37, 0x7a, 0xbc, 0xaf, 0x27, 0x1c])], // 7z
  [0, Buffer.from("Rar!")],
  [0, Buffer.from("OggS")],
  [0, Buffer.from("wOF2")],
  [0, Buffer.from("ID3")],
  [0, Buffer.from([0x1a, 0x45, 0xdf, 0xa3])], // Matroska, WebM
  [8, Buffer.from("WEBP")],
  [4, Buffer.from("ftyp")], // MP4, HEIC, AVIF
];

/** How many first bytes `isPacked` looks at. */
export const PACKED_BYTES = 16;

/** True for content that would hardly become smaller. */
export function isPacked(start: Uint8Array): boolean {
  return MAGIC.some(([at, bytes]) =>
    bytes.every((byte, i) => at + i < start.length && start[at + i] === byte),
  );
}
