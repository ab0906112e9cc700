// Seals blobs in place, one after the other, and checks each one before anybody relies on it
// (docs/formats/restic.md#crypto, #packs; docs/decisions/nonces.md).
//
// Writing: one AES-256-CTR stream for the life of the sealer, each blob's nonce the counter where the stream stands.
// Checking: starts from the stored bytes alone. It has its own counter, MAC key stream, decryption stream and zstd
// context, so a mistake or a flipped bit on the writing side cannot repeat itself here.
// Must never: be cloned, saved or restored; a nonce used twice reveals content.

import { createSecretKey, hash } from "node:crypto";
import { HoldfastError } from "../base/errors.ts";
import { equalBytes, toHex } from "../base/bytes.ts";
import { BlobMac } from "./blob-mac.ts";
import { releaseOutput } from "./cipher-output.ts";
import { NONCE_BYTES, SEAL_BYTES, TAG_BYTES } from "./crypto.ts";
import type { MasterKey } from "./crypto.ts";
import { ZstdContext } from "./compression.ts";
import { CounterStream } from "./counter-stream.ts";
import type { Kernels } from "./kernels.ts";
import { NonceCounter, blocksOf } from "./nonce-counter.ts";

/** Bytes of kernel memory that a sealer needs for itself, beside `scratch`. */
export const SEALER_BYTES = 128;

/** Room that sealing may need beyond the plaintext: nonce, tag and the worst growth of a small tree in zstd. */
export const SEAL_MARGIN: number = SEAL_BYTES + 64;

export interface SealerOptions {
  kernels: Kernels;
  key: MasterKey;
  /** Repository format: version 1 never compresses. */
  version: 1 | 2;
  /** zstd level for data blobs, 0 to store them as they are. Trees are always compressed (version 2). */
  level: number;
  /** 16 fresh random bytes. */
  start: Uint8Array;
  /** Where SEALER_BYTES of kernel memory are ours. */
  at: number;
  /** Kernel memory for the check's decompression: as large as the largest compressible blob. */
  scratch: { at: number; bytes: number };
  /** Check what was sealed (the default). */
  verify?: boolean;
}

export interface SealedBlob {
  /** Stored bytes, SEAL_BYTES included. */
  length: number;
  /** Plaintext length when compressed, 0 when stored as it is. */
  uncompressedLength: number;
}

const TREE_LEVEL = 3;

/** Seals blobs that lie in kernel memory into other kernel memory. Not reentrant. */
export class BlobSealer {
  readonly #kernels: Kernels;
  readonly #version: 1 | 2;
  readonly #level: number;
  readonly #counter: NonceCounter;
  readonly #stream: CounterStream;
  readonly #mac: BlobMac;
  readonly #zstd: ZstdContext;
  #treeZstd: ZstdContext | undefined;
  readonly #check: SealCheck | undefined;

  constructor(options: SealerOptions) {
    this.#kernels = options.kernels;
    this.#version = options.version;
    this.#level = options.level;
    this.#counter = new NonceCounter(options.start);
    this.#stream = new CounterStream(
      options.kernels.bytes,
      createSecretKey(options.key.encrypt),
      options.start,
    );
    this.#mac = new BlobMac(options.kernels, options.key, options.at);
    this.#zstd = new ZstdContext(options.level || TREE_LEVEL);
    this.#check = options.verify === false ? undefined : new SealCheck(options);
  }

  /**
   * Seals `length` bytes at `plain` into memory at `target`, which has room for length + SEAL_MARGIN.
   * `id` is the SHA-256 of the plaintext. Throws BUG when the check fails: memory or code cannot be trusted then.
   */
  seal(
    type: "data" | "tree",
    id: Uint8Array,
    plain: number,
    length: number,
    target: number,
  ): SealedBlob {
    const at = target + NONCE_BYTES;
    const compressed = this.#compress(type, plain, length, at);
    return compressed === 0
      ? this.#encrypt(id, { from: plain, stored: length, uncompressedLength: 0 }, target)
      : this.#encrypt(id, { from: at, stored: compressed, uncompressedLength: length }, target);
  }

  /**
   * Seals content that is compressed already, `length` bytes at `compressed` of a blob of `uncompressedLength` bytes, into
   * memory at `target`, which has room for length + SEAL_MARGIN. Only for format 2. Throws as `seal` does.
   */
  sealCompressed(
    id: Uint8Array,
    compressed: number,
    length: number,
    uncompressedLength: number,
    target: number,
  ): SealedBlob {
    if (this.#version === 1 || uncompressedLength === 0) {
      throw new HoldfastError("BUG", "a blob that may not be compressed");
    }
    return this.#encrypt(id, { from: compressed, stored: length, uncompressedLength }, target);
  }

  #encrypt(
    id: Uint8Array,
    content: { from: number; stored: number; uncompressedLength: number },
    target: number,
  ): SealedBlob {
    const { from, stored, uncompressedLength } = content;
    const at = target + NONCE_BYTES;
    if (this.#counter.isZero) {
      this.#stream.skipBlock();
      this.#counter.advance(1);
    }
    this.#counter.write(this.#kernels.bytes, target);
    this.#stream.apply(from, at, stored);
    this.#counter.advance(blocksOf(stored));
    this.#mac.tag(target, at, stored, at + stored);
    const sealed = { length: stored + SEAL_BYTES, uncompressedLength };
    this.#check?.run(id, target, sealed);
    return sealed;
  }

  /** Compressed length at `at`, or 0 when the blob is to be stored as it is. */
  #compress(type: "data" | "tree", plain: number, length: number, at: number): number {
    if (this.#version === 1 || length === 0) return 0;
    const { bytes } = this.#kernels;
    const input = bytes.subarray(plain, plain + length);
    if (type === "tree") {
      this.#treeZstd ??= new ZstdContext(TREE_LEVEL);
      return this.#treeZstd.compress(input, bytes.subarray(at, at + length + 64));
    }
    if (this.#level === 0 || this.#kernels.looksIncompressible(plain, length)) return 0;
    return this.#zstd.compress(input, bytes.subarray(at, at + length));
  }
}

/** Opens again what was just sealed, from the stored bytes and the key alone. */
class SealCheck {
  readonly #kernels: Kernels;
  readonly #stream: CounterStream;
  readonly #mac: BlobMac;
  readonly #zstd: ZstdContext = new ZstdContext(1);
  readonly #tagAt: number;
  readonly #scratch: { at: number; bytes: number };
  #next: bigint;

  constructor(options: SealerOptions) {
    this.#kernels = options.kernels;
    // A stream of its own, that shares nothing with the sealer's.
    this.#stream = new CounterStream(
      options.kernels.bytes,
      createSecretKey(options.key.encrypt),
      options.start,
    );
    this.#mac = new BlobMac(options.kernels, options.key, options.at + 48);
    this.#tagAt = options.at + 96;
    this.#scratch = options.scratch;
    this.#next = BigInt(`0x${toHex(options.start)}`);
  }

  run(id: Uint8Array, target: number, sealed: SealedBlob): void {
    const { bytes } = this.#kernels;
    const at = target + NONCE_BYTES;
    const length = sealed.length - SEAL_BYTES;
    this.#nonce(bytes.subarray(target, at), length);
    this.#mac.tag(target, at, length, this.#tagAt);
    const tag = bytes.subarray(at + length, at + length + TAG_BYTES);
    if (!equalBytes(tag, bytes.subarray(this.#tagAt, this.#tagAt + TAG_BYTES))) broken("its tag");

    const digest =
      sealed.uncompressedLength === 0
        ? this.#stream.sha256(at, length)
        : this.#decompressedHash(at, length, sealed.uncompressedLength);
    if (!equalBytes(digest, id)) broken("its content");
  }

  #nonce(stored: Uint8Array, length: number): void {
    if (this.#next === 0n) {
      this.#next = 1n;
      this.#stream.skipBlock();
    }
    if (toHex(stored) !== this.#next.toString(16).padStart(32, "0")) broken("its nonce");
    this.#next = BigInt.asUintN(128, this.#next + BigInt(blocksOf(length)));
  }

  #decompressedHash(at: number, length: number, plainLength: number): Buffer {
    if (plainLength > this.#scratch.bytes) broken("its length");
    const output = this.#kernels.bytes.subarray(this.#scratch.at, this.#scratch.at + plainLength);
    const opened = this.#stream.read(at, length);
    if (!this.#zstd.decompress(opened, output)) broken("its compressed form");
    releaseOutput(opened);
    return hash("sha256", output, "buffer");
  }
}

function broken(what: string): never {
  throw new HoldfastError("BUG", `a blob just sealed does not open again: ${what} is wrong`, {
    hint: "Nothing damaged was stored. Check this machine's memory, then report this.",
  });
}
