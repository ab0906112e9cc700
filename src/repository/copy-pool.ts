// The worker threads of one copy. Each has a few buffers; a lane is one of them: whoever holds it reads a part of a pack of
// the source into it and asks its worker to copy blobs of that part. Finished packs go to the writer of the target.

import { Worker } from "node:worker_threads";
import { HoldfastError } from "../base/errors.ts";
import type { ErrorCode } from "../base/errors.ts";
import { stopWorker } from "../base/stop-worker.ts";
import { workerUrl } from "../base/worker-url.ts";
import { compressionLevel } from "../restic/compression.ts";
import type { BlobIndex } from "./blob-index.ts";
import type { CopyReply, CopyRequest, CopyWorkerData, PartReply } from "./copy-messages.ts";
import type { Repository } from "./repository.ts";
import type { RepositoryWriter } from "./writer.ts";

export interface CopyPoolOptions {
  source: Repository;
  index: BlobIndex;
  target: Repository;
  writer: RepositoryWriter;
  packSize: number;
  verify: boolean;
  recompress: boolean;
  workers: number;
  /** The largest part of a pack that is read at once. */
  bufferBytes: number;
}

/** Two, so that one is filled while the other is stored. */
const PACK_BUFFERS = 2;
/** Bytes of all lanes together; one a worker there is in any case. */
const LANE_BYTES_MAX = 40 << 20;
const LANES_MAX = 8;

interface Member {
  worker: Worker;
  memory: SharedArrayBuffer;
  /** Where each buffer begins. */
  buffers: number[];
}

/** A buffer of a worker. */
export interface CopyLane {
  /** The buffer; its worker is started if need be. */
  memory(): Promise<Uint8Array>;
  /** Copies blobs of the part of a pack that was read into the buffer; `offset` is that of its first byte. */
  copy(part: { offset: number; length: number; entries: Uint32Array }): Promise<PartReply>;
}

export class CopyPool implements AsyncDisposable {
  readonly lanes: readonly CopyLane[];
  readonly bufferBytes: number;
  readonly #options: CopyPoolOptions;
  readonly #threads: CopyThread[];

  constructor(options: CopyPoolOptions) {
    this.#options = options;
    this.bufferBytes = options.bufferBytes;
    const { workers, bufferBytes, source } = options;
    const affordable = Math.max(workers, Math.floor(LANE_BYTES_MAX / Math.max(1, bufferBytes)));
    const { local, connections } = source.storage.traits;
    // What is near is read in a fraction of the time that copying takes.
    const wanted = local ? workers : Math.max(workers + 1, Math.min(connections, LANES_MAX));
    const count = Math.min(affordable, wanted);
    const buffers = Math.ceil(count / workers);
    this.#threads = Array.from({ length: workers }, () => new CopyThread(options, buffers));
    this.lanes = Array.from({ length: count }, (_, lane): CopyLane => {
      const thread = this.#threads[lane % workers]!;
      const buffer = Math.floor(lane / workers);
      return {
        memory: () => thread.memory(buffer),
        copy: ({ offset, length, entries }) =>
          thread.copy({ type: "part", buffer, offset, length, entries }),
      };
    });
  }

  /** Hands the last packs over: afterwards the writer knows every pack. */
  async flush(): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread.flush()));
    this.#options.writer.check();
  }

  /** Ends all threads, whatever they are doing. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread.end()));
  }
}

class CopyThread {
  readonly #options: CopyPoolOptions;
  readonly #buffers: number;
  readonly #states = new Int32Array(new SharedArrayBuffer(PACK_BUFFERS * 4));
  /** Who waits for the reply about each buffer. */
  readonly #waiting = new Map<number, PromiseWithResolvers<PartReply>>();
  #flushing: PromiseWithResolvers<void> | undefined;
  #worker: Worker | undefined;
  #ready: PromiseWithResolvers<Member> | undefined;
  #member: Member | undefined;

  constructor(options: CopyPoolOptions, buffers: number) {
    this.#options = options;
    this.#buffers = buffers;
  }

  async memory(buffer: number): Promise<Uint8Array> {
    const { memory, buffers } = await this.#start();
    return new Uint8Array(memory, buffers[buffer]!, this.#options.bufferBytes);
  }

  async copy(request: CopyRequest & { type: "part" }): Promise<PartReply> {
    const { worker } = await this.#start();
    const answer = Promise.withResolvers<PartReply>();
    this.#waiting.set(request.buffer, answer);
    worker.postMessage(request);
    return answer.promise;
  }

  async flush(): Promise<void> {
    if (this.#ready === undefined) return;
    const { worker } = await this.#ready.promise;
    this.#flushing = Promise.withResolvers();
    worker.postMessage({ type: "flush" });
    await this.#flushing.promise;
  }

  async end(): Promise<void> {
    if (this.#worker !== undefined) await stopWorker(this.#worker, this.#ready!.promise);
  }

  #start(): Promise<Member> {
    if (this.#ready !== undefined) return this.#ready.promise;
    const ready = Promise.withResolvers<Member>();
    this.#ready = ready;
    const worker = new Worker(workerUrl("copy-worker", import.meta.url), {
      // A worker allocates little that lives long; a small young generation keeps its memory small.
      resourceLimits: { maxYoungGenerationSizeMb: 2 },
    });
    this.#worker = worker;
    worker.on("error", (error) => this.#fail(error));
    worker.on("exit", (code) => {
      this.#fail(new HoldfastError("BUG", `copy worker: ended with ${code}`));
    });
    worker.on("message", (message: CopyReply) => this.#handle(worker, message));
    worker.postMessage(this.#data());
    return ready.promise;
  }

  #data(): CopyWorkerData {
    const { source, index, target, packSize, verify, recompress, bufferBytes } = this.#options;
    return {
      index: index.shared,
      sourceKey: source.key,
      key: target.key,
      version: target.config.version,
      level: compressionLevel(target.compression),
      recompress,
      packSize,
      verify,
      buffers: this.#buffers,
      bufferBytes,
      packs: this.#states.buffer as SharedArrayBuffer,
    };
  }

  #handle(worker: Worker, message: CopyReply): void {
    switch (message.type) {
      case "ready":
        this.#member = { worker, memory: message.memory, buffers: message.buffers };
        this.#ready!.resolve(this.#member);
        break;
      case "part": {
        const answer = this.#waiting.get(message.buffer);
        this.#waiting.delete(message.buffer);
        answer?.resolve(message);
        break;
      }
      case "pack":
        this.#store(message);
        break;
      case "flushed":
        this.#flushing?.resolve();
        break;
      case "failed": {
        const fields = message.hint === undefined ? {} : { hint: message.hint };
        this.#fail(new HoldfastError(message.code as ErrorCode, message.message, fields));
        break;
      }
    }
  }

  #store({ pack, at, length, id, header }: CopyReply & { type: "pack" }): void {
    const bytes = new Uint8Array(this.#member!.memory, at, length);
    this.#options.writer.storePack({ id, bytes, header }, () => {
      Atomics.store(this.#states, pack, 0);
      Atomics.notify(this.#states, pack);
    });
  }

  #fail(error: unknown): void {
    this.#ready?.promise.catch(() => {});
    this.#ready?.reject(error);
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
    this.#flushing?.promise.catch(() => {});
    this.#flushing?.reject(error);
  }
}
