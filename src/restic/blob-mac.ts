// Tags of blobs in kernel memory (docs/formats/restic.md#crypto): Poly1305 under r ‖ AES-128(mac.k, nonce), with one
// long-lived cipher object, because making one costs far more than a small blob's tag.

import { createCipheriv } from "node:crypto";
import type { Cipheriv } from "node:crypto";
import { NONCE_BYTES } from "./crypto.ts";
import type { MasterKey } from "./crypto.ts";
import type { Kernels } from "./kernels.ts";

/** Bytes of kernel memory that a BlobMac needs for itself. */
export const MAC_BYTES = 32;

/** Computes tags under one key. Not reentrant. */
export class BlobMac {
  readonly #kernels: Kernels;
  readonly #ecb: Cipheriv;
  readonly #at: number;

  /** `at`: where MAC_BYTES of kernel memory are ours. */
  constructor(kernels: Kernels, key: MasterKey, at: number) {
    this.#kernels = kernels;
    this.#ecb = createCipheriv("aes-128-ecb", key.macK, null).setAutoPadding(false);
    this.#at = at;
    kernels.bytes.set(key.macR, at);
  }

  /** Writes the tag of `length` bytes at `message` under the nonce at `nonce` to `tag`. */
  tag(nonce: number, message: number, length: number, tag: number): void {
    const { bytes } = this.#kernels;
    bytes.set(this.#ecb.update(bytes.subarray(nonce, nonce + NONCE_BYTES)), this.#at + 16);
    this.#kernels.poly1305(message, length, this.#at, tag);
  }
}
