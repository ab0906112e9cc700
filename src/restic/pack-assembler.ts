// Collects sealed blobs into packs (docs/formats/restic.md#packs) in a few fixed buffers of kernel memory.
//
// A pack is blobs ‖ sealed header ‖ header length. The header is kept as the plain bytes it will be sealed from; the
// same bytes go to whoever writes the index. The finished header is opened again from the stored bytes with a fresh
// cipher before the pack leaves. Buffers are lent out with each finished pack and reused once given back.

import { hash } from "node:crypto";
import { HoldfastError } from "../base/errors.ts";
import { equalBytes } from "../base/bytes.ts";
import type { Random } from "../base/clock.ts";
import type { BlobSealer, SealedBlob } from "./blob-sealer.ts";
import { SEAL_MARGIN } from "./blob-sealer.ts";
import { NONCE_BYTES, SEAL_BYTES, seal, unseal } from "./crypto.ts";
import type { MasterKey } from "./crypto.ts";
import type { Kernels } from "./kernels.ts";

/** Bytes of one header entry: compressed blobs also state their plaintext length. */
const ENTRY_MAX = 41;
/** restic refuses larger headers. */
const HEADER_MAX = 16 << 20;

export interface PackBuffer {
  at: number;
  bytes: number;
}

export interface FinishedPack {
  /** SHA-256 of the pack: its name. */
  id: Uint8Array;
  buffer: PackBuffer;
  /** Bytes of the pack, from `buffer.at` on. */
  length: number;
  /** The plain header: every entry's type, lengths and id, in order. A copy. */
  header: Uint8Array;
}

export interface PackAssemblerOptions {
  kernels: Kernels;
  key: MasterKey;
  sealer: BlobSealer;
  random: Random;
  type: "data" | "tree";
  /** Close a pack once its blobs reach this many bytes. */
  packSize: number;
  /** A free buffer; called when a pack is begun. May block the thread. */
  takeBuffer: () => PackBuffer;
  /** Takes a finished pack; its buffer is lent until it is given back. */
  onPack: (pack: FinishedPack) => void;
}

/** Bytes a pack buffer needs for packs of `packSize` and blobs of up to `blobMax` bytes. */
export function packBufferBytes(packSize: number, blobMax: number): number {
  return Math.max(packSize, blobMax + SEAL_MARGIN + ENTRY_MAX + 128);
}

export class PackAssembler {
  readonly #options: PackAssemblerOptions;
  #buffer: PackBuffer | undefined;
  #used = 0;
  #header: Buffer = Buffer.allocUnsafe(1 << 12);
  #headerLength = 0;

  constructor(options: PackAssemblerOptions) {
    this.#options = options;
  }

  /** Bytes of blobs in the open pack. */
  get pending(): number {
    return this.#used;
  }

  /** True when `add` would ask for a buffer to take a blob of `length` bytes. */
  needsBuffer(length: number): boolean {
    return this.#buffer === undefined || this.#room() < length + SEAL_MARGIN;
  }

  /** Seals `length` bytes at `plain` in kernel memory into the open pack; the bytes it takes there. */
  add(id: Uint8Array, plain: number, length: number): number {
    const { sealer, type } = this.#options;
    return this.#append(id, length, (target) => sealer.seal(type, id, plain, length, target));
  }

  /** Seals `length` bytes that are compressed already into the open pack; the bytes they take there. */
  addCompressed(
    id: Uint8Array,
    compressed: number,
    length: number,
    uncompressedLength: number,
  ): number {
    const { sealer } = this.#options;
    return this.#append(id, length, (target) =>
      sealer.sealCompressed(id, compressed, length, uncompressedLength, target),
    );
  }

  #append(id: Uint8Array, length: number, seal: (target: number) => SealedBlob): number {
    const needed = length + SEAL_MARGIN;
    if (this.#buffer !== undefined && this.#room() < needed) this.flush();
    if (this.#buffer === undefined) this.#buffer = this.#options.takeBuffer();
    if (this.#room() < needed) throw new HoldfastError("BUG", "blob larger than a pack buffer");
    const sealed = seal(this.#buffer.at + this.#used);
    this.#used += sealed.length;
    this.#entry(id, sealed.length, sealed.uncompressedLength);
    if (this.#used >= this.#options.packSize - SEAL_MARGIN) this.flush();
    return sealed.length;
  }

  /** Finishes the open pack, if there is one. */
  flush(): void {
    const buffer = this.#buffer;
    if (buffer === undefined || this.#headerLength === 0) return;
    const { kernels, key, random } = this.#options;
    const header = Buffer.from(this.#header.subarray(0, this.#headerLength));
    const sealed = seal(key, header, random(NONCE_BYTES));
    const { bytes } = kernels;
    let end = buffer.at + this.#used;
    bytes.set(sealed, end);
    end += sealed.length;
    new DataView(bytes.buffer).setUint32(end, sealed.length, true);
    end += 4;
    const pack = bytes.subarray(buffer.at, end);
    checkHeader(key, pack, header, this.#used);
    this.#buffer = undefined;
    this.#used = 0;
    this.#headerLength = 0;
    const id = hash("sha256", pack, "buffer");
    this.#options.onPack({ id, buffer, length: pack.length, header });
  }

  /** Bytes left for one more blob, room for the header kept. */
  #room(): number {
    const headerEnd = this.#headerLength + 2 * ENTRY_MAX + SEAL_BYTES + 4;
    if (headerEnd > HEADER_MAX) return 0;
    return this.#buffer!.bytes - this.#used - headerEnd;
  }

  /** Appends one entry as restic lays it out. */
  #entry(id: Uint8Array, length: number, uncompressedLength: number): void {
    if (this.#headerLength + ENTRY_MAX > this.#header.length) {
      const larger = Buffer.allocUnsafe(this.#header.length * 2);
      larger.set(this.#header.subarray(0, this.#headerLength));
      this.#header = larger;
    }
    const compressed = uncompressedLength !== 0;
    const type = (this.#options.type === "tree" ? 1 : 0) + (compressed ? 2 : 0);
    let at = this.#header.writeUInt8(type, this.#headerLength);
    at = this.#header.writeUInt32LE(length, at);
    if (compressed) at = this.#header.writeUInt32LE(uncompressedLength, at);
    this.#header.set(id, at);
    this.#headerLength = at + 32;
  }
}

/** Opens the header from the end of the stored pack, as a reader would. */
function checkHeader(key: MasterKey, pack: Uint8Array, expected: Uint8Array, blobs: number): void {
  const view = new DataView(pack.buffer, pack.byteOffset, pack.length);
  const length = view.getUint32(pack.length - 4, true);
  const start = pack.length - 4 - length;
  const header = start === blobs ? unseal(key, pack.subarray(start, pack.length - 4)) : undefined;
  if (header === undefined || !equalBytes(header, expected)) {
    throw new HoldfastError("BUG", "a pack header just sealed does not open again", {
      hint: "Nothing damaged was stored. Check this machine's memory, then report this.",
    });
  }
}
