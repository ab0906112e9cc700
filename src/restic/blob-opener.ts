// Opens sealed blobs in kernel memory, whatever their nonces (docs/formats/restic.md#crypto, #packs): for
// checking packs and for restoring. The reverse, for blobs being written, is BlobSealer.
//
// Must never: give out a byte of a blob whose tag or id is wrong.

import { createSecretKey } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { HoldfastError } from "../base/errors.ts";
import { equalBytes, isSha256Of } from "../base/bytes.ts";
import { BlobMac, MAC_BYTES } from "./blob-mac.ts";
import { keepOutputMemory, releaseOutput } from "./cipher-output.ts";
import { ZstdContext } from "./compression.ts";
import { CounterStream } from "./counter-stream.ts";
import { NONCE_BYTES, SEAL_BYTES, TAG_BYTES } from "./crypto.ts";
import type { MasterKey } from "./crypto.ts";
import type { Kernels } from "./kernels.ts";

/** Bytes of kernel memory that an opener needs for itself, beside `scratch`. */
export const OPENER_BYTES: number = MAC_BYTES + TAG_BYTES;

export interface BlobOpenerOptions {
  kernels: Kernels;
  key: MasterKey;
  /** Where OPENER_BYTES of kernel memory are ours. */
  at: number;
  /** Kernel memory for decompressed blobs: as large as the largest one. */
  scratch: { at: number; bytes: number };
  /**
   * Do without the tag where the id proves as much: of blobs stored as they are, when the ids come from authenticated
   * trees (docs/decisions/restore-proof.md). Nothing reaches the decompressor without its tag.
   */
  idSuffices?: boolean;
}

/** Opens blobs under one key. Not reentrant. */
export class BlobOpener {
  readonly #kernels: Kernels;
  readonly #key: KeyObject;
  readonly #mac: BlobMac;
  readonly #zstd: ZstdContext = new ZstdContext(1);
  readonly #tagAt: number;
  readonly #scratch: { at: number; bytes: number };
  readonly #idSuffices: boolean;
  /** The plaintext given out last, when it is memory of its own. */
  #output: Buffer | undefined;

  constructor(options: BlobOpenerOptions) {
    this.#kernels = options.kernels;
    this.#key = createSecretKey(options.key.encrypt);
    this.#mac = new BlobMac(options.kernels, options.key, options.at);
    this.#tagAt = options.at + MAC_BYTES;
    this.#scratch = options.scratch;
    keepOutputMemory();
    this.#idSuffices = options.idSuffices ?? false;
  }

  /**
   * Opens the `length` stored bytes at `at`, which stay as they are. `uncompressedLength` as in the index: 0 for
   * a blob stored as it is; more than `scratch` has is a BUG of the caller. `id` is the SHA-256 it must have. Returns
   * the plaintext, which stands until the next call, or undefined when the blob is damaged in any way.
   */
  open(
    at: number,
    length: number,
    uncompressedLength: number,
    id: Uint8Array,
  ): Uint8Array | undefined {
    this.#release();
    if (length < SEAL_BYTES) return undefined;
    const untagged = this.#idSuffices && uncompressedLength === 0;
    if (!untagged && !this.#authentic(at, length, uncompressedLength)) return undefined;
    const stored = length - SEAL_BYTES;
    const plain =
      uncompressedLength === 0
        ? this.#decrypt(at, stored)
        : this.#expand(at, stored, uncompressedLength);
    return plain !== undefined && isSha256Of(plain, id) ? plain : undefined;
  }

  /**
   * Whether `open` would succeed, for whoever does not need the content: cheaper for large blobs.
   */
  verify(at: number, length: number, uncompressedLength: number, id: Uint8Array): boolean {
    if (uncompressedLength !== 0) {
      return this.open(at, length, uncompressedLength, id) !== undefined;
    }
    this.#release();
    if (!this.#authentic(at, length, 0)) return false;
    return equalBytes(this.#stream(at).sha256(at + NONCE_BYTES, length - SEAL_BYTES), id);
  }

  /**
   * Opens a blob and puts what was sealed at `target`: a compressed blob in its compressed form, which was proved by the
   * content it gives. The bytes there, or undefined when the blob is damaged in any way.
   */
  unwrap(
    at: number,
    length: number,
    uncompressedLength: number,
    id: Uint8Array,
    target: number,
  ): number | undefined {
    this.#release();
    if (!this.#authentic(at, length, uncompressedLength)) return undefined;
    const { bytes } = this.#kernels;
    const sealed = this.#stream(at).read(at + NONCE_BYTES, length - SEAL_BYTES);
    try {
      const { at: expanded } = this.#scratch;
      const plain =
        uncompressedLength === 0 ? sealed : bytes.subarray(expanded, expanded + uncompressedLength);
      if (uncompressedLength !== 0 && !this.#zstd.decompress(sealed, plain)) return undefined;
      if (!isSha256Of(plain, id)) return undefined;
      bytes.set(sealed, target);
      return sealed.length;
    } finally {
      releaseOutput(sealed);
    }
  }

  #authentic(at: number, length: number, uncompressedLength: number): boolean {
    if (uncompressedLength > this.#scratch.bytes) {
      throw new HoldfastError("BUG", "a blob larger than the memory to open it in");
    }
    if (length < SEAL_BYTES) return false;
    const { bytes } = this.#kernels;
    this.#mac.tag(at, at + NONCE_BYTES, length - SEAL_BYTES, this.#tagAt);
    const stored = bytes.subarray(at + length - TAG_BYTES, at + length);
    return equalBytes(stored, bytes.subarray(this.#tagAt, this.#tagAt + TAG_BYTES));
  }

  #release(): void {
    if (this.#output !== undefined) releaseOutput(this.#output);
    this.#output = undefined;
  }

  /** A counter stream of its own for each blob. */
  #stream(nonce: number): CounterStream {
    const { bytes } = this.#kernels;
    return new CounterStream(bytes, this.#key, bytes.slice(nonce, nonce + NONCE_BYTES));
  }

  /** The plaintext of a blob that is stored as it is, in memory of its own. */
  #decrypt(at: number, length: number): Uint8Array {
    return (this.#output = this.#stream(at).read(at + NONCE_BYTES, length));
  }

  #expand(at: number, length: number, uncompressedLength: number): Uint8Array | undefined {
    const { at: target } = this.#scratch;
    const plain = this.#kernels.bytes.subarray(target, target + uncompressedLength);
    const input = this.#stream(at).read(at + NONCE_BYTES, length);
    const sound = this.#zstd.decompress(input, plain);
    releaseOutput(input);
    return sound ? plain : undefined;
  }
}
