// Everything a running backup adds to a repository: packs, then the index files that name them.
//
// Worker threads seal data packs in their own memory and hand them over; trees are sealed here. `finish` resolves
// only when all packs and all index files are durable: the moment a snapshot may be written.

import type { FinishedPack, PackBuffer } from "../restic/pack-assembler.ts";
import { PackAssembler, packBufferBytes } from "../restic/pack-assembler.ts";
import { BlobSealer, SEALER_BYTES } from "../restic/blob-sealer.ts";
import { compressionLevel } from "../restic/compression.ts";
import { createKernels } from "../restic/kernels.ts";
import type { Kernels } from "../restic/kernels.ts";
import { sealSingleBlobPack } from "../restic/single-blob-pack.ts";
import { HoldfastError } from "../base/errors.ts";
import { sha256, toHex } from "../base/bytes.ts";
import type { Id } from "../base/bytes.ts";
import type { BlobIndex } from "./blob-index.ts";
import { IndexWriter } from "./index-writer.ts";
import { keyOf } from "./layout.ts";
import type { Repository } from "./repository.ts";
import { SharedBlobSet, createBlobSetMemory } from "./shared-blob-set.ts";
import type { SharedBlobSetMemory } from "./shared-blob-set.ts";

/** restic's default target size of a pack. */
export const PACK_SIZE_DEFAULT: number = 16 << 20;
/** Larger trees are sealed apart, in memory of their own. */
const TREE_MAX = 8 << 20;

export interface WriterOptions {
  repository: Repository;
  packSize: number;
  verify: boolean;
  /** Count what would be stored, store nothing. */
  dryRun?: boolean;
  signal?: AbortSignal | undefined;
}

export interface WriterCounts {
  dataBlobs: number;
  treeBlobs: number;
  /** Plaintext bytes of new blobs. */
  added: number;
  /** Stored bytes of new blobs. */
  addedPacked: number;
}

export class RepositoryWriter {
  readonly claims: SharedBlobSetMemory = createBlobSetMemory();
  readonly counts: WriterCounts = { dataBlobs: 0, treeBlobs: 0, added: 0, addedPacked: 0 };
  readonly #options: WriterOptions;
  readonly #indexWriter: IndexWriter;
  readonly #claimed: SharedBlobSet = new SharedBlobSet(this.claims);
  #index: BlobIndex | undefined;
  #trees: { json: Uint8Array; id: Uint8Array }[] = [];
  #treeBytes = 0;
  #sealer: TreeSealer | undefined;
  readonly #storing = new Set<Promise<void>>();
  #failure: unknown;

  constructor(options: WriterOptions) {
    this.#options = options;
    this.#indexWriter = new IndexWriter(options.repository);
  }

  /** Index files written so far. */
  get indexFiles(): readonly Id[] {
    return this.#indexWriter.written;
  }

  /** Bytes of trees that wait to be sealed; a scan pauses while this is large. */
  get waitingTreeBytes(): number {
    return this.#treeBytes;
  }

  /** Gives the blobs the repository has; trees wait for it. */
  useIndex(index: BlobIndex): void {
    this.#index = index;
    this.#sealTrees();
  }

  /** Takes a tree blob; its id. It is stored unless the repository has it. */
  addTree(json: Uint8Array): Id {
    const id = sha256(json);
    this.#trees.push({ json, id });
    this.#treeBytes += json.length;
    this.#sealTrees();
    return toHex(id);
  }

  /** Stores a finished pack; `release` is called as soon as its memory is free again, also when storing failed. */
  storePack(
    pack: { id: Uint8Array; bytes: Uint8Array; header: Uint8Array },
    release: () => void,
  ): void {
    const { repository, signal, dryRun } = this.#options;
    const storing = (async () => {
      try {
        // Never gives the memory back before this call has returned, also when nothing is stored: the caller is at work.
        if (dryRun === true) await Promise.resolve();
        else await repository.storage.put(keyOf("pack", toHex(pack.id)), pack.bytes, { signal });
      } finally {
        release();
      }
      if (dryRun !== true) await this.#indexWriter.add(pack.id, pack.header, signal);
    })();
    const settled = storing.then(
      () => {},
      (error: unknown) => {
        this.#failure ??= error;
      },
    );
    this.#storing.add(settled);
    void settled.then(() => this.#storing.delete(settled));
  }

  /** Throws the first failure to store, so that a long run ends soon. */
  check(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Waits until one of the packs under way is stored. */
  async settleOne(): Promise<void> {
    if (this.#storing.size > 0) await Promise.race(this.#storing);
    this.check();
  }

  /** Makes everything durable: the last packs, then the index. */
  async finish(): Promise<void> {
    if (this.#trees.length > 0 && this.#index === undefined) {
      throw new HoldfastError("BUG", "trees wait for an index that never came");
    }
    while (this.#trees.length > 0) {
      this.#sealTrees();
      if (this.#trees.length > 0) await this.settleOne();
    }
    this.#sealer?.assembler.flush();
    while (this.#storing.size > 0) await this.settleOne();
    this.check();
    await this.#indexWriter.flush(this.#options.signal);
  }

  /** After a failed or cancelled run: names what is durable in the index, so that the next run need not store it again. */
  async salvage(signal: AbortSignal): Promise<void> {
    const late = new Promise<void>((resolve) => {
      signal.addEventListener("abort", () => resolve(), { once: true });
    });
    while (this.#storing.size > 0 && !signal.aborted) await Promise.race([...this.#storing, late]);
    await this.#indexWriter.flush(signal);
  }

  #sealTrees(): void {
    const index = this.#index;
    if (index === undefined) return;
    while (this.#trees.length > 0) {
      const { json, id } = this.#trees[0]!;
      const known = index.has("tree", id) || !this.#claimTree(id);
      if (!known && !this.#sealTree(json, id)) return;
      this.#trees.shift();
      this.#treeBytes -= json.length;
    }
  }

  #pendingClaim: Uint8Array | undefined;

  /** Claims once per waiting tree: it may come back here until a buffer is free. */
  #claimTree(id: Uint8Array): boolean {
    if (this.#pendingClaim === id) return true;
    // Trees and data share the set: a mark keeps equal ids of the two kinds apart.
    const marked = Buffer.from(id);
    marked[31] = marked[31]! ^ 0xff;
    if (!this.#claimed.claim(marked)) return false;
    this.#pendingClaim = id;
    return true;
  }

  /** False when no pack buffer is free for now. */
  #sealTree(json: Uint8Array, id: Uint8Array): boolean {
    let stored: number;
    if (json.length > TREE_MAX) {
      const { repository } = this.#options;
      const pack = sealSingleBlobPack({
        key: repository.key,
        random: repository.machine.random,
        version: repository.config.version,
        type: "tree",
        id,
        plain: json,
      });
      stored = pack.blobLength;
      this.storePack(pack, () => {});
    } else {
      this.#sealer ??= createTreeSealer(this.#options, (pack, kernels) => {
        const bytes = kernels.bytes.subarray(pack.buffer.at, pack.buffer.at + pack.length);
        this.storePack({ id: pack.id, bytes, header: pack.header }, () => {
          this.#sealer!.free.push(pack.buffer);
          this.#sealTrees();
        });
      });
      const { assembler, free } = this.#sealer;
      if (free.length === 0 && assembler.needsBuffer(json.length)) return false;
      stored = this.#sealer.add(json, id);
    }
    this.counts.treeBlobs++;
    this.counts.added += json.length;
    this.counts.addedPacked += stored;
    return true;
  }
}

interface TreeSealer {
  assembler: PackAssembler;
  free: PackBuffer[];
  /** Stored bytes. */
  add(json: Uint8Array, id: Uint8Array): number;
}

function createTreeSealer(
  options: WriterOptions,
  onPack: (pack: FinishedPack, kernels: Kernels) => void,
): TreeSealer {
  const { repository, verify } = options;
  const bufferBytes = packBufferBytes(options.packSize, TREE_MAX);
  const kernels = createKernels({ bytes: 4096 + 2 * TREE_MAX + 2 * bufferBytes });
  const input = kernels.base + 4096;
  const scratch = { at: input + TREE_MAX, bytes: TREE_MAX };
  const packs = scratch.at + scratch.bytes;
  const free = [0, 1].map((i) => ({ at: packs + i * bufferBytes, bytes: bufferBytes }));
  if (SEALER_BYTES > 4096) throw new RangeError("no room for the sealer");
  const sealer = new BlobSealer({
    kernels,
    key: repository.key,
    version: repository.config.version,
    level: compressionLevel(repository.compression),
    start: repository.machine.random(16),
    at: kernels.base,
    scratch,
    verify,
  });
  const assembler = new PackAssembler({
    kernels,
    key: repository.key,
    sealer,
    random: repository.machine.random,
    type: "tree",
    packSize: options.packSize,
    takeBuffer: () => free.pop()!,
    onPack: (pack) => onPack(pack, kernels),
  });
  return {
    assembler,
    free,
    add(json, id) {
      kernels.bytes.set(json, input);
      return assembler.add(id, input, json.length);
    },
  };
}
