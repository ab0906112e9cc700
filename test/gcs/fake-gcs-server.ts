// Somebody else's Cloud Storage, started for a test: laxer than our double, and so a second opinion on what we send.

import { spawn } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { freePort } from "../free-port.ts";

export interface FakeGcsServer {
  readonly endpoint: string;
  createBucket(name: string): Promise<void>;
  stop(): Promise<void>;
}

/** Starts the program at `path` with everything in memory, and waits until it answers. */
export async function startFakeGcsServer(path: string): Promise<FakeGcsServer> {
  const port = await freePort();
  const host = `127.0.0.1:${port}`;
  const endpoint = `http://${host}`;
  const words =
    `-scheme http -host 127.0.0.1 -port ${port} -backend memory ` +
    `-public-host ${host} -external-url ${endpoint} -log-level error`;
  const child = spawn(path, words.split(" "), { stdio: "ignore" });
  const exited = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  const stop = async (): Promise<void> => {
    child.kill("SIGKILL");
    await exited;
  };
  for (let attempt = 0; ; attempt += 1) {
    const answer = await fetch(`${endpoint}/storage/v1/b?project=p`).catch(() => undefined);
    if (answer?.ok) break;
    if (attempt === 2400 || child.exitCode !== null) {
      await stop();
      throw new Error("fake-gcs-server did not start");
    }
    await sleep(50);
  }
  return {
    endpoint,
    stop,
    async createBucket(name) {
      const answer = await fetch(`${endpoint}/storage/v1/b?project=p`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ name }),
      });
      if (!answer.ok) throw new Error(`cannot create the bucket: HTTP ${answer.status}`);
    },
  };
}
