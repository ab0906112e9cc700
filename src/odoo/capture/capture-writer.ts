// Adds content and trees to a capture repository from this thread: a tick brings a few files, for which no worker is worth
// starting. One writer lives as long as the session that has the lock; its memory is made once.
//
// A file is hashed before anything of it is sealed, so what is not the content of its name never reaches a pack. Content that
// repeats is stored once. After a failure the writer must be thrown away: what it had not settled is not in the repository.

import { createHash, hash } from "node:crypto";
import { readSync } from "node:fs";
import { setImmediate as turn } from "node:timers/promises";
import { sha256, toHex } from "../../base/bytes.ts";
import type { Id } from "../../base/bytes.ts";
import { HoldfastError } from "../../base/errors.ts";
import type { BlobLookup } from "../../repository/blob-index.ts";
import { IndexWriter } from "../../repository/index-writer.ts";
import { keyOf } from "../../repository/layout.ts";
import type { Repository } from "../../repository/repository.ts";
import { BlobSealer, SEALER_BYTES } from "../../restic/blob-sealer.ts";
import { CHUNK_BYTES_MAX, CHUNK_BYTES_MIN } from "../../restic/chunker.ts";
import { compressionLevel } from "../../restic/compression.ts";
import { createKernels } from "../../restic/kernels.ts";
import type { Kernels } from "../../restic/kernels.ts";
import { PackAssembler, packBufferBytes } from "../../restic/pack-assembler.ts";
import type { FinishedPack, PackBuffer } from "../../restic/pack-assembler.ts";
import { sealSingleBlobPack } from "../../restic/single-blob-pack.ts";

/** Packs are small all the same, until they are merged: larger buffers would only take memory. */
const PACK_BYTES = CHUNK_BYTES_MAX;
const STEP = 1 << 20;
/** A whole chunk, and what is read beyond it. */
const INPUT_BYTES = CHUNK_BYTES_MAX + STEP;
const ALIGNMENT = 4096;
/** One open pack for each kind, and one more that is being stored. */
const BUFFERS = 3;
const BUFFER_BYTES = Math.ceil(packBufferBytes(PACK_BYTES, CHUNK_BYTES_MAX) / 8) * 8;
/** The sealer's own, what is read, and what its check unpacks. */
const FIXED_BYTES = ALIGNMENT + INPUT_BYTES + CHUNK_BYTES_MAX;
/** Blobs of which is remembered that they were stored: forgetting costs a second copy, never more. */
const REMEMBERED_MAX = 200_000;

/** The blobs of a content, and its length in bytes. */
export interface StoredContent {
  readonly content: readonly Id[];
  readonly size: number;
}

/** Where a writer works: about 45 MB, made once and used by one writer after the other. */
export class WriterMemory {
  #kernels: Kernels | undefined;

  /** For a writer of a repository with that polynomial. No other writer may be at work. */
  open(polynomial: bigint): Kernels {
    this.#kernels ??= createKernels({ bytes: FIXED_BYTES + BUFFERS * BUFFER_BYTES });
    this.#kernels.initChunker(polynomial);
    return this.#kernels;
  }
}

export interface CaptureWriterOptions {
  readonly repository: Repository;
  readonly memory: WriterMemory;
  /** What the repository had when the session began. */
  readonly index: BlobLookup;
  readonly signal?: AbortSignal | undefined;
}

export interface CaptureCounts {
  dataBlobs: number;
  treeBlobs: number;
  /** Plaintext bytes of new blobs. */
  added: number;
  /** Stored bytes of new blobs. */
  addedPacked: number;
}

type Kind = "data" | "tree";

export class CaptureWriter {
  readonly counts: CaptureCounts = { dataBlobs: 0, treeBlobs: 0, added: 0, addedPacked: 0 };
  readonly #options: CaptureWriterOptions;
  readonly #kernels: Kernels;
  readonly #input: number;
  readonly #assemblers: Readonly<Record<Kind, PackAssembler>>;
  readonly #free: PackBuffer[] = [];
  readonly #storing = new Set<Promise<void>>();
  readonly #stored = new Set<Id>();
  #indexWriter: IndexWriter;
  #failure: unknown;

  constructor(options: CaptureWriterOptions) {
    this.#options = options;
    const { repository } = options;
    this.#indexWriter = new IndexWriter(repository);
    if (SEALER_BYTES > ALIGNMENT) throw new HoldfastError("BUG", "no room for the sealer");
    this.#kernels = options.memory.open(repository.config.chunkerPolynomial);
    const { base } = this.#kernels;
    this.#input = base + ALIGNMENT;
    const sealer = new BlobSealer({
      kernels: this.#kernels,
      key: repository.key,
      version: repository.config.version,
      level: compressionLevel(repository.compression),
      start: repository.machine.random(16),
      at: base,
      scratch: { at: this.#input + INPUT_BYTES, bytes: CHUNK_BYTES_MAX },
    });
    for (let i = 0; i < BUFFERS; i++) {
      this.#free.push({ at: base + FIXED_BYTES + i * BUFFER_BYTES, bytes: BUFFER_BYTES });
    }
    this.#assemblers = {
      data: this.#assembler(sealer, "data"),
      tree: this.#assembler(sealer, "tree"),
    };
  }

  /** Stores the content of an open file; undefined, and nothing stored, when its SHA-1 is another one. */
  async addFile(descriptor: number, sha1: string): Promise<StoredContent | undefined> {
    const filled = this.#fill(descriptor, 0, 0);
    if (filled < INPUT_BYTES) {
      const { bytes } = this.#kernels;
      const whole = bytes.subarray(this.#input, this.#input + filled);
      if (hash("sha1", whole) !== sha1) return undefined;
      const content: Id[] = [];
      await this.#cut(filled, true, content);
      return { content, size: filled };
    }
    if ((await this.#hashLarge(descriptor)) !== sha1) return undefined;
    return await this.#addLarge(descriptor, sha1);
  }

  /** Stores content that comes in pieces. */
  async addContent(
    pieces: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  ): Promise<StoredContent> {
    const content: Id[] = [];
    let size = 0;
    let filled = 0;
    for await (const piece of pieces) {
      size += piece.length;
      for (let taken = 0; taken < piece.length;) {
        const part = piece.subarray(taken, taken + INPUT_BYTES - filled);
        this.#kernels.bytes.set(part, this.#input + filled);
        taken += part.length;
        filled += part.length;
        if (filled === INPUT_BYTES) filled = await this.#cut(filled, false, content);
      }
    }
    await this.#cut(filled, true, content);
    return { content, size };
  }

  /** Stores a tree; its id. */
  async addTree(json: Uint8Array): Promise<Id> {
    const digest = sha256(json);
    const id = toHex(digest);
    if (this.#options.index.has("tree", digest) || this.#stored.has(`tree ${id}`)) return id;
    if (json.length > CHUNK_BYTES_MAX) this.#addHugeTree(json, digest);
    else {
      await this.#room("tree", json.length);
      this.#kernels.bytes.set(json, this.#input);
      this.#count("tree", json.length, this.#assemblers.tree.add(digest, this.#input, json.length));
    }
    this.#remember(`tree ${id}`);
    return id;
  }

  /** Makes all that was added durable, and named by the index. Afterwards a snapshot may refer to it. */
  async settle(): Promise<void> {
    for (const kind of ["data", "tree"] as const) this.#assemblers[kind].flush();
    while (this.#storing.size > 0) await this.#settleOne();
    this.#check();
    await this.#indexWriter.flush(this.#options.signal);
    // A new one writes its first file soon; this one would wait longer each time.
    this.#indexWriter = new IndexWriter(this.#options.repository);
  }

  /** Waits until nothing is on its way any more, whatever comes of it: only then may another writer use the memory. */
  async idle(): Promise<void> {
    while (this.#storing.size > 0) await Promise.all(this.#storing);
  }

  #assembler(sealer: BlobSealer, type: Kind): PackAssembler {
    const { key, machine } = this.#options.repository;
    return new PackAssembler({
      kernels: this.#kernels,
      key,
      sealer,
      random: machine.random,
      type,
      packSize: PACK_BYTES,
      takeBuffer: () => this.#free.pop()!,
      onPack: (pack) => this.#storePack(pack),
    });
  }

  #storePack({ id, buffer, length, header }: FinishedPack): void {
    const bytes = this.#kernels.bytes.subarray(buffer.at, buffer.at + length);
    this.#store(id, bytes, header, () => this.#free.push(buffer));
  }

  #store(id: Uint8Array, bytes: Uint8Array, header: Uint8Array, release: () => void): void {
    const { repository, signal } = this.#options;
    const storing = (async () => {
      try {
        await repository.storage.put(keyOf("pack", toHex(id)), bytes, { signal });
      } finally {
        release();
      }
      await this.#indexWriter.add(id, header, signal);
    })().catch((error: unknown) => {
      this.#failure ??= error;
    });
    this.#storing.add(storing);
    void storing.then(() => this.#storing.delete(storing));
  }

  async #settleOne(): Promise<void> {
    if (this.#storing.size > 0) await Promise.race(this.#storing);
    this.#check();
  }

  #check(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Waits until a blob of that length can be added. */
  async #room(kind: Kind, length: number): Promise<void> {
    this.#check();
    while (this.#assemblers[kind].needsBuffer(length) && this.#free.length === 0) {
      if (this.#storing.size === 0) this.#flushOther(kind);
      await this.#settleOne();
    }
  }

  /** Both kinds hold a buffer, and nothing is on its way: the other one is closed. */
  #flushOther(kind: Kind): void {
    this.#assemblers[kind === "data" ? "tree" : "data"].flush();
  }

  /** Reads into the memory behind what is there, up to the end of the file or of the memory; bytes that are there then. */
  #fill(descriptor: number, filled: number, position: number): number {
    const { bytes } = this.#kernels;
    let at = filled;
    while (at < INPUT_BYTES) {
      const wanted = Math.min(STEP, INPUT_BYTES - at);
      const read = readSync(descriptor, bytes, this.#input + at, wanted, position + at - filled);
      if (read === 0) break;
      at += read;
    }
    return at;
  }

  async #hashLarge(descriptor: number): Promise<string> {
    const sha1 = createHash("sha1");
    for (let position = 0; ;) {
      const filled = this.#fill(descriptor, 0, position);
      sha1.update(this.#kernels.bytes.subarray(this.#input, this.#input + filled));
      position += filled;
      if (filled < INPUT_BYTES) return sha1.digest("hex");
      // Others have work to do, too.
      await turn();
    }
  }

  /** Once more from the beginning: only now it is worth storing. It is proved again, because it may have changed since. */
  async #addLarge(descriptor: number, sha1: string): Promise<StoredContent | undefined> {
    const again = createHash("sha1");
    const content: Id[] = [];
    let position = 0;
    let left = 0;
    for (;;) {
      const filled = this.#fill(descriptor, left, position);
      again.update(this.#kernels.bytes.subarray(this.#input + left, this.#input + filled));
      position += filled - left;
      const isEnd = filled < INPUT_BYTES;
      left = await this.#cut(filled, isEnd, content);
      if (isEnd) break;
      await turn();
    }
    return again.digest("hex") === sha1 ? { content, size: position } : undefined;
  }

  /** Stores the chunks of what is in the memory; bytes that are left for the next one, moved to its beginning. */
  async #cut(filled: number, isEnd: boolean, content: Id[]): Promise<number> {
    let done = 0;
    for (;;) {
      const left = filled - done;
      const cut = left < CHUNK_BYTES_MIN ? -1 : this.#kernels.findCut(this.#input + done, 0, left);
      const length = cut < 0 && isEnd ? left : cut;
      if (length <= 0) break;
      content.push(await this.#keep(this.#input + done, length));
      done += length;
    }
    this.#kernels.bytes.copyWithin(this.#input, this.#input + done, this.#input + filled);
    return filled - done;
  }

  async #keep(at: number, length: number): Promise<Id> {
    const digest = hash("sha256", this.#kernels.bytes.subarray(at, at + length), "buffer");
    const id = toHex(digest);
    if (this.#options.index.has("data", digest) || this.#stored.has(id)) return id;
    await this.#room("data", length);
    this.#count("data", length, this.#assemblers.data.add(digest, at, length));
    this.#remember(id);
    return id;
  }

  #addHugeTree(json: Uint8Array, id: Uint8Array): void {
    const { repository } = this.#options;
    const { key, machine, config } = repository;
    const pack = sealSingleBlobPack({
      key,
      random: machine.random,
      version: config.version,
      type: "tree",
      id,
      plain: json,
    });
    this.#count("tree", json.length, pack.blobLength);
    this.#store(pack.id, pack.bytes, pack.header, () => {});
  }

  #count(kind: Kind, plain: number, stored: number): void {
    if (kind === "data") this.counts.dataBlobs++;
    else this.counts.treeBlobs++;
    this.counts.added += plain;
    this.counts.addedPacked += stored;
  }

  #remember(key: string): void {
    if (this.#stored.size >= REMEMBERED_MAX) this.#stored.clear();
    this.#stored.add(key);
  }
}
