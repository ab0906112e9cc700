// Proves many small blobs at once (docs/formats/restic.md#crypto, #packs). A cipher object for each, as BlobOpener makes it,
// costs more than all the rest of a blob of a few hundred bytes, and millions of them are more than the garbage collector
// likes. Here the counter blocks of many blobs, whatever their nonces, go through AES in one call, and so do the nonces that
// their tags' keys come from.
//
// Must never: call a blob sound of which the tag or the id is wrong.

import { createCipheriv } from "node:crypto";
import type { Cipheriv } from "node:crypto";
import { isSha256Of } from "../base/bytes.ts";
import { releaseOutput } from "./cipher-output.ts";
import { ZstdContext } from "./compression.ts";
import { NONCE_BYTES, SEAL_BYTES, TAG_BYTES } from "./crypto.ts";
import type { MasterKey } from "./crypto.ts";
import type { Kernels } from "./kernels.ts";
import { BLOCK_BYTES } from "./nonce-counter.ts";

/** Stored bytes up to which a blob is small: beyond, a cipher of its own is faster than exclusive-or in JavaScript. */
export const SMALL_BLOB_BYTES: number = 4096;
/** Bytes of kernel memory that it needs for itself, beside `scratch`. */
export const SMALL_BLOBS_BYTES: number = 2 * BLOCK_BYTES + TAG_BYTES;

/** Counter blocks and blobs that go through AES together. */
const BLOCKS_MAX = 4096;
const BLOBS_MAX = 512;

export interface SmallBlobsOptions {
  kernels: Kernels;
  key: MasterKey;
  /** Where SMALL_BLOBS_BYTES of kernel memory are ours. */
  at: number;
  /** Kernel memory for plaintexts, SMALL_BLOB_BYTES longer than the largest one. */
  scratch: { at: number; bytes: number };
}

/** Blobs in kernel memory, described by a number each; the numbers are the caller's. */
export interface BlobPlaces {
  /** First of the stored bytes. */
  at(blob: number): number;
  /** Stored bytes: at most SMALL_BLOB_BYTES. */
  length(blob: number): number;
  /** 0 for a blob stored as it is. */
  uncompressedLength(blob: number): number;
  /** The SHA-256 it must have. */
  id(blob: number): Uint8Array;
}

/** Proves blobs under one key. Not reentrant. */
export class SmallBlobs {
  readonly #kernels: Kernels;
  readonly #macEcb: Cipheriv;
  readonly #ecb: Cipheriv;
  readonly #zstd: ZstdContext = new ZstdContext(1);
  readonly #at: number;
  readonly #scratch: { at: number; bytes: number };
  readonly #nonces: Buffer = Buffer.alloc(BLOBS_MAX * NONCE_BYTES);
  readonly #counters: Buffer = Buffer.alloc(BLOCKS_MAX * BLOCK_BYTES);

  constructor({ kernels, key, at, scratch }: SmallBlobsOptions) {
    this.#kernels = kernels;
    this.#macEcb = createCipheriv("aes-128-ecb", key.macK, null).setAutoPadding(false);
    this.#ecb = createCipheriv("aes-256-ecb", key.encrypt, null).setAutoPadding(false);
    this.#at = at;
    this.#scratch = scratch;
    kernels.bytes.set(key.macR, at);
  }

  /** The blobs of `blobs` that are damaged in any way. All stay as they are. */
  findDamaged(blobs: Iterable<number>, places: BlobPlaces): number[] {
    const damaged: number[] = [];
    const group: number[] = [];
    let blocks = 0;
    for (const blob of blobs) {
      const needed = blocksIn(places.length(blob));
      if (group.length === BLOBS_MAX || blocks + needed > BLOCKS_MAX) {
        this.#group(group, blocks, places, damaged);
        group.length = 0;
        blocks = 0;
      }
      group.push(blob);
      blocks += needed;
    }
    if (group.length > 0) this.#group(group, blocks, places, damaged);
    return damaged;
  }

  #group(group: readonly number[], blocks: number, places: BlobPlaces, damaged: number[]): void {
    const { bytes } = this.#kernels;
    for (let i = 0; i < group.length; i++) {
      const nonce = places.at(group[i]!);
      for (let byte = 0; byte < NONCE_BYTES; byte++) {
        this.#nonces[i * NONCE_BYTES + byte] = bytes[nonce + byte]!;
      }
    }
    const macKeys = this.#macEcb.update(this.#nonces.subarray(0, group.length * NONCE_BYTES));
    let block = 0;
    for (let i = 0; i < group.length; i++) {
      block = this.#count(i, blocksIn(places.length(group[i]!)), block);
    }
    const keystream = this.#ecb.update(this.#counters.subarray(0, blocks * BLOCK_BYTES));
    block = 0;
    for (let i = 0; i < group.length; i++) {
      const blob = group[i]!;
      const length = places.length(blob);
      const isSound =
        length >= SEAL_BYTES &&
        this.#isAuthentic(places.at(blob), length, macKeys, i) &&
        this.#isContent(blob, places, keystream, block * BLOCK_BYTES);
      if (!isSound) damaged.push(blob);
      block += blocksIn(length);
    }
    releaseOutput(macKeys);
    releaseOutput(keystream);
  }

  /**
   * Writes `blocks` counter blocks from the nonce of the group's `i`th blob on, as block number `to`; the next number. The
   * nonce serves as the counter where it carries, and is lost.
   */
  #count(i: number, blocks: number, to: number): number {
    const counters = this.#counters;
    const nonces = this.#nonces;
    let low = nonces.readUInt32BE(i * NONCE_BYTES + 12);
    for (let block = 0; block < blocks; block++) {
      const at = (to + block) * BLOCK_BYTES;
      for (let byte = 0; byte < 12; byte++) counters[at + byte] = nonces[i * NONCE_BYTES + byte]!;
      counters[at + 12] = low >>> 24;
      counters[at + 13] = low >>> 16;
      counters[at + 14] = low >>> 8;
      counters[at + 15] = low;
      low = (low + 1) >>> 0;
      if (low === 0) carry(nonces, i * NONCE_BYTES + 11);
    }
    return to + blocks;
  }

  #isAuthentic(at: number, length: number, macKeys: Buffer, i: number): boolean {
    const { bytes } = this.#kernels;
    const key = this.#at;
    const tag = key + 2 * BLOCK_BYTES;
    for (let byte = 0; byte < BLOCK_BYTES; byte++) {
      bytes[key + BLOCK_BYTES + byte] = macKeys[i * BLOCK_BYTES + byte]!;
    }
    this.#kernels.poly1305(at + NONCE_BYTES, length - SEAL_BYTES, key, tag);
    let difference = 0;
    for (let byte = 0; byte < TAG_BYTES; byte++) {
      difference |= bytes[tag + byte]! ^ bytes[at + length - TAG_BYTES + byte]!;
    }
    return difference === 0;
  }

  #isContent(blob: number, places: BlobPlaces, keystream: Buffer, from: number): boolean {
    const { bytes } = this.#kernels;
    const { at: target, bytes: room } = this.#scratch;
    const length = places.length(blob) - SEAL_BYTES;
    const source = places.at(blob) + NONCE_BYTES;
    for (let byte = 0; byte < length; byte++) {
      bytes[target + byte] = bytes[source + byte]! ^ keystream[from + byte]!;
    }
    let plain = bytes.subarray(target, target + length);
    const uncompressed = places.uncompressedLength(blob);
    if (uncompressed > 0) {
      if (uncompressed > room - SMALL_BLOB_BYTES) return false;
      const expanded = target + SMALL_BLOB_BYTES;
      const output = bytes.subarray(expanded, expanded + uncompressed);
      if (!this.#zstd.decompress(plain, output)) return false;
      plain = output;
    }
    return isSha256Of(plain, places.id(blob));
  }
}

/** Blocks of keystream for a blob of `length` stored bytes. */
function blocksIn(length: number): number {
  return Math.max(0, Math.ceil((length - SEAL_BYTES) / BLOCK_BYTES));
}

/** Adds one to the big-endian number that ends at `last`, of the 12 bytes before the counter's low word. */
function carry(nonces: Buffer, last: number): void {
  for (let byte = last; byte > last - 12; byte--) {
    nonces[byte] = (nonces[byte]! + 1) & 0xff;
    if (nonces[byte] !== 0) return;
  }
}
