// Keys, sealing and opening (docs/formats/restic.md#crypto): AES-256-CTR, then Poly1305-AES over the ciphertext.
//
// Sealed form: nonce (16) ‖ ciphertext ‖ tag (16). This file is the plain form for small things and cold paths; blobs
// of a backup go through BlobSealer, which does the same over memory it owns. A nonce must never be used twice
// with the same key; the caller provides it.

import {
  createCipheriv,
  createDecipheriv,
  createSecretKey,
  scrypt,
  timingSafeEqual,
} from "node:crypto";
import { HoldfastError } from "../base/errors.ts";
import { asBuffer } from "../base/bytes.ts";
import { releaseMemory } from "./cipher-output.ts";
import { createKernels } from "./kernels.ts";
import type { Kernels } from "./kernels.ts";

/** The three keys of a repository, or of a password. */
export interface MasterKey {
  /** AES-256 key, 32 bytes. */
  readonly encrypt: Uint8Array;
  /** AES-128 key of the MAC, 16 bytes. */
  readonly macK: Uint8Array;
  /** Poly1305 r, 16 bytes, clamped when it is used. */
  readonly macR: Uint8Array;
}

export interface ScryptParameters {
  readonly N: number;
  readonly r: number;
  readonly p: number;
  readonly salt: Uint8Array;
}

export const NONCE_BYTES = 16;
export const TAG_BYTES = 16;
/** Bytes that sealing adds. */
export const SEAL_BYTES: number = NONCE_BYTES + TAG_BYTES;

/** Derives the keys that open a key file; runs in Node's thread pool. */
export function deriveKey(password: string, parameters: ScryptParameters): Promise<MasterKey> {
  const { N, r, p, salt } = parameters;
  return new Promise((resolve, reject) => {
    const options = { N, r, p, maxmem: 128 * N * r + 128 * r * p + (1 << 20) };
    scrypt(password, salt, 64, options, (error, bytes) => {
      if (error) reject(error);
      else resolve(splitKey(bytes));
    });
  });
}

/** A key from its 64 bytes: encrypt ‖ mac.k ‖ mac.r. */
export function splitKey(bytes: Uint8Array): MasterKey {
  return {
    encrypt: bytes.subarray(0, 32),
    macK: bytes.subarray(32, 48),
    macR: bytes.subarray(48, 64),
  };
}

// Node takes ten times as long to make a cipher from the bytes of a key as from a key object, even one made on the spot.

/** Seals `plaintext` under a nonce that was never used with this key and is not all zero. */
export function seal(key: MasterKey, plaintext: Uint8Array, nonce: Uint8Array): Uint8Array {
  if (nonce.length !== NONCE_BYTES || nonce.every((byte) => byte === 0)) {
    throw new HoldfastError("BUG", "refusing to seal under an invalid nonce");
  }
  const sealed = Buffer.allocUnsafe(plaintext.length + SEAL_BYTES);
  sealed.set(nonce, 0);
  const cipher = createCipheriv("aes-256-ctr", createSecretKey(key.encrypt), nonce);
  const ciphertext = cipher.update(plaintext);
  sealed.set(ciphertext, NONCE_BYTES);
  releaseMemory(ciphertext);
  const end = NONCE_BYTES + plaintext.length;
  sealed.set(tagOf(key, sealed.subarray(0, NONCE_BYTES), sealed.subarray(NONCE_BYTES, end)), end);
  return sealed;
}

/** The plaintext of `sealed`, or undefined when it is too short or its tag is wrong. */
export function unseal(key: MasterKey, sealed: Uint8Array): Buffer | undefined {
  if (sealed.length < SEAL_BYTES) return undefined;
  const nonce = sealed.subarray(0, NONCE_BYTES);
  const ciphertext = sealed.subarray(NONCE_BYTES, sealed.length - TAG_BYTES);
  const tag = sealed.subarray(sealed.length - TAG_BYTES);
  if (!timingSafeEqual(tagOf(key, nonce, ciphertext), tag)) return undefined;
  return createDecipheriv("aes-256-ctr", createSecretKey(key.encrypt), nonce).update(ciphertext);
}

/** One-time Poly1305 key for a nonce: r ‖ AES-128(mac.k, nonce). */
export function oneTimeKey(key: MasterKey, nonce: Uint8Array): Uint8Array {
  const cipher = createCipheriv("aes-128-ecb", createSecretKey(key.macK), null).setAutoPadding(
    false,
  );
  return Buffer.concat([key.macR, cipher.update(nonce)]);
}

function tagOf(key: MasterKey, nonce: Uint8Array, ciphertext: Uint8Array): Uint8Array {
  const kernels = scratchFor(ciphertext.length + 64);
  const keyAt = kernels.base;
  const messageAt = keyAt + 64;
  kernels.bytes.set(oneTimeKey(key, nonce), keyAt);
  kernels.bytes.set(ciphertext, messageAt);
  kernels.poly1305(messageAt, ciphertext.length, keyAt, keyAt + 32);
  return asBuffer(kernels.bytes.slice(keyAt + 32, keyAt + 48));
}

let scratch: Kernels | undefined;
let scratchBytes = 0;

/** This thread's kernel with at least `bytes` of memory; grows by doubling, so it is replaced rarely. */
function scratchFor(bytes: number): Kernels {
  if (scratch === undefined || scratchBytes < bytes) {
    scratchBytes = Math.max(1 << 18, scratchBytes);
    while (scratchBytes < bytes) scratchBytes *= 2;
    scratch = createKernels({ bytes: scratchBytes });
  }
  return scratch;
}
