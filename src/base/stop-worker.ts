// Ending worker threads. Node aborts the whole process when a thread ends while a zstd context is being made in it
// (node_zlib.cc, "close before init"), so a thread is ended only when it has made what it needs.

import { once } from "node:events";
import type { Worker } from "node:worker_threads";

/** Ends the thread, whatever it is doing, as soon as `made` has settled or it has ended by itself. */
export async function stopWorker(worker: Worker, made: Promise<unknown>): Promise<void> {
  // A thread that has ended has no id any more.
  if (worker.threadId >= 0) {
    const ended = new AbortController();
    const exit = once(worker, "exit", { signal: ended.signal });
    await Promise.allSettled([Promise.race([made, exit])]);
    ended.abort();
    exit.catch(() => {});
  }
  await worker.terminate();
}
