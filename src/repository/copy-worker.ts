// A worker thread of a copy: opens blobs of the source that the main thread has read into the worker's memory, proves each
// against its id, seals it under the target's key into packs of its own, and checks what it sealed.
//
// What is compressed already stays so (docs/decisions/copy.md). While both pack buffers are being stored the thread sleeps.

import { parentPort } from "node:worker_threads";
import { systemRandom } from "../base/clock.ts";
import { isHoldfastError, messageOf } from "../base/errors.ts";
import { BlobOpener, OPENER_BYTES } from "../restic/blob-opener.ts";
import { BlobSealer, SEALER_BYTES } from "../restic/blob-sealer.ts";
import { CHUNK_BYTES_MAX } from "../restic/chunker.ts";
import { SEAL_BYTES } from "../restic/crypto.ts";
import { createKernels } from "../restic/kernels.ts";
import type { Kernels } from "../restic/kernels.ts";
import { PackAssembler, packBufferBytes } from "../restic/pack-assembler.ts";
import type { PackBuffer } from "../restic/pack-assembler.ts";
import { BlobLookup } from "./blob-index.ts";
import type { CopyReply, CopyRequest, CopyWorkerData } from "./copy-messages.ts";

const ALIGNMENT = 4096;
/** Blobs on their way: what was sealed may be larger than a chunk by what zstd adds to random bytes. */
const INPUT_BYTES = CHUNK_BYTES_MAX + (64 << 10);

const port = parentPort!;

class CopyWorker {
  readonly #data: CopyWorkerData;
  readonly #index: BlobLookup;
  readonly #kernels: Kernels;
  readonly #opener: BlobOpener;
  readonly #trees: PackAssembler;
  readonly #content: PackAssembler;
  /** Where each buffer begins in memory. */
  readonly #buffers: number[];
  readonly #packs: PackBuffer[];
  readonly #states: Int32Array;
  /** Where a blob lies between the two keys. */
  readonly #input: number;

  constructor(data: CopyWorkerData) {
    this.#data = data;
    this.#index = new BlobLookup(data.index);
    this.#states = new Int32Array(data.packs);
    const bufferBytes = align(data.bufferBytes);
    const packBytes = align(packBufferBytes(data.packSize, INPUT_BYTES));
    const own = align(OPENER_BYTES + SEALER_BYTES) + align(CHUNK_BYTES_MAX) + align(INPUT_BYTES);
    const bytes = own + data.buffers * bufferBytes + this.#states.length * packBytes;
    const kernels = createKernels({ bytes });
    this.#kernels = kernels;
    const base = kernels.base;
    const scratch = { at: base + align(OPENER_BYTES + SEALER_BYTES), bytes: CHUNK_BYTES_MAX };
    this.#input = scratch.at + align(CHUNK_BYTES_MAX);
    const buffers = base + own;
    const packs = buffers + data.buffers * bufferBytes;
    this.#buffers = Array.from({ length: data.buffers }, (_, i) => buffers + i * bufferBytes);
    this.#packs = Array.from({ length: this.#states.length }, (_, i) => ({
      at: packs + i * packBytes,
      bytes: packBytes,
    }));
    this.#opener = new BlobOpener({ kernels, key: data.sourceKey, at: base, scratch });
    // Both use the same scratch memory: a blob has left it before it is sealed.
    const { key, version, level, verify } = data;
    const at = base + OPENER_BYTES;
    const sealer = new BlobSealer({
      kernels,
      key,
      version,
      level,
      start: systemRandom(16),
      at,
      scratch,
      verify,
    });
    this.#trees = this.#assembler("tree", sealer);
    this.#content = this.#assembler("data", sealer);
    reply({ type: "ready", memory: kernels.memory.buffer, buffers: this.#buffers });
  }

  handle(request: CopyRequest): void {
    if (request.type === "part") return this.#copyPart(request);
    this.#trees.flush();
    this.#content.flush();
    reply({ type: "flushed" });
  }

  #copyPart({ buffer, offset, length, entries }: CopyRequest & { type: "part" }): void {
    const index = this.#index;
    const failed: number[] = [];
    let stored = 0;
    for (const entry of entries) {
      const begin = index.offset(entry) - offset;
      const isHere = begin >= 0 && begin + index.storedLength(entry) <= length;
      const bytes = isHere ? this.#copy(entry, this.#buffers[buffer]! + begin) : undefined;
      if (bytes === undefined) failed.push(entry);
      else stored += bytes;
    }
    reply({ type: "part", buffer, failed: Uint32Array.from(failed), stored });
  }

  /** Copies the blob of an entry, whose stored bytes are at `at`; the bytes it takes, undefined when that cannot be. */
  #copy(entry: number, at: number): number | undefined {
    const index = this.#index;
    const [length, uncompressed] = [index.storedLength(entry), index.uncompressedLength(entry)];
    if (uncompressed > CHUNK_BYTES_MAX || length - SEAL_BYTES > CHUNK_BYTES_MAX) return undefined;
    const id = index.idBytes(entry);
    const isTree = index.isTree(entry);
    const target = isTree ? this.#trees : this.#content;
    const { version, recompress } = this.#data;
    if (uncompressed > 0 && version === 2 && (isTree || !recompress)) {
      const sealed = this.#opener.unwrap(at, length, uncompressed, id, this.#input);
      if (sealed === undefined) return undefined;
      return target.addCompressed(id, this.#input, sealed, uncompressed);
    }
    const plain = this.#opener.open(at, length, uncompressed, id);
    if (plain === undefined) return undefined;
    this.#kernels.bytes.set(plain, this.#input);
    return target.add(id, this.#input, plain.length);
  }

  #assembler(type: "tree" | "data", sealer: BlobSealer): PackAssembler {
    return new PackAssembler({
      kernels: this.#kernels,
      key: this.#data.key,
      sealer,
      random: systemRandom,
      type,
      packSize: this.#data.packSize,
      takeBuffer: () => this.#takeBuffer(),
      onPack: ({ id, buffer, length, header }) => {
        const pack = this.#packs.indexOf(buffer);
        Atomics.store(this.#states, pack, 1);
        reply({ type: "pack", pack, at: buffer.at, length, id, header });
        this.#given.delete(buffer);
      },
    });
  }

  /** Buffers of open packs. */
  readonly #given = new Set<PackBuffer>();

  /** A buffer that is neither being filled nor stored; waits for one. */
  #takeBuffer(): PackBuffer {
    for (;;) {
      const free = this.#packs.find(
        (pack, i) => !this.#given.has(pack) && Atomics.load(this.#states, i) === 0,
      );
      if (free !== undefined) {
        this.#given.add(free);
        return free;
      }
      const stored = this.#packs.findIndex((_, i) => Atomics.load(this.#states, i) === 1);
      Atomics.wait(this.#states, Math.max(0, stored), 1, 50);
    }
  }
}

function align(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
}

function reply(message: CopyReply): void {
  port.postMessage(message);
}

let worker: CopyWorker | undefined;

port.on("message", (message: CopyWorkerData | CopyRequest) => {
  try {
    if (worker === undefined) worker = new CopyWorker(message as CopyWorkerData);
    else worker.handle(message as CopyRequest);
  } catch (error) {
    const [code, hint] = isHoldfastError(error) ? [error.code, error.hint] : ["BUG", undefined];
    reply({ type: "failed", code, message: messageOf(error), hint });
  }
});
