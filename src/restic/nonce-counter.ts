// The nonces of one long-lived AES-CTR stream (docs/decisions/nonces.md).
//
// A sealer starts at 16 random bytes and each blob's nonce is the counter where the stream then stands, so the whole
// run of a thread is one counter interval and no two blobs can share a counter block. The state lives in memory
// only: it is never saved and never restored, a new sealer always starts at new random bytes.

import { HoldfastError } from "../base/errors.ts";

/** AES block size, and so the step of the counter. */
export const BLOCK_BYTES = 16;

/** Counts blocks from a random start, as AES-CTR does: one 128-bit big-endian number. */
export class NonceCounter {
  readonly #words: Uint32Array;

  /** `start`: 16 random bytes. */
  constructor(start: Uint8Array) {
    if (start.length !== BLOCK_BYTES) throw new HoldfastError("BUG", "a nonce has 16 bytes");
    const view = new DataView(start.buffer, start.byteOffset, BLOCK_BYTES);
    this.#words = Uint32Array.of(
      view.getUint32(0),
      view.getUint32(4),
      view.getUint32(8),
      view.getUint32(12),
    );
  }

  /** Writes the current value to `target` at `offset`. */
  write(target: Uint8Array, offset: number): void {
    for (let i = 0; i < 4; i++) {
      const word = this.#words[i]!;
      target[offset + 4 * i] = word >>> 24;
      target[offset + 4 * i + 1] = word >>> 16;
      target[offset + 4 * i + 2] = word >>> 8;
      target[offset + 4 * i + 3] = word;
    }
  }

  /** True when the value is all zero, which readers reject as a nonce. */
  get isZero(): boolean {
    return this.#words.every((word) => word === 0);
  }

  /** Moves on by `blocks` (< 2^32), with carry through all 128 bits. */
  advance(blocks: number): void {
    let carry = blocks;
    for (let i = 3; i >= 0 && carry > 0; i--) {
      const sum = this.#words[i]! + carry;
      this.#words[i] = sum >>> 0;
      carry = sum > 0xffffffff ? 1 : 0;
    }
  }
}

/**
 * Blocks of the stream that a blob of `bytes` takes: one at least. An empty blob needs no keystream, but its tag alone
 * gives away the one-time key of its nonce, so the next blob must have another.
 */
export function blocksOf(bytes: number): number {
  return Math.max(1, Math.ceil(bytes / BLOCK_BYTES));
}
