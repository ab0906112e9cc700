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
const MEMORY_MAX = 65 << 20;
/** N·r·p from which on threads are worth their start: a twentieth of a second in one. */
const WORK_MIN = 1 << 17;

/** Derives the keys that open a key file, in at most `threads` threads. The result is that of deriveKey. */
export async function deriveKeyInThreads(
  password: string,
  parameters: ScryptParameters,
  threads: number,
): Promise<MasterKey> {
  const { N, r, p, salt } = parameters;
  const laneBytes = 128 * r;
  const pairs = Math.ceil(p / 2);
  // What a container allows counts as well: half of it, for others take memory too.
  const memory = Math.min(MEMORY_MAX, process.availableMemory() / 2);
  const workers = Math.min(threads, pairs, Math.floor(memory / romixBytes(N, laneBytes)));
  if (p === 1 || workers < 1 || N * r * p < WORK_MIN) return await deriveKey(password, parameters);

  const lanes = await pbkdf2Async(password, salt, 1, p * laneBytes, "sha256");
  // Where p is odd, a lane of zeros keeps the last one company.
  const padded = Buffer.alloc(pairs * 2 * laneBytes);
  padded.set(lanes);
  const pairsEach = Math.ceil(pairs / workers);
  const bytesEach = pairsEach * 2 * laneBytes;
  const parts: Promise<Uint8Array>[] = [];
  for (let at = 0; at < padded.length; at += bytesEach) {
    parts.push(mix({ lanes: padded.subarray(at, at + bytesEach), N, r }));
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
