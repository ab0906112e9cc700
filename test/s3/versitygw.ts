// A real server of S3 on this machine. It starts on a free port with a folder of its own, is ready when it answers, and is
// gone with its folder when it is stopped. The rclone of Debian has no `serve s3`, so there is no second one.

import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { peer } from "../peers.ts";
import { freePort } from "../free-port.ts";

export interface S3Server {
  readonly endpoint: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** Makes a bucket by making its folder; its name. */
  makeBucket: () => string;
  /** The folder of a bucket, where its objects are files. */
  folderOf: (bucket: string) => string;
  stop: () => Promise<void>;
}

const ACCESS_KEY_ID = "AKIDHOLDFASTTEST";
const SECRET_ACCESS_KEY = "thesecretofthetestnobodymaysee";

/** A versitygw on a folder; `versioning` lets buckets keep old versions. */
export async function startVersitygw(options: { versioning?: boolean } = {}): Promise<S3Server> {
  return await startServer((port, folder) => {
    const versions = join(folder, "versions");
    mkdirSync(versions);
    const versioning = options.versioning ? ["--versioning-dir", versions] : [];
    const words = ["--port", `127.0.0.1:${port}`, "--quiet", "--keep-alive", "posix"];
    return spawn(peer("versitygw").path, [...words, ...versioning, join(folder, "buckets")], {
      env: { ROOT_ACCESS_KEY: ACCESS_KEY_ID, ROOT_SECRET_KEY: SECRET_ACCESS_KEY, HOME: folder },
      stdio: "ignore",
    });
  });
}

async function startServer(
  start: (port: number, folder: string) => ChildProcess,
): Promise<S3Server> {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-s3-"));
  mkdirSync(join(folder, "buckets"));
  const port = await freePort();
  const child = start(port, folder);
  const stop = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null && child.pid !== undefined) {
      const ended = once(child, "exit");
      child.kill("SIGTERM");
      const late = setTimeout(() => child.kill("SIGKILL"), 3000);
      await ended;
      clearTimeout(late);
    }
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    await answers(port, child);
  } catch (error) {
    await stop();
    throw error;
  }
  let buckets = 0;
  const folderOf = (bucket: string): string => join(folder, "buckets", bucket);
  const makeBucket = (): string => {
    const bucket = `bucket-${(buckets += 1)}`;
    mkdirSync(folderOf(bucket));
    return bucket;
  };
  return {
    endpoint: `http://127.0.0.1:${port}`,
    accessKeyId: ACCESS_KEY_ID,
    secretAccessKey: SECRET_ACCESS_KEY,
    makeBucket,
    folderOf,
    stop,
  };
}

/** Resolves when the server gives any answer. */
async function answers(port: number, child: ChildProcess): Promise<void> {
  for (let attempt = 0; attempt < 2400; attempt += 1) {
    if (child.exitCode !== null) throw new Error(`the server ended with ${child.exitCode}`);
    const isUp = await new Promise<boolean>((resolve) => {
      const asking = request({ host: "127.0.0.1", port, method: "GET", path: "/" }, (response) => {
        response.resume();
        resolve(true);
      });
      asking.on("error", () => resolve(false));
      asking.end();
    });
    if (isUp) return;
    await sleep(50);
  }
  throw new Error("the server does not answer");
}
