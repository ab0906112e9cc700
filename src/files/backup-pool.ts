// The worker threads of one backup: hands batches of files out, passes finished packs on.
//
// At most two batches wait at each worker, so that memory stays bounded and no worker runs dry.

import { Worker } from "node:worker_threads";
import type { ErrorCode } from "../base/errors.ts";
import { HoldfastError } from "../base/errors.ts";
import { compressionLevel } from "../restic/compression.ts";
import type { BlobIndex } from "../repository/blob-index.ts";
import type { Repository } from "../repository/repository.ts";
import type { RepositoryWriter } from "../repository/writer.ts";
import type {
  BackupReply,
  BackupRequest,
  BackupWorkerData,
  BatchResult,
} from "./backup-messages.ts";
import { stopWorker } from "../base/stop-worker.ts";
import { workerUrl } from "../base/worker-url.ts";

/** Batches at one worker: one being read, one waiting. */
const BATCHES_MAX = 2;
/** Two, so that one is filled while the other is stored. */
const PACK_BUFFERS = 2;

export interface BackupPoolOptions {
  repository: Repository;
  index: BlobIndex;
  writer: RepositoryWriter;
  workers: number;
  packSize: number;
  verify: boolean;
  onBytes: (bytes: number) => void;
  onResult: (batch: number, result: BatchResult) => void;
}

interface Member {
  worker: Worker;
  /** Settles when the worker has made what it needs, or has failed. */
  ready: PromiseWithResolvers<void>;
  batches: number;
  buffers: Int32Array;
  memory: SharedArrayBuffer | undefined;
  flushed: boolean;
}

export class BackupPool {
  readonly #options: BackupPoolOptions;
  readonly #members: Member[] = [];
  #failure: unknown;
  #waiters: (() => void)[] = [];

  constructor(options: BackupPoolOptions) {
    this.#options = options;
  }

  /** Waits until a batch can be taken; throws when a worker has failed. */
  async room(): Promise<void> {
    for (;;) {
      this.#check();
      if (this.#members.length < this.#options.workers) return;
      if (this.#members.some((member) => member.batches < BATCHES_MAX)) return;
      await this.#change();
    }
  }

  /** Hands a batch to the least busy worker; call after `room`. */
  submit(request: BackupRequest & { type: "files" }): void {
    let best: Member | undefined;
    for (const member of this.#members) {
      if (best === undefined || member.batches < best.batches) best = member;
    }
    if (best === undefined || (best.batches > 0 && this.#members.length < this.#options.workers)) {
      best = this.#start();
    }
    best.batches++;
    best.worker.postMessage(request);
  }

  /** Waits for all batches, then for the last packs to be handed over: afterwards the writer knows every pack. */
  async finish(): Promise<void> {
    while (this.#members.some((member) => member.batches > 0)) {
      this.#check();
      await this.#change();
    }
    for (const member of this.#members) {
      member.flushed = false;
      member.worker.postMessage({ type: "flush" });
    }
    while (this.#members.some((member) => !member.flushed)) {
      this.#check();
      await this.#change();
    }
    this.#check();
  }

  /** Ends all threads, whatever they are doing. */
  async terminate(): Promise<void> {
    await Promise.all(this.#members.map(({ worker, ready }) => stopWorker(worker, ready.promise)));
  }

  #start(): Member {
    const { repository, index, writer, packSize, verify } = this.#options;
    const buffers = new SharedArrayBuffer(PACK_BUFFERS * 4);
    const workerData: BackupWorkerData = {
      key: repository.key,
      version: repository.config.version,
      level: compressionLevel(repository.compression),
      packSize,
      polynomial: repository.config.chunkerPolynomial,
      verify,
      index: index.shared,
      claims: writer.claims,
      buffers,
    };
    const worker = new Worker(workerUrl("backup-worker", import.meta.url), {
      workerData,
      // A worker allocates little that lives long; a small young generation keeps its memory small.
      resourceLimits: { maxYoungGenerationSizeMb: 2 },
    });
    const member: Member = {
      worker,
      ready: Promise.withResolvers<void>(),
      batches: 0,
      buffers: new Int32Array(buffers),
      memory: undefined,
      flushed: false,
    };
    worker.on("message", (message: BackupReply) => this.#handle(member, message));
    worker.on("error", (error) => this.#fail(error));
    this.#members.push(member);
    return member;
  }

  #handle(member: Member, message: BackupReply): void {
    switch (message.type) {
      case "ready":
        member.memory = message.memory;
        member.ready.resolve();
        break;
      case "bytes":
        this.#options.onBytes(message.bytes);
        break;
      case "pack":
        this.#store(member, message);
        break;
      case "files":
        member.batches--;
        try {
          this.#options.onResult(message.batch, message);
        } catch (error) {
          this.#fail(error);
        }
        this.#wake();
        break;
      case "flushed":
        member.flushed = true;
        this.#wake();
        break;
      case "failed": {
        member.ready.resolve();
        const fields = message.hint === undefined ? {} : { hint: message.hint };
        this.#fail(new HoldfastError(message.code as ErrorCode, message.message, fields));
        break;
      }
    }
  }

  #store(member: Member, message: BackupReply & { type: "pack" }): void {
    const bytes = new Uint8Array(member.memory!, message.at, message.length);
    this.#options.writer.storePack({ id: message.id, bytes, header: message.header }, () => {
      Atomics.store(member.buffers, message.buffer, 0);
      Atomics.notify(member.buffers, message.buffer);
      Atomics.notify(member.buffers, 0);
      this.#wake();
    });
  }

  #fail(error: unknown): void {
    this.#failure ??= error;
    this.#wake();
  }

  #check(): void {
    if (this.#failure !== undefined) throw this.#failure;
    this.#options.writer.check();
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#waiters.push(resolve));
  }

  #wake(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) waiter();
  }
}
