// Writes an index file pack by pack (docs/formats/restic.md#index), straight from the packs' headers into one buffer:
// 50,000 blobs as objects would weigh more than the rest of a backup.

import { ID_BYTES, asBuffer, toHex } from "../base/bytes.ts";
import type { Id } from "../base/bytes.ts";
import { releaseMemory } from "./cipher-output.ts";
import { HEADER_ENTRY_BYTES, HEADER_ENTRY_COMPRESSED_BYTES } from "./pack-header.ts";
import type { PackBlob } from "./pack-header.ts";

const HEAD = '{"packs":[';
const TAIL = "]}\n";
/** Longest text of one blob, with room to spare. */
const BLOB_TEXT_MAX = 192;

export class IndexFileBuilder {
  #buffer: Buffer;
  #length: number;
  #blobs = 0;
  #packs = 0;
  #comma = "";

  constructor() {
    this.#buffer = Buffer.allocUnsafe(64 << 10);
    this.#length = this.#buffer.write(HEAD, "latin1");
  }

  /** Blobs added so far. */
  get blobs(): number {
    return this.#blobs;
  }

  /** Adds a pack: its id (32 bytes) and its plain header, which must be one of our own making. */
  addPack(id: Uint8Array, header: Uint8Array): void {
    const entries = asBuffer(header);
    this.beginPack(toHex(id));
    let offset = 0;
    for (let at = 0; at < entries.length;) {
      const kind = entries[at]!;
      const size = kind >= 2 ? HEADER_ENTRY_COMPRESSED_BYTES : HEADER_ENTRY_BYTES;
      const length = entries.readUInt32LE(at + 1);
      this.addBlob({
        type: kind % 2 === 0 ? "data" : "tree",
        id: entries.toString("hex", at + size - ID_BYTES, at + size),
        offset,
        length,
        uncompressedLength: kind >= 2 ? entries.readUInt32LE(at + 5) : 0,
      });
      offset += length;
      at += size;
    }
    this.endPack();
  }

  /** Begins a pack of which each blob is added by itself. */
  beginPack(id: Id): void {
    this.#write(`${this.#packs++ === 0 ? "" : ","}{"id":"${id}","blobs":[`);
    this.#comma = "";
  }

  /** A blob of the pack that was begun, in ascending offsets. */
  addBlob({ type, id, offset, length, uncompressedLength }: PackBlob): void {
    const plain = uncompressedLength === 0 ? "" : `,"uncompressed_length":${uncompressedLength}`;
    this.#write(
      `${this.#comma}{"id":"${id}","type":"${type}","offset":${offset},"length":${length}${plain}}`,
    );
    this.#comma = ",";
    this.#blobs++;
  }

  /** Ends the pack that was begun. */
  endPack(): void {
    this.#write("]}");
  }

  /** The file's text. The builder must not be used afterwards. */
  finish(): Buffer {
    this.#write(TAIL);
    return this.#buffer.subarray(0, this.#length);
  }

  #write(text: string): void {
    if (this.#length + Math.max(text.length, BLOB_TEXT_MAX) > this.#buffer.length) {
      const larger = Buffer.allocUnsafe(this.#buffer.length * 2);
      larger.set(this.#buffer.subarray(0, this.#length));
      releaseMemory(this.#buffer);
      this.#buffer = larger;
    }
    this.#length += this.#buffer.write(text, this.#length, "latin1");
  }
}
