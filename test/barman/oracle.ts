// The way to Barman's own modules: oracle.py beside it, run by the Python of a peer; and what they are asked about, which is the
// same in every run. HOLDFAST_SEED asks for something else.

import { execFileSync } from "node:child_process";
import { join } from "node:path";
import fc from "fast-check";
import { peer, type PeerName } from "../peers.ts";

const SEED = Number(process.env["HOLDFAST_SEED"] ?? 20_261);

/** `count` values. */
export function sample<T>(values: fc.Arbitrary<T>, count: number): T[] {
  return fc.sample(values, { numRuns: count, seed: SEED });
}

/** Barman's answers to `questions`. */
export function ask<T>(name: PeerName, questions: readonly unknown[]): T[] {
  const script = join(import.meta.dirname, "oracle.py");
  const options = { input: JSON.stringify(questions), maxBuffer: 1 << 30, timeout: 300_000 };
  const env = {
    ...process.env,
    TZ: "UTC",
    PYTHONDONTWRITEBYTECODE: "1",
    PYTHONIOENCODING: "utf-8",
  };
  const answer = execFileSync(peer(name).path, [script], {
    ...options,
    env,
    stdio: ["pipe", "pipe", "ignore"],
  });
  return JSON.parse(answer.toString()) as T[];
}
