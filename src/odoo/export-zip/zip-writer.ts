// A zip that is written from its beginning to its end, with nothing but its directory in memory: small files whole, large
// ones as they come. Files that are compressed already are stored as they are. ZIP64 where sizes, offsets or the number of
// entries ask for it. What was written cannot be taken back: whoever adds a file has checked it.

import { createHash } from "node:crypto";
import { promisify } from "node:util";
import { crc32, deflateRaw } from "node:zlib";
import {
  encodeDataDescriptor,
  encodeDirectory,
  encodeLocalHeader,
  type WrittenZipEntry,
  type ZipContent,
  type ZipEntry,
} from "../../files/zip-entry.ts";
import { deflateBlocks } from "./deflate-blocks.ts";
import { isPacked } from "./packed-formats.ts";

const compress = promisify(deflateRaw);

/** Of a regular file that everybody may read, as Odoo makes them. */
const MODE = 0o100644;
/** The balance of time and size; 6 takes twice as long for a few percent. */
const LEVEL = 4;

/** Bytes that are handed over at once, about. */
const HELD_BYTES = 1 << 20;

export interface ZipWriterOptions {
  /** Takes the zip's bytes in order; resolves when it can take more. */
  readonly write: (bytes: Uint8Array) => Promise<void>;
  /** Milliseconds since 1970: the time of all entries. */
  readonly now: number;
  /** Pieces of a large file that are compressed at once. */
  readonly lanes: number;
  readonly signal?: AbortSignal | undefined;
}

/** A file that is ready to be written: what was slow about it is done, perhaps beside others. */
export interface PreparedFile {
  readonly entry: ZipEntry & { readonly known: ZipContent };
  readonly content: Uint8Array;
}

export class ZipWriter {
  readonly #options: ZipWriterOptions;
  readonly #written: WrittenZipEntry[] = [];
  #offset = 0;
  /** What is not handed over yet: small files would be a thousand small writes. */
  #held: Uint8Array[] = [];
  #heldBytes = 0;

  constructor(options: ZipWriterOptions) {
    this.#options = options;
  }

  /** Entries so far. */
  get entries(): number {
    return this.#written.length;
  }

  /** Bytes so far. */
  get bytes(): number {
    return this.#offset;
  }

  /** Compresses a file that is in memory, if that makes it smaller. Touches nothing of the zip. */
  async prepare(name: string, content: Uint8Array): Promise<PreparedFile> {
    const packed =
      content.length === 0 || isPacked(content)
        ? undefined
        : await compress(content, { level: LEVEL });
    const isSmaller = packed !== undefined && packed.length < content.length;
    const stored = isSmaller ? packed : content;
    const known = { crc: crc32(content), size: content.length, compressedSize: stored.length };
    const entry = this.#entry(name, isSmaller ? "deflate" : "store");
    return { entry: { ...entry, known }, content: stored };
  }

  /** Writes a file that was prepared. */
  async add({ entry, content }: PreparedFile): Promise<void> {
    const offset = this.#offset;
    await this.#write(encodeLocalHeader(entry));
    if (content.length > 0) await this.#write(content);
    this.#written.push({ ...entry, ...entry.known, offset });
  }

  /**
   * Writes a file as it comes; the SHA-1 and the size of what came. `packed` says whether it is compressed already. An error of
   * `source` leaves half an entry behind: the zip is lost.
   */
  async addStream(
    name: string,
    source: AsyncIterable<Uint8Array>,
    { packed }: { readonly packed: boolean },
  ): Promise<{ sha1: string; size: number }> {
    const { lanes, signal } = this.#options;
    const entry = this.#entry(name, packed ? "store" : "deflate");
    const offset = this.#offset;
    await this.#write(encodeLocalHeader(entry));
    const content: ZipContent = { crc: 0, size: 0, compressedSize: 0 };
    const hash = createHash("sha1");
    const counted = (async function* (): AsyncGenerator<Uint8Array, void> {
      for await (const piece of source) {
        content.crc = crc32(piece, content.crc);
        content.size += piece.length;
        hash.update(piece);
        yield piece;
      }
    })();
    const stored = packed ? counted : deflateBlocks(counted, { level: LEVEL, lanes, signal });
    for await (const piece of stored) {
      content.compressedSize += piece.length;
      await this.#write(piece);
    }
    await this.#write(encodeDataDescriptor(content));
    this.#written.push({ ...entry, ...content, offset });
    return { sha1: hash.digest("hex"), size: content.size };
  }

  /** Writes the directory, with which the zip is whole. */
  async end(): Promise<void> {
    await this.#write(encodeDirectory(this.#written, this.#offset));
    await this.#flush();
  }

  #entry(name: string, method: ZipEntry["method"]): ZipEntry {
    const { now } = this.#options;
    return {
      name: Buffer.from(name, "utf8").toString("latin1"),
      isUtf8: true,
      mode: MODE,
      isDirectory: false,
      method,
      mtime: new Date(now).toISOString(),
      seconds: Math.floor(now / 1000),
    };
  }

  async #write(bytes: Uint8Array): Promise<void> {
    this.#offset += bytes.length;
    this.#held.push(bytes);
    this.#heldBytes += bytes.length;
    if (this.#heldBytes >= HELD_BYTES) await this.#flush();
  }

  async #flush(): Promise<void> {
    const held = this.#held;
    this.#held = [];
    this.#heldBytes = 0;
    const [only, ...more] = held;
    if (only !== undefined)
      await this.#options.write(more.length === 0 ? only : Buffer.concat(held));
  }
}
