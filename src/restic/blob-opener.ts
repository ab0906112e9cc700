// Opens sealed blobs in place in kernel memory, whatever their nonces (docs/formats/restic.md#crypto, #packs): for
// checking packs and for restoring. The reverse, for blobs being written, is BlobSealer.
//
// A counter mode cipher object for each blob would cost more than opening a small blob does. So one AES-256-ECB object
// turns counter blocks into keystream for the opener's whole life, and a kernel XORs it in. For a large blob the object
// costs next to nothing, and saves two passes over it.
// Must never: give out a byte of a blob whose tag or id is wrong.

import { createCipheriv, hash } from "node:crypto";
import type { Cipheriv } from "node:crypto";
import { HoldfastError } from "../base/errors.ts";
import { equalBytes } from "../base/bytes.ts";
import { BlobMac, MAC_BYTES } from "./blob-mac.ts";
import { releaseOutput } from "./cipher-output.ts";
import { ZstdContext } from "./compression.ts";
import { CounterStream } from "./counter-stream.ts";
import { NONCE_BYTES, SEAL_BYTES, TAG_BYTES } from "./crypto.ts";
import type { MasterKey } from "./crypto.ts";
import type { Kernels } from "./kernels.ts";
import { BLOCK_BYTES, blocksOf } from "./nonce-counter.ts";

/** Bytes of the keystream area: blobs up to this size are small. */
export const KEYSTREAM_BYTES: number = 64 << 10;
/** Bytes of kernel memory that an opener needs for itself, beside keystream and `scratch`. */
export const OPENER_BYTES: number = MAC_BYTES + TAG_BYTES;

/** Blobs whose keystream is made at once. */
const BATCH_MAX = 1024;

export interface BlobOpenerOptions {
  kernels: Kernels;
  key: MasterKey;
  /** Where OPENER_BYTES of kernel memory are ours. */
  at: number;
  /** Where KEYSTREAM_BYTES of kernel memory are ours. */
  keystream: number;
  /** Kernel memory for decompressed blobs: as large as the largest one. */
  scratch: { at: number; bytes: number };
}

/** A plaintext in kernel memory; it stands until the next `open` at most. */
export interface OpenedBlob {
  at: number;
  length: number;
}

/** What was made ahead for blobs that will be opened in this order. */
interface Batch {
  count: number;
  next: number;
  at: number[];
  length: number[];
  /** Where each one's keystream is. */
  keystream: number[];
  /** Each one's pad, 16 bytes. */
  pads: Uint8Array;
}

const NONE = new Uint8Array(0);

/** Opens blobs under one key. Not reentrant. */
export class BlobOpener {
  readonly #kernels: Kernels;
  readonly #key: Uint8Array;
  readonly #mac: BlobMac;
  readonly #cipher: Cipheriv;
  readonly #zstd: ZstdContext = new ZstdContext(1);
  readonly #tagAt: number;
  readonly #keystream: number;
  readonly #scratch: { at: number; bytes: number };
  readonly #batch: Batch = { count: 0, next: 0, at: [], length: [], keystream: [], pads: NONE };
  readonly #nonces: Buffer = Buffer.alloc(BATCH_MAX * NONCE_BYTES);

  constructor(options: BlobOpenerOptions) {
    this.#kernels = options.kernels;
    this.#key = options.key.encrypt;
    this.#mac = new BlobMac(options.kernels, options.key, options.at);
    this.#cipher = createCipheriv("aes-256-ecb", options.key.encrypt, null).setAutoPadding(false);
    this.#tagAt = options.at + MAC_BYTES;
    this.#keystream = options.keystream;
    this.#scratch = options.scratch;
  }

  /**
   * Makes keystream and one-time keys for blobs that will be opened next, in this order, from `blobs[from]` on: two calls of
   * ciphers for many small blobs instead of two for each. Returns the index after the last one it is ready for.
   * Opening others, or in another order, is as right and slower.
   */
  prepare(blobs: readonly { at: number; length: number }[], from: number): number {
    const { bytes, fillCounters } = this.#kernels;
    const batch = this.#batch;
    batch.count = 0;
    batch.next = 0;
    let end = this.#keystream;
    let i = from;
    for (; i < blobs.length && batch.count < BATCH_MAX; i++) {
      const { at, length } = blobs[i]!;
      if (length < SEAL_BYTES || length - SEAL_BYTES > KEYSTREAM_BYTES) continue;
      const blocks = blocksOf(length - SEAL_BYTES);
      if (end + blocks * BLOCK_BYTES > this.#keystream + KEYSTREAM_BYTES) break;
      fillCounters(at, end, blocks);
      this.#nonces.set(bytes.subarray(at, at + NONCE_BYTES), batch.count * NONCE_BYTES);
      batch.at[batch.count] = at;
      batch.length[batch.count] = length;
      batch.keystream[batch.count] = end;
      batch.count++;
      end += blocks * BLOCK_BYTES;
    }
    this.#encrypt(end - this.#keystream);
    batch.pads = this.#mac.pads(this.#nonces.subarray(0, batch.count * NONCE_BYTES));
    return i;
  }

  /**
   * Opens the `length` stored bytes at `at`, which are decrypted in place. `uncompressedLength` as in the index: 0 for
   * a blob stored as it is; more than `scratch` has is a BUG of the caller. `id` is the SHA-256 it must have. Returns
   * where the plaintext lies, or undefined when the blob is damaged in any way.
   */
  open(
    at: number,
    length: number,
    uncompressedLength: number,
    id: Uint8Array,
  ): OpenedBlob | undefined {
    const prepared = this.#prepared(at, length);
    if (!this.#authentic(at, length, uncompressedLength, prepared)) return undefined;
    const stored = { at: at + NONCE_BYTES, length: length - SEAL_BYTES };
    const plain =
      uncompressedLength === 0
        ? this.#decrypt(stored, prepared)
        : this.#expand(stored, uncompressedLength, prepared);
    if (plain === undefined) return undefined;
    const content = this.#kernels.bytes.subarray(plain.at, plain.at + plain.length);
    return equalBytes(hash("sha256", content, "buffer"), id) ? plain : undefined;
  }

  /**
   * Whether `open` would succeed, for whoever does not need the content: cheaper for large blobs. The stored bytes are
   * decrypted in place or not at all.
   */
  verify(at: number, length: number, uncompressedLength: number, id: Uint8Array): boolean {
    if (uncompressedLength !== 0 || length - SEAL_BYTES <= KEYSTREAM_BYTES) {
      return this.open(at, length, uncompressedLength, id) !== undefined;
    }
    if (!this.#authentic(at, length, 0, -1)) return false;
    return equalBytes(this.#stream(at).sha256(at + NONCE_BYTES, length - SEAL_BYTES), id);
  }

  #authentic(at: number, length: number, uncompressedLength: number, prepared: number): boolean {
    if (uncompressedLength > this.#scratch.bytes) {
      throw new HoldfastError("BUG", "a blob larger than the memory to open it in");
    }
    if (length < SEAL_BYTES) return false;
    const { bytes } = this.#kernels;
    const [message, messageLength] = [at + NONCE_BYTES, length - SEAL_BYTES];
    if (prepared < 0) this.#mac.tag(at, message, messageLength, this.#tagAt);
    else {
      const pad = this.#batch.pads.subarray(prepared * NONCE_BYTES, (prepared + 1) * NONCE_BYTES);
      this.#mac.tagWith(pad, message, messageLength, this.#tagAt);
    }
    const stored = bytes.subarray(at + length - TAG_BYTES, at + length);
    return equalBytes(stored, bytes.subarray(this.#tagAt, this.#tagAt + TAG_BYTES));
  }

  /** The number of the blob in the batch, or -1. */
  #prepared(at: number, length: number): number {
    const { count, next } = this.#batch;
    if (next >= count || this.#batch.at[next] !== at || this.#batch.length[next] !== length)
      return -1;
    this.#batch.next++;
    // The memory may hold another blob by now. The same nonce under the same key gives the same keystream.
    const { bytes } = this.#kernels;
    const nonce = this.#nonces.subarray(next * NONCE_BYTES, (next + 1) * NONCE_BYTES);
    return equalBytes(nonce, bytes.subarray(at, at + NONCE_BYTES)) ? next : -1;
  }

  /** Decrypts in place. */
  #decrypt(stored: OpenedBlob, prepared: number): OpenedBlob {
    const { at, length } = stored;
    if (length > KEYSTREAM_BYTES) {
      this.#stream(at - NONCE_BYTES).apply(at, length);
      return stored;
    }
    const { fillCounters, xor } = this.#kernels;
    if (prepared >= 0) {
      xor(at, this.#batch.keystream[prepared]!, length);
      return stored;
    }
    // What was made ahead lies where this blob's keystream goes.
    this.#batch.count = 0;
    fillCounters(at - NONCE_BYTES, this.#keystream, blocksOf(length));
    this.#encrypt(blocksOf(length) * BLOCK_BYTES);
    xor(at, this.#keystream, length);
    return stored;
  }

  /** Turns the counters in the first bytes of the keystream area into keystream. */
  #encrypt(length: number): void {
    const { bytes } = this.#kernels;
    const output = this.#cipher.update(bytes.subarray(this.#keystream, this.#keystream + length));
    bytes.set(output, this.#keystream);
    releaseOutput(output);
  }

  /** A counter stream of its own for a large blob. */
  #stream(nonce: number): CounterStream {
    const { bytes } = this.#kernels;
    return new CounterStream(bytes, this.#key, bytes.slice(nonce, nonce + NONCE_BYTES));
  }

  #expand(
    stored: OpenedBlob,
    uncompressedLength: number,
    prepared: number,
  ): OpenedBlob | undefined {
    const { bytes } = this.#kernels;
    const { at } = this.#scratch;
    const output = bytes.subarray(at, at + uncompressedLength);
    let sound: boolean;
    if (stored.length > KEYSTREAM_BYTES) {
      // Not in place: the cipher's output is all that zstd needs.
      const input = this.#stream(stored.at - NONCE_BYTES).read(stored.at, stored.length);
      sound = this.#zstd.decompress(input, output);
      releaseOutput(input);
    } else {
      this.#decrypt(stored, prepared);
      const input = bytes.subarray(stored.at, stored.at + stored.length);
      sound = this.#zstd.decompress(input, output);
    }
    return sound ? { at, length: uncompressedLength } : undefined;
  }
}
