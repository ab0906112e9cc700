// Threads that look at files: reading and hashing takes as many cores as there are.

import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { eachLimit } from "../../base/concurrency.ts";
import { HoldfastError } from "../../base/errors.ts";
import { stopWorker } from "../../base/stop-worker.ts";
import { workerUrl } from "../../base/worker-url.ts";
import type { Condition, Examined } from "./examine-file.ts";
import type { ExamineReply, ExamineRequest } from "./examine-worker.ts";

/** Bounds of a batch: a message costs as much as a few small files, and a cancelled run waits for one. */
const BATCH_FILES = 128;
const BATCH_BYTES = 16 << 20;

export interface ExamineOptions {
  readonly files: Iterable<Examined>;
  readonly namesOnly: boolean;
  readonly threads: number;
  /** Takes each file once, in no order. */
  readonly take: (file: Examined, condition: Condition) => void;
  readonly signal?: AbortSignal | undefined;
}

/** Looks at all files. Throws CANCELLED. */
export async function examineFiles(options: ExamineOptions): Promise<void> {
  const { files, namesOnly, take, signal, threads } = options;
  const free: Worker[] = [];
  const all: { worker: Worker; ready: Promise<unknown> }[] = [];
  const start = (): Worker => {
    const worker = new Worker(workerUrl("examine-worker", import.meta.url));
    const ready = once(worker, "online");
    ready.catch(() => {});
    all.push({ worker, ready });
    return worker;
  };
  try {
    await eachLimit(
      batches(files),
      threads,
      async (batch) => {
        const worker = free.pop() ?? start();
        const conditions = await ask(worker, { files: batch, namesOnly });
        free.push(worker);
        for (const [i, file] of batch.entries()) take(file, conditions[i]!);
      },
      { signal },
    );
  } finally {
    await Promise.all(all.map(({ worker, ready }) => stopWorker(worker, ready)));
  }
}

async function ask(worker: Worker, request: ExamineRequest): Promise<readonly Condition[]> {
  const gone = new AbortController();
  const exit = once(worker, "exit", { signal: gone.signal });
  exit.catch(() => {});
  worker.postMessage(request);
  try {
    const [reply] = (await Promise.race([
      once(worker, "message", { signal: gone.signal }),
      exit.then(() => [{ failed: "a thread ended" }]),
    ])) as [ExamineReply];
    if ("failed" in reply)
      throw new HoldfastError("BUG", `files cannot be examined: ${reply.failed}`);
    return reply.conditions;
  } finally {
    gone.abort();
  }
}

function* batches(files: Iterable<Examined>): Generator<Examined[]> {
  let batch: Examined[] = [];
  let bytes = 0;
  for (const file of files) {
    batch.push(file);
    bytes += Math.max(0, file.expected);
    if (batch.length < BATCH_FILES && bytes < BATCH_BYTES) continue;
    yield batch;
    batch = [];
    bytes = 0;
  }
  if (batch.length > 0) yield batch;
}
