// Index files (docs/formats/restic.md#index): which blobs are in which pack. A repository of a terabyte lists millions
// of blobs, so a file is scanned byte by byte for the exact text that restic writes; any other text of the same
// meaning is read by index-json.ts. Nothing is handed out before the whole file has proved valid.

import { ID_BYTES, toHex } from "../base/bytes.ts";
import type { Id } from "../base/bytes.ts";
import { IndexEntries } from "./index-entries.ts";
import { readIndexJson } from "./index-json.ts";
import type { PackBlob } from "./pack-header.ts";

/** A pack and its blobs. */
export interface IndexPack {
  readonly id: Id;
  readonly blobs: readonly PackBlob[];
}

/** Receives the content of an index file: each pack, followed by its blobs in ascending offsets. */
export interface IndexVisitor {
  pack(id: Id): void;
  /**
   * `type` is 0 for data, 1 for tree. `id` holds 32 bytes that are valid during the call only. `uncompressedLength` is
   * 0 for a blob that is not compressed.
   */
  blob(
    type: 0 | 1,
    id: Uint8Array,
    offset: number,
    length: number,
    uncompressedLength: number,
  ): void;
}

/** The text of an index file. Blobs are written in ascending offsets. */
export function encodeIndexFile(packs: readonly IndexPack[]): Buffer {
  const entries = packs.map(({ id, blobs }) => {
    const ordered = [...blobs].sort((a, b) => a.offset - b.offset);
    return `{"id":"${id}","blobs":[${ordered.map(encodeBlob).join(",")}]}`;
  });
  return Buffer.from(`{"packs":[${entries.join(",")}]}\n`, "latin1");
}

function encodeBlob({ id, type, offset, length, uncompressedLength }: PackBlob): string {
  const head = `{"id":"${id}","type":"${type}","offset":${offset},"length":${length}`;
  return uncompressedLength === 0
    ? `${head}}`
    : `${head},"uncompressed_length":${uncompressedLength}}`;
}

/**
 * Reads the plaintext of an index file and shows its content to `visitor`. Throws INDEX_DAMAGED before the first call
 * when anything in the file is not valid.
 */
export function decodeIndexFile(bytes: Uint8Array, visitor: IndexVisitor): void {
  const entries = scan(bytes) ?? readIndexJson(bytes);
  entries.sortByOffset();
  const id = new Uint8Array(ID_BYTES);
  let blob = 0;
  for (const pack of entries.packs) {
    visitor.pack(pack.id);
    for (; blob < pack.end; blob++) {
      entries.copyId(blob, id);
      visitor.blob(
        entries.types[blob] as 0 | 1,
        id,
        entries.offsets[blob]!,
        entries.lengths[blob]!,
        entries.uncompressedLengths[blob]!,
      );
    }
  }
  // Hundreds of files follow each other, and the garbage collector does not see how large these are.
  entries.release();
}

const text = (literal: string): Uint8Array => Buffer.from(literal, "latin1");
const HEAD = text('{"packs":[');
const PACK_ID = text('{"id":"');
const PACK_BLOBS = text('","blobs":[');
const BLOB_TYPE = text('","type":"');
const TYPE_DATA = text('data","offset":');
const TYPE_TREE = text('tree","offset":');
const LENGTH = text(',"length":');
const UNCOMPRESSED = text(',"uncompressed_length":');
const END = text("]}");
const COMMA = 0x2c;
const CLOSE_LIST = 0x5d;
const CLOSE_OBJECT = 0x7d;
const LETTER_T = 0x74;
const UINT32_MAX = 0xffff_ffff;

/** Value of each hex digit, lowercase only; 0xff for everything else. */
const HEX: Uint8Array = new Uint8Array(256).fill(0xff);
for (let digit = 0; digit < 16; digit++) HEX[digit.toString(16).charCodeAt(0)] = digit;

/** Reads exactly what restic writes; undefined for anything else. */
function scan(bytes: Uint8Array): IndexEntries | undefined {
  const scanner = new Scanner(bytes);
  return scanner.run() ? scanner.entries : undefined;
}

class Scanner {
  /** An entry has at least this many bytes, so there are never more of them. */
  static readonly #BYTES_PER_BLOB = 100;
  readonly entries: IndexEntries;
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.entries = new IndexEntries(Math.floor(bytes.length / Scanner.#BYTES_PER_BLOB) + 1);
  }

  run(): boolean {
    if (!this.#skip(HEAD)) return false;
    if (this.#bytes[this.#at] !== CLOSE_LIST) {
      do {
        if (!this.#pack()) return false;
      } while (this.#skipByte(COMMA));
    }
    if (!this.#skip(END)) return false;
    this.#skipByte(0x0a);
    return this.#at === this.#bytes.length;
  }

  #pack(): boolean {
    if (!this.#skip(PACK_ID)) return false;
    const id = this.#bytes.subarray(this.#at, this.#at + 2 * ID_BYTES);
    if (!this.#id(undefined) || !this.#skip(PACK_BLOBS)) return false;
    if (this.#bytes[this.#at] !== CLOSE_LIST) {
      do {
        if (!this.#blob()) return false;
      } while (this.#skipByte(COMMA));
    }
    this.entries.endPack(Buffer.from(id.buffer, id.byteOffset, id.length).toString("latin1"));
    return this.#skip(END);
  }

  #blob(): boolean {
    const { entries } = this;
    const blob = entries.count;
    if (!this.#skip(PACK_ID) || !this.#id(blob) || !this.#skip(BLOB_TYPE)) return false;
    const tree = this.#bytes[this.#at] === LETTER_T;
    if (!this.#skip(tree ? TYPE_TREE : TYPE_DATA)) return false;
    const offset = this.#number();
    if (offset < 0 || !this.#skip(LENGTH)) return false;
    const length = this.#number();
    if (length < 0) return false;
    let uncompressed = 0;
    if (this.#bytes[this.#at] === COMMA) {
      if (!this.#skip(UNCOMPRESSED)) return false;
      uncompressed = this.#number();
      if (uncompressed < 0) return false;
    }
    if (offset + length > UINT32_MAX) return false;
    entries.types[blob] = tree ? 1 : 0;
    entries.offsets[blob] = offset;
    entries.lengths[blob] = length;
    entries.uncompressedLengths[blob] = uncompressed;
    entries.count++;
    return this.#skipByte(CLOSE_OBJECT);
  }

  /** Reads 64 hex digits into the id of entry `blob`, or only checks them. */
  #id(blob: number | undefined): boolean {
    const bytes = this.#bytes;
    const ids = this.entries.ids;
    const from = this.#at;
    if (from + 2 * ID_BYTES > bytes.length) return false;
    let bad = 0;
    for (let i = 0; i < ID_BYTES; i++) {
      const high = HEX[bytes[from + 2 * i]!]!;
      const low = HEX[bytes[from + 2 * i + 1]!]!;
      bad |= high | low;
      if (blob !== undefined) ids[blob * ID_BYTES + i] = (high << 4) | low;
    }
    this.#at = from + 2 * ID_BYTES;
    return bad < 16;
  }

  /** A decimal number below 2^32 without leading zeros, or -1. */
  #number(): number {
    const bytes = this.#bytes;
    const from = this.#at;
    let value = 0;
    let at = from;
    for (; at - from < 11; at++) {
      const digit = bytes[at]! - 0x30;
      if (!(digit >= 0 && digit <= 9)) break;
      value = value * 10 + digit;
    }
    if (at === from || value > UINT32_MAX || (bytes[from] === 0x30 && at > from + 1)) return -1;
    this.#at = at;
    return value;
  }

  #skip(literal: Uint8Array): boolean {
    const bytes = this.#bytes;
    const at = this.#at;
    for (let i = 0; i < literal.length; i++) {
      if (bytes[at + i] !== literal[i]) return false;
    }
    this.#at = at + literal.length;
    return true;
  }

  #skipByte(byte: number): boolean {
    if (this.#bytes[this.#at] !== byte) return false;
    this.#at++;
    return true;
  }
}

/** The packs of an index file with their blobs as objects; for small files and tests. */
export function listIndexFile(bytes: Uint8Array): IndexPack[] {
  const packs: { id: Id; blobs: PackBlob[] }[] = [];
  decodeIndexFile(bytes, {
    pack: (id) => packs.push({ id, blobs: [] }),
    blob: (type, id, offset, length, uncompressedLength) => {
      const kind = type === 1 ? "tree" : "data";
      packs.at(-1)!.blobs.push({ type: kind, id: toHex(id), offset, length, uncompressedLength });
    },
  });
  return packs;
}
