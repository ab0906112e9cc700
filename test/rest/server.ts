// Starts the real rest-server on a port of its own choice, or on a socket.

import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { peer } from "../peers.ts";

export interface RestServer {
  /** Where its files are. */
  readonly folder: string;
  /** "127.0.0.1:40123", or the path of its socket. */
  readonly listen: string;
  /** A location below it, with a path that ends in "/". */
  location(path: string): string;
  close(): Promise<void>;
}

export interface RestServerOptions {
  /** Further arguments, as --append-only. */
  args?: readonly string[];
  /** Content of its password file; none: no authentication. */
  htpasswd?: string;
  socket?: boolean;
}

export async function startRestServer(options: RestServerOptions = {}): Promise<RestServer> {
  const { args = [], htpasswd, socket = false } = options;
  const folder = await mkdtemp(join(tmpdir(), "holdfast-rest-"));
  const socketPath = join(folder, "server.sock");
  const all = ["--path", join(folder, "files"), ...args];
  all.push("--listen", socket ? `unix:${socketPath}` : "127.0.0.1:0");
  if (htpasswd === undefined) {
    all.push("--no-auth");
  } else {
    const { writeFile } = await import("node:fs/promises");
    await writeFile(join(folder, "htpasswd"), htpasswd);
    all.push("--htpasswd-file", join(folder, "htpasswd"));
  }
  const child = spawn(peer("rest-server").path, all, { stdio: ["ignore", "pipe", "pipe"] });
  const listen = await announced(child);
  return {
    folder: join(folder, "files"),
    listen,
    location: (path) => (socket ? `http+unix://${listen}:${path}` : `http://${listen}${path}`),
    close: async () => {
      const exited = child.exitCode === null ? once(child, "exit") : undefined;
      child.kill();
      await exited;
      await rm(folder, { recursive: true, force: true });
    },
  };
}

function announced(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let told = "";
    const read = (chunk: Buffer): void => {
      told += chunk.toString();
      const address = /^start server on (.+)$/m.exec(told)?.[1];
      if (address !== undefined) resolve(address);
    };
    child.stdout!.on("data", read);
    child.stderr!.on("data", read);
    child.once("error", reject);
    child.once("exit", () => reject(new Error(`the server ended: ${told}`)));
  });
}
