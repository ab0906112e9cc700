// The worker threads of one check. Each has a few buffers; a lane is one of them: whoever holds it reads something into
// it and asks its worker, one request at a time. With a lane more than workers, all compute while a pack is being read;
// a storage far away wants more of them.

import { Worker } from "node:worker_threads";
import { ahead } from "../base/concurrency.ts";
import { HoldfastError } from "../base/errors.ts";
import { stopWorker } from "../base/stop-worker.ts";
import { workerUrl } from "../base/worker-url.ts";
import type { MasterKey } from "../restic/crypto.ts";
import type { BlobIndex } from "./blob-index.ts";
import type {
  BlobsReply,
  BlobsRequest,
  CheckReply,
  CheckRequest,
  CheckWorkerData,
  PackReply,
  PackRequest,
  TreesReply,
  TreesRequest,
} from "./check-messages.ts";

/** Bytes of all buffers together; one buffer there is in any case. */
const MEMORY_MAX = 88 << 20;
const LANES_MAX = 8;

export interface CheckPoolOptions {
  key: MasterKey;
  index: BlobIndex;
  /** Memory of the EntrySet of what is used. */
  used: SharedArrayBuffer;
  /** Threads at most. */
  workers: number;
  /** Requests at once that the storage serves well. */
  connections: number;
  /** The largest part of a pack that is read at once. */
  bufferBytes: number;
  threads: CheckThreads;
  /** Tell what each tree refers to. */
  edges?: boolean;
}

type Answer = PackReply | TreesReply | BlobsReply;

interface Member {
  worker: Worker;
  memory: SharedArrayBuffer;
  /** Where each buffer begins. */
  buffers: number[];
  /** Who waits for the reply about each buffer. */
  waiting: Map<number, PromiseWithResolvers<Answer>>;
}

/** A buffer of a worker. */
export class CheckLane {
  readonly #start: () => Promise<Member>;
  readonly #buffer: number;
  readonly #bytes: number;

  constructor(start: () => Promise<Member>, buffer: number, bytes: number) {
    this.#start = start;
    this.#buffer = buffer;
    this.#bytes = bytes;
  }

  /** The buffer; its worker is started if need be. */
  async memory(): Promise<Uint8Array> {
    const member = await this.#start();
    return new Uint8Array(member.memory, member.buffers[this.#buffer]!, this.#bytes);
  }

  async checkPack(request: Omit<PackRequest, "type" | "buffer">): Promise<PackReply> {
    return (await this.#ask({ ...request, type: "pack", buffer: this.#buffer })) as PackReply;
  }

  async checkTrees(request: Omit<TreesRequest, "type" | "buffer">): Promise<TreesReply> {
    return (await this.#ask({ ...request, type: "trees", buffer: this.#buffer })) as TreesReply;
  }

  async checkBlobs(request: Omit<BlobsRequest, "type" | "buffer">): Promise<BlobsReply> {
    return (await this.#ask({ ...request, type: "blobs", buffer: this.#buffer })) as BlobsReply;
  }

  async #ask(request: CheckRequest): Promise<Answer> {
    const member = await this.#start();
    const answer = Promise.withResolvers<Answer>();
    member.waiting.set(this.#buffer, answer);
    member.worker.postMessage(request);
    return answer.promise;
  }
}

export class CheckPool implements AsyncDisposable {
  readonly bufferBytes: number;
  readonly lanes: readonly CheckLane[];
  readonly #options: CheckPoolOptions;
  readonly #buffersPerWorker: number;
  readonly #members: (Promise<Member> | undefined)[];
  readonly #workers: { readonly worker: Worker; readonly ready: Promise<unknown> }[] = [];

  constructor(options: CheckPoolOptions) {
    this.#options = options;
    this.bufferBytes = options.bufferBytes;
    const count = bufferCount(options);
    const workers = Math.min(options.workers, count);
    this.#buffersPerWorker = Math.ceil(count / workers);
    this.#members = Array.from({ length: workers }, () => undefined);
    // Neighbouring lanes belong to different workers, so that little work does not start all of them.
    this.lanes = Array.from({ length: count }, (_, lane) => {
      const start = (): Promise<Member> => this.#member(lane % workers);
      return new CheckLane(start, Math.floor(lane / workers), options.bufferBytes);
    });
  }

  /** Starts the first `count` threads now, while something else is being waited for. */
  start(count: number): void {
    for (let number = 0; number < Math.min(count, this.#members.length); number++) {
      void ahead(this.#member(number));
    }
  }

  /** Ends all threads, whatever they are doing. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#workers.map(({ worker, ready }) => stopWorker(worker, ready)));
  }

  #member(number: number): Promise<Member> {
    return (this.#members[number] ??= this.#startWorker());
  }

  #startWorker(): Promise<Member> {
    const { key, index, used, bufferBytes, edges = false } = this.#options;
    const data: CheckWorkerData = {
      key,
      index: index.shared,
      used,
      edges,
      buffers: this.#buffersPerWorker,
      bufferBytes,
    };
    const worker = this.#options.threads.take();
    const ready = Promise.withResolvers<Member>();
    this.#workers.push({ worker, ready: ready.promise });
    const waiting: Member["waiting"] = new Map();
    const fail = (message: string, cause?: unknown): void => {
      const error = new HoldfastError("BUG", `check worker: ${message}`, { cause });
      ready.reject(error);
      for (const { reject } of waiting.values()) reject(error);
      waiting.clear();
    };
    worker.on("error", (error) => fail(String(error), error));
    worker.on("exit", (code) => fail(`ended with ${code}`));
    worker.on("message", (message: CheckReply) => {
      if (message.type === "failed") return fail(message.message);
      if (message.type === "ready") {
        const { memory, buffers } = message;
        return ready.resolve({ worker, memory, buffers, waiting });
      }
      const answer = waiting.get(message.buffer);
      waiting.delete(message.buffer);
      answer?.resolve(message);
    });
    worker.postMessage(data);
    return ready.promise;
  }
}

function bufferCount({ index, bufferBytes, connections, workers }: CheckPoolOptions): number {
  const affordable = Math.max(1, Math.floor(MEMORY_MAX / Math.max(1, bufferBytes)));
  const wanted = Math.max(workers + 1, Math.min(connections, LANES_MAX));
  // A storage far away must not let the workers wait; one that is near does so for moments only.
  const needed = workers + (connections > 1 ? 1 : 0);
  return Math.min(affordable, index.isLarge ? Math.min(wanted, needed) : wanted);
}

/** Threads that load their code while it is not known yet what they will work with. */
export class CheckThreads {
  readonly #idle: Worker[] = [];

  start(count: number): void {
    for (let started = 0; started < count; started++) this.#idle.push(startThread());
  }

  /** A thread that waits for its data; the caller ends it. */
  take(): Worker {
    const idle = this.#idle.shift();
    // One that ended has no id any more; a new one tells why.
    return idle === undefined || idle.threadId < 0 ? startThread() : idle;
  }

  /** Ends those that were not taken. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#idle.map((worker) => worker.terminate()));
  }
}

function startThread(): Worker {
  const worker = new Worker(workerUrl("check-worker", import.meta.url), {
    // A worker allocates little that lives long; a small young generation keeps its memory small.
    resourceLimits: { maxYoungGenerationSizeMb: 2 },
  });
  // Until it is taken nobody else listens, and an error that nobody hears ends the program.
  return worker.on("error", () => {});
}
