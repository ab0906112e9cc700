// A worker thread of a backup: reads files, cuts, hashes, drops what is known, compresses, seals and checks the rest,
// and hands finished packs to the main thread, which stores them.
//
// Everything is synchronous and in memory the worker owns. While both pack buffers are being stored it sleeps
// (Atomics.wait); the main thread wakes it.

import { hash } from "node:crypto";
import { parentPort, workerData } from "node:worker_threads";
import { systemRandom } from "../base/clock.ts";
import { HoldfastError, errnoOf, isHoldfastError, messageOf } from "../base/errors.ts";
import { BlobLookup } from "../repository/blob-index.ts";
import { SharedBlobSet } from "../repository/shared-blob-set.ts";
import { BlobSealer, SEALER_BYTES } from "../restic/blob-sealer.ts";
import { CHUNK_BYTES_MAX } from "../restic/chunker.ts";
import { createKernels } from "../restic/kernels.ts";
import type { Kernels } from "../restic/kernels.ts";
import { PackAssembler, packBufferBytes } from "../restic/pack-assembler.ts";
import type { PackBuffer } from "../restic/pack-assembler.ts";
import type {
  BackupReply,
  BackupRequest,
  BackupWorkerData,
  BatchResult,
} from "./backup-messages.ts";
import { FILE_READER_BYTES, FileReader } from "./file-reader.ts";

/** Report progress inside a large file at this interval. */
const REPORT_BYTES = 4 << 20;
const ALIGNMENT = 4096;

const port = parentPort!;

function reply(message: BackupReply, transfer: ArrayBuffer[] = []): void {
  port.postMessage(message, transfer);
}

interface Counts {
  newBlobs: number;
  added: number;
  addedPacked: number;
}

class BackupWorker {
  readonly #data: BackupWorkerData;
  readonly #kernels: Kernels;
  readonly #reader: FileReader;
  readonly #assembler: PackAssembler;
  readonly #index: BlobLookup;
  readonly #claims: SharedBlobSet;
  readonly #buffers: PackBuffer[];
  readonly #states: Int32Array;
  #counts: Counts = { newBlobs: 0, added: 0, addedPacked: 0 };

  constructor(data: BackupWorkerData) {
    this.#data = data;
    this.#index = new BlobLookup(data.index);
    this.#claims = new SharedBlobSet(data.claims);
    this.#states = new Int32Array(data.buffers);
    const bufferBytes = align(packBufferBytes(data.packSize, CHUNK_BYTES_MAX));
    const count = this.#states.length;
    const fixed = ALIGNMENT + align(FILE_READER_BYTES) + CHUNK_BYTES_MAX;
    if (SEALER_BYTES > ALIGNMENT) throw new HoldfastError("BUG", "no room for the sealer");
    this.#kernels = createKernels({ bytes: fixed + count * bufferBytes });
    this.#kernels.initChunker(data.polynomial);
    const base = this.#kernels.base;
    const input = base + ALIGNMENT;
    const scratch = { at: input + align(FILE_READER_BYTES), bytes: CHUNK_BYTES_MAX };
    this.#buffers = Array.from({ length: count }, (_, i) => ({
      at: base + fixed + i * bufferBytes,
      bytes: bufferBytes,
    }));
    this.#reader = new FileReader(this.#kernels, input);
    this.#assembler = this.#assemble(base, scratch);
    reply({ type: "ready", memory: this.#kernels.memory.buffer });
  }

  handle(request: BackupRequest): void {
    if (request.type === "flush") {
      this.#assembler.flush();
      reply({ type: "flushed" });
      return;
    }
    const result = this.#readFiles(request);
    reply(result, [result.counts.buffer, result.sizes.buffer, result.ids.buffer] as ArrayBuffer[]);
  }

  #assemble(at: number, scratch: { at: number; bytes: number }): PackAssembler {
    const { key, version, level, verify, packSize } = this.#data;
    const kernels = this.#kernels;
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
    return new PackAssembler({
      kernels,
      key,
      sealer,
      random: systemRandom,
      type: "data",
      packSize,
      takeBuffer: () => this.#takeBuffer(),
      onPack: ({ id, buffer, length, header }) => {
        const number = this.#buffers.indexOf(buffer);
        Atomics.store(this.#states, number, 1);
        reply({ type: "pack", buffer: number, at: buffer.at, length, id, header });
      },
    });
  }

  /** A buffer that is not being stored; waits for one. */
  #takeBuffer(): PackBuffer {
    for (;;) {
      const free = this.#states.findIndex((_, i) => Atomics.load(this.#states, i) === 0);
      if (free >= 0) return this.#buffers[free]!;
      // Any of them will do; waking up for the first is early enough.
      Atomics.wait(this.#states, 0, 1, 50);
    }
  }

  #readFiles(request: BackupRequest & { type: "files" }): BatchResult {
    const { paths } = request;
    this.#counts = { newBlobs: 0, added: 0, addedPacked: 0 };
    const counts = new Uint32Array(paths.length);
    const sizes = new Float64Array(paths.length);
    const failures: BatchResult["failures"] = [];
    let ids = new Uint8Array(Math.max(1, paths.length) * 32);
    let used = 0;
    const sink = (file: number) => (at: number, length: number) => {
      if (used === ids.length) {
        const larger = new Uint8Array(ids.length * 2);
        larger.set(ids);
        ids = larger;
      }
      ids.set(this.#keep(at, length), used);
      used += 32;
      counts[file]!++;
    };
    for (const [file, path] of paths.entries()) {
      const before = used;
      try {
        sizes[file] = this.#readFile(path, request.descriptor, sink(file));
      } catch (error) {
        const code = errnoOf(error);
        if (code === undefined || isHoldfastError(error)) throw error;
        used = before;
        counts[file] = 0;
        failures.push({ file, code, message: messageOf(error) });
      }
    }
    ids = ids.slice(0, used);
    return { type: "files", batch: request.batch, counts, sizes, ids, failures, ...this.#counts };
  }

  #readFile(
    path: string,
    descriptor: number | undefined,
    sink: (at: number, length: number) => void,
  ): number {
    let unreported = 0;
    const onBytes = (bytes: number): void => {
      unreported += bytes;
      if (unreported < REPORT_BYTES) return;
      reply({ type: "bytes", bytes: unreported });
      unreported = 0;
    };
    return descriptor === undefined
      ? this.#reader.read(path, sink, onBytes)
      : this.#reader.readDescriptor(descriptor, sink, onBytes);
  }

  /** Stores a chunk unless it is known; its id. */
  #keep(at: number, length: number): Uint8Array {
    const id = hash("sha256", this.#kernels.bytes.subarray(at, at + length), "buffer");
    if (!this.#index.has("data", id) && this.#claims.claim(id)) {
      this.#counts.addedPacked += this.#assembler.add(id, at, length);
      this.#counts.newBlobs++;
      this.#counts.added += length;
    }
    return id;
  }
}

function align(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
}

function fail(error: unknown): void {
  const expected = isHoldfastError(error);
  reply({
    type: "failed",
    code: expected ? error.code : "BUG",
    message: expected ? error.message : `backup worker: ${messageOf(error)}`,
    hint: expected ? error.hint : undefined,
  });
}

try {
  const worker = new BackupWorker(workerData as BackupWorkerData);
  port.on("message", (request: BackupRequest) => {
    try {
      worker.handle(request);
    } catch (error) {
      fail(error);
    }
  });
} catch (error) {
  fail(error);
}
