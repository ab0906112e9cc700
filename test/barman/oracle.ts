// The way to Barman's own modules: oracle.py beside it, run by the Python of a peer.

import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { peer, type PeerName } from "../peers.ts";

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
