// One AES-256-CTR stream over kernel memory, for a thread's whole life (docs/decisions/nonces.md).
//
// In counter mode decryption is encryption. Large blobs go through in pieces: a cipher returns its output as memory of
// its own, and a few pages that are given back at once cost less than megabytes do.

import { createCipheriv, createHash, hash } from "node:crypto";
import type { Cipheriv, KeyObject } from "node:crypto";
import { releaseOutput } from "./cipher-output.ts";
import { BLOCK_BYTES, blocksOf } from "./nonce-counter.ts";

const PIECE_BYTES = 64 << 10;
const PADDING = Buffer.alloc(BLOCK_BYTES);

/** Each use takes whole blocks of the stream; the rest of the last one is skipped. */
export class CounterStream {
  readonly #cipher: Cipheriv;
  readonly #bytes: Uint8Array;

  /**
   * `bytes`: the kernel memory; `start`: the first counter block. `key`: an object, because Node takes ten times as long
   * to make a cipher from the bytes of a key.
   */
  constructor(bytes: Uint8Array, key: KeyObject, start: Uint8Array) {
    this.#bytes = bytes;
    this.#cipher = createCipheriv("aes-256-ctr", key, start);
  }

  /** Encrypts or decrypts `length` bytes at `from` to `to`, which may be the same place, and may not overlap otherwise. */
  apply(from: number, to: number, length: number): void {
    for (let done = 0; done < length; done += PIECE_BYTES) {
      const output = this.#piece(from + done, Math.min(PIECE_BYTES, length - done));
      this.#bytes.set(output, to + done);
      releaseOutput(output);
    }
    this.#finishBlock(length);
  }

  /** The result for `length` bytes at `at`, which stay as they are. Release it after use. */
  read(at: number, length: number): Buffer {
    const output = this.#piece(at, length);
    this.#finishBlock(length);
    return output;
  }

  /** SHA-256 of the result for `length` bytes at `at`, which stay as they are. */
  sha256(at: number, length: number): Buffer {
    if (length <= PIECE_BYTES) {
      const output = this.read(at, length);
      const digest = hash("sha256", output, "buffer");
      releaseOutput(output);
      return digest;
    }
    const digest = createHash("sha256");
    for (let done = 0; done < length; done += PIECE_BYTES) {
      const output = this.#piece(at + done, Math.min(PIECE_BYTES, length - done));
      digest.update(output);
      releaseOutput(output);
    }
    this.#finishBlock(length);
    return digest.digest();
  }

  /** Leaves one block unused. */
  skipBlock(): void {
    this.#cipher.update(PADDING);
  }

  #piece(at: number, length: number): Buffer {
    return this.#cipher.update(this.#bytes.subarray(at, at + length));
  }

  #finishBlock(length: number): void {
    const padding = blocksOf(length) * BLOCK_BYTES - length;
    if (padding > 0) this.#cipher.update(PADDING.subarray(0, padding));
  }
}
