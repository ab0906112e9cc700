// Packs of blobs that are sealed already, as they come out of other packs (docs/formats/restic.md#packs): what a blob is sealed
// from does not change, so neither do its bytes. Stores them, and names each in the index once it is durable.
//
// Memory: two open packs, one for each kind, and as many as are being stored.
// Must never: take a blob that was not proved against its id just now.

import { hash } from "node:crypto";
import { HoldfastError } from "../../base/errors.ts";
import { equalBytes, toHex } from "../../base/bytes.ts";
import type { Id } from "../../base/bytes.ts";
import { releaseMemory } from "../../restic/cipher-output.ts";
import { NONCE_BYTES, seal, unseal } from "../../restic/crypto.ts";
import {
  HEADER_ENTRY_COMPRESSED_BYTES,
  HEADER_LENGTH_BYTES,
  PACK_OVERHEAD_BYTES,
} from "../../restic/pack-header.ts";
import type { BlobType } from "../../restic/pack-header.ts";
import { IndexWriter } from "../index-writer.ts";
import { keyOf } from "../layout.ts";
import type { Repository } from "../repository.ts";

export interface SealedPacksOptions {
  repository: Repository;
  /** Bytes of blobs at which a pack is closed. */
  packSize: number;
  /** Memory is short: no pack is opened while as many as keep the storage at work are being stored, one on a disk. */
  isFrugal?: boolean;
  signal?: AbortSignal | undefined;
}

export interface SealedBlob {
  type: BlobType;
  /** SHA-256 of the plaintext, 32 bytes: copied. */
  id: Uint8Array;
  /** 0 when stored as it is. */
  uncompressedLength: number;
}

/** So many entries keep a header small. */
const ENTRIES_MAX = 20_000;
const HEADER_ROOM = ENTRIES_MAX * HEADER_ENTRY_COMPRESSED_BYTES + PACK_OVERHEAD_BYTES;

interface OpenPack {
  bytes: Buffer;
  used: number;
  /** The plain header so far. */
  header: Buffer;
  headerLength: number;
  entries: number;
}

export class SealedPacks {
  /** Packs that were written. */
  count = 0;
  readonly #options: SealedPacksOptions;
  readonly #indexWriter: IndexWriter;
  readonly #open = new Map<BlobType, OpenPack>();
  readonly #free: Buffer[] = [];
  readonly #storing = new Set<Promise<void>>();
  readonly #storingMax: number;
  #failure: unknown;

  constructor(options: SealedPacksOptions) {
    this.#options = options;
    this.#indexWriter = new IndexWriter(options.repository);
    const { local, connections } = options.repository.storage.traits;
    this.#storingMax = local ? 1 : Math.min(connections, options.isFrugal === true ? 2 : 4);
  }

  /** Index files that name the new packs, after `finish`. */
  get indexFiles(): readonly Id[] {
    return this.#indexWriter.written;
  }

  /**
   * True when a blob of `length` stored bytes ends the open pack, or needs a new one, and there are packs enough on their
   * way: wait for `room`.
   */
  isFull(isTree: boolean, length: number): boolean {
    if (this.#storing.size < this.#storingMax) return false;
    const pack = this.#open.get(isTree ? "tree" : "data");
    if (this.#options.isFrugal === true) return pack === undefined;
    if (pack === undefined) return false;
    return pack.used + length >= this.#options.packSize || pack.entries + 1 >= ENTRIES_MAX;
  }

  /** Adds a blob with its stored bytes, which are copied. Wait for `room` in between, or when `isFull` says so. */
  add(blob: SealedBlob, sealed: Uint8Array): void {
    const { packSize } = this.#options;
    let pack = this.#open.get(blob.type);
    if (pack !== undefined && pack.used + sealed.length > pack.bytes.length - HEADER_ROOM) {
      this.#close(blob.type, pack);
      pack = undefined;
    }
    if (pack === undefined) {
      const header = Buffer.allocUnsafe(ENTRIES_MAX * HEADER_ENTRY_COMPRESSED_BYTES);
      const bytes = this.#buffer(sealed.length);
      pack = { bytes, used: 0, header, headerLength: 0, entries: 0 };
      this.#open.set(blob.type, pack);
    }
    pack.bytes.set(sealed, pack.used);
    pack.used += sealed.length;
    addEntry(pack, blob, sealed.length);
    if (pack.used >= packSize || pack.entries >= ENTRIES_MAX) this.#close(blob.type, pack);
  }

  /** Waits until no more packs are on their way than memory is meant for; throws what kept one from being stored. */
  async room(): Promise<void> {
    while (this.#storing.size >= this.#storingMax && this.#failure === undefined) {
      await Promise.race(this.#storing);
    }
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Closes the open packs: their memory is free for others soon. */
  flush(): void {
    for (const [type, pack] of this.#open) this.#close(type, pack);
  }

  /** Makes all packs durable, then the index files that name them. */
  async finish(): Promise<void> {
    this.flush();
    await this.settle();
    if (this.#failure !== undefined) throw this.#failure;
    await this.#indexWriter.flush(this.#options.signal);
    for (const bytes of this.#free.splice(0)) releaseMemory(bytes);
  }

  /** Waits until nothing is on its way any more, whatever comes of it. */
  async settle(): Promise<void> {
    await Promise.all(this.#storing);
  }

  #buffer(length: number): Buffer {
    const usual = this.#options.packSize + HEADER_ROOM;
    const needed = length + HEADER_ROOM;
    if (needed > usual) return Buffer.allocUnsafeSlow(needed);
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(usual);
  }

  #close(type: BlobType, pack: OpenPack): void {
    this.#open.delete(type);
    const storing = this.#store(pack).catch((error: unknown) => {
      this.#failure ??= error;
    });
    this.#storing.add(storing);
    void storing.then(() => this.#storing.delete(storing));
  }

  async #store(pack: OpenPack): Promise<void> {
    const { repository, packSize, signal } = this.#options;
    const header = pack.header.subarray(0, pack.headerLength);
    const bytes = this.#seal(pack, header);
    const id = hash("sha256", bytes, "buffer");
    await repository.storage.put(keyOf("pack", toHex(id)), bytes, { signal });
    this.count++;
    if (pack.bytes.length === packSize + HEADER_ROOM) this.#free.push(pack.bytes);
    await this.#indexWriter.add(id, header, signal);
    releaseMemory(pack.header);
  }

  /** The pack's bytes, its header behind the blobs and opened again from there. */
  #seal({ bytes, used }: OpenPack, header: Uint8Array): Uint8Array {
    const { key, machine } = this.#options.repository;
    const sealed = seal(key, header, machine.random(NONCE_BYTES));
    bytes.set(sealed, used);
    const { length } = sealed;
    const end = used + length;
    bytes.writeUInt32LE(length, end);
    releaseMemory(sealed);
    const opened = unseal(key, bytes.subarray(used, end));
    const isSound = opened !== undefined && equalBytes(opened, header);
    if (opened !== undefined) releaseMemory(opened);
    if (!isSound) {
      throw new HoldfastError("BUG", "a pack header just sealed does not open again", {
        hint: "Nothing damaged was stored. Check this machine's memory, then report this.",
      });
    }
    return bytes.subarray(0, end + HEADER_LENGTH_BYTES);
  }
}

/** Appends a header entry (docs/formats/restic.md#packs). */
function addEntry(
  pack: OpenPack,
  { type, id, uncompressedLength }: SealedBlob,
  length: number,
): void {
  const isCompressed = uncompressedLength !== 0;
  const kind = (type === "tree" ? 1 : 0) + (isCompressed ? 2 : 0);
  let at = pack.header.writeUInt8(kind, pack.headerLength);
  at = pack.header.writeUInt32LE(length, at);
  if (isCompressed) at = pack.header.writeUInt32LE(uncompressedLength, at);
  pack.header.set(id, at);
  pack.headerLength = at + id.length;
  pack.entries++;
}
