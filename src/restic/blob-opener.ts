// Opens sealed blobs in place in kernel memory, whatever their nonces (docs/formats/restic.md#crypto, #packs): for
// checking packs and for restoring. The reverse, for blobs being written, is BlobSealer.
//
// A counter mode cipher object for each blob would cost more than opening a small blob does. So one AES-256-ECB object
// turns counter blocks into keystream for the opener's whole life, and a kernel XORs it in.
// Must never: give out a byte of a blob whose tag or id is wrong.

import { createCipheriv, hash } from "node:crypto";
import type { Cipheriv } from "node:crypto";
import { HoldfastError } from "../base/errors.ts";
import { equalBytes } from "../base/bytes.ts";
import { BlobMac, MAC_BYTES } from "./blob-mac.ts";
import { releaseOutput } from "./cipher-output.ts";
import { ZstdContext } from "./compression.ts";
import { NONCE_BYTES, SEAL_BYTES, TAG_BYTES } from "./crypto.ts";
import type { MasterKey } from "./crypto.ts";
import type { Kernels } from "./kernels.ts";
import { BLOCK_BYTES, blocksOf } from "./nonce-counter.ts";

/** Keystream made at once: more would fall out of the processor's nearest cache. */
const PIECE_BYTES = 64 << 10;
const PIECE_BLOCKS: number = PIECE_BYTES / BLOCK_BYTES;

/** Bytes of kernel memory that an opener needs for itself, beside `scratch`. */
export const OPENER_BYTES: number = MAC_BYTES + TAG_BYTES + NONCE_BYTES;
/** Bytes of its keystream area: one piece, and the counter block that the next piece begins with. */
export const KEYSTREAM_BYTES: number = PIECE_BYTES + BLOCK_BYTES;

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

/** Opens blobs under one key. Not reentrant. */
export class BlobOpener {
  readonly #kernels: Kernels;
  readonly #mac: BlobMac;
  readonly #cipher: Cipheriv;
  readonly #zstd: ZstdContext = new ZstdContext(1);
  readonly #tagAt: number;
  readonly #counterAt: number;
  readonly #keystream: number;
  readonly #scratch: { at: number; bytes: number };

  constructor(options: BlobOpenerOptions) {
    this.#kernels = options.kernels;
    this.#mac = new BlobMac(options.kernels, options.key, options.at);
    this.#cipher = createCipheriv("aes-256-ecb", options.key.encrypt, null).setAutoPadding(false);
    this.#tagAt = options.at + MAC_BYTES;
    this.#counterAt = this.#tagAt + TAG_BYTES;
    this.#keystream = options.keystream;
    this.#scratch = options.scratch;
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
    if (uncompressedLength > this.#scratch.bytes) {
      throw new HoldfastError("BUG", "a blob larger than the memory to open it in");
    }
    if (length < SEAL_BYTES || !this.#authentic(at, length)) return undefined;
    const stored = { at: at + NONCE_BYTES, length: length - SEAL_BYTES };
    this.#decrypt(at, stored);
    const plain = uncompressedLength === 0 ? stored : this.#expand(stored, uncompressedLength);
    if (plain === undefined) return undefined;
    const content = this.#kernels.bytes.subarray(plain.at, plain.at + plain.length);
    return equalBytes(hash("sha256", content, "buffer"), id) ? plain : undefined;
  }

  #authentic(at: number, length: number): boolean {
    const { bytes } = this.#kernels;
    this.#mac.tag(at, at + NONCE_BYTES, length - SEAL_BYTES, this.#tagAt);
    const stored = bytes.subarray(at + length - TAG_BYTES, at + length);
    return equalBytes(stored, bytes.subarray(this.#tagAt, this.#tagAt + TAG_BYTES));
  }

  #decrypt(nonce: number, ciphertext: OpenedBlob): void {
    const { bytes, fillCounters, xor } = this.#kernels;
    const keystream = this.#keystream;
    bytes.copyWithin(this.#counterAt, nonce, nonce + NONCE_BYTES);
    for (let done = 0; done < ciphertext.length; done += PIECE_BYTES) {
      const piece = Math.min(PIECE_BYTES, ciphertext.length - done);
      const blocks = blocksOf(piece);
      // One more than needed: the next piece begins with it.
      fillCounters(this.#counterAt, keystream, blocks + 1);
      const end = keystream + blocks * BLOCK_BYTES;
      bytes.copyWithin(this.#counterAt, end, end + BLOCK_BYTES);
      const output = this.#cipher.update(bytes.subarray(keystream, end));
      bytes.set(output, keystream);
      releaseOutput(output);
      xor(ciphertext.at + done, keystream, piece);
    }
  }

  #expand(stored: OpenedBlob, uncompressedLength: number): OpenedBlob | undefined {
    const { bytes } = this.#kernels;
    const { at } = this.#scratch;
    const input = bytes.subarray(stored.at, stored.at + stored.length);
    const output = bytes.subarray(at, at + uncompressedLength);
    return this.#zstd.decompress(input, output) ? { at, length: uncompressedLength } : undefined;
  }
}
