// A worker thread that mixes some lanes of one scrypt (RFC 7914 §6, step 2), two at a time, and ends. It sees neither the
// password nor the key.

import { parentPort, workerData } from "node:worker_threads";
import { createKernels, romixBytes } from "../restic/kernels.ts";

export interface ScryptLanes {
  /** An even number of lanes of 128·r bytes, one after the other. */
  readonly lanes: Uint8Array;
  readonly N: number;
  readonly r: number;
}

const { lanes, N, r } = workerData as ScryptLanes;
const pair = 2 * 128 * r;
const { base, bytes, romixPair } = createKernels({ bytes: pair + romixBytes(N, pair / 2) });
for (let at = 0; at < lanes.length; at += pair) {
  bytes.set(lanes.subarray(at, at + pair), base);
  romixPair(base, base + pair, N, pair / 2);
  lanes.set(bytes.subarray(base, base + pair), at);
}
parentPort!.postMessage(lanes);
