// Keys from passwords, with the lanes of one scrypt (RFC 7914 §6: its parallelisation parameter p) spread over threads.
// restic's keys have about eight lanes, which Node computes one after the other, half a second before anything else can begin.

import { once } from "node:events";
import { pbkdf2 } from "node:crypto";
import { promisify } from "node:util";
import { Worker } from "node:worker_threads";
import { workerUrl } from "../base/worker-url.ts";
import { deriveKey, splitKey } from "../restic/crypto.ts";
import type { MasterKey, ScryptParameters } from "../restic/crypto.ts";
import { romixBytes } from "../restic/kernels.ts";
import type { ScryptLanes } from "./scrypt-worker.ts";

const pbkdf2Async = promisify(pbkdf2);

/** Bytes that all threads may take together, for a moment: two of them with restic's usual keys, N = 32768 and r = 8. */
const MEMORY_MAX = 82 << 20;
/** Of these, what a thread takes by itself. */
const THREAD_BYTES = 8 << 20;
/** Bytes of lanes, of which there are some copies; restic's keys have 8 KiB. */
const LANES_BYTES_MAX = 1 << 20;
/** N·r·p from which on threads are worth their start: a twentieth of a second in one. */
const WORK_MIN = 1 << 17;

/** Derives the keys that open a key file, in at most `threads` threads. The result is that of deriveKey. */
export async function deriveKeyInThreads(
  password: string,
  parameters: ScryptParameters,
  threads: number,
): Promise<MasterKey> {
  const { N, r, p } = parameters;
  // What a container allows counts as well: half of it, for others take memory too.
  const memory = Math.min(MEMORY_MAX, process.availableMemory() / 2);
  const affordable = Math.floor(memory / (THREAD_BYTES + romixBytes(N, 128 * r)));
  const workers = Math.min(threads, Math.ceil(p / 2), affordable);
  const isWorthIt = p > 1 && N * r * p >= WORK_MIN && 128 * r * p <= LANES_BYTES_MAX;
  if (isWorthIt && workers > 0) {
    try {
      return await deriveShared(password, parameters, workers);
    } catch {
      // No thread or no memory for one to be had: it goes without.
    }
  }
  return await deriveKey(password, parameters);
}

async function deriveShared(
  password: string,
  { N, r, p, salt }: ScryptParameters,
  workers: number,
): Promise<MasterKey> {
  const laneBytes = 128 * r;
  const lanes = await pbkdf2Async(password, salt, 1, p * laneBytes, "sha256");
  const pairs = Math.ceil(p / 2);
  // Where p is odd, a lane of zeros keeps the last one company.
  const padded = new Uint8Array(pairs * 2 * laneBytes);
  padded.set(lanes);
  const bytesEach = Math.ceil(pairs / workers) * 2 * laneBytes;
  const parts: Promise<Uint8Array>[] = [];
  for (let at = 0; at < padded.length; at += bytesEach) {
    // Not a view: it would take along all that it is a view of.
    parts.push(mix({ lanes: padded.slice(at, at + bytesEach), N, r }));
  }
  const mixed = Buffer.concat(await Promise.all(parts)).subarray(0, p * laneBytes);
  return splitKey(await pbkdf2Async(password, mixed, 1, 64, "sha256"));
}

async function mix(workerData: ScryptLanes): Promise<Uint8Array> {
  const worker = new Worker(workerUrl("scrypt-worker", import.meta.url), {
    workerData,
    resourceLimits: { maxYoungGenerationSizeMb: 2 },
  });
  const [lanes] = (await once(worker, "message")) as [Uint8Array];
  return lanes;
}
