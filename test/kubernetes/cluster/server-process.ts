// A program of the test cluster, run as a child that cannot outlive the test: the kernel kills it when our process ends, however
// that ends. What it prints is kept, and is what an unexpected end is reported with.

import { spawn } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";

export interface ServerProcess {
  readonly pid: number;
  /** The last of what it printed, both streams. */
  output(): string;
  /** Whether it has ended. */
  ended(): boolean;
  /** Resolves with its exit status, or with the signal that ended it. */
  readonly exited: Promise<number | string>;
  /** Ends it, and waits until it is gone. */
  stop(signal?: NodeJS.Signals): Promise<void>;
}

export interface ServerOptions {
  /** What messages call it. */
  readonly name: string;
  readonly program: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Characters of output to keep. */
  readonly keep?: number;
}

/** Starts it; does not wait until it is ready. */
export function startServer(options: ServerOptions): ServerProcess {
  const { name, program, args, env, cwd, keep = 256 << 10 } = options;
  const child = spawn("setpriv", ["--pdeathsig", "KILL", "--", program, ...args], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...env },
    ...(cwd === undefined ? {} : { cwd }),
  });
  let text = "";
  const take = (chunk: Buffer): void => {
    text = (text + chunk.toString()).slice(-keep);
  };
  child.stdout.on("data", take);
  child.stderr.on("data", take);
  let over = false;
  const exited = new Promise<number | string>((resolve) => {
    child.once("error", (error) => {
      text += `${name}: ${error.message}`;
      over = true;
      resolve(127);
    });
    child.once("exit", (code, signal) => {
      over = true;
      resolve(code ?? signal ?? 127);
    });
  });
  return {
    pid: child.pid ?? -1,
    output: () => text,
    ended: () => over,
    exited,
    async stop(signal = "SIGKILL") {
      if (!over) child.kill(signal);
      await exited;
    },
  };
}

/** Asks `probe` until it says yes. Throws with the server's last words when it ended, or does not get ready in time. */
export async function untilReady(
  name: string,
  server: ServerProcess,
  probe: () => Promise<boolean>,
  { milliseconds = 240_000 }: { milliseconds?: number } = {},
): Promise<void> {
  const deadline = Date.now() + milliseconds;
  while (!(await probe().catch(() => false))) {
    const why = server.ended() ? "ended" : Date.now() > deadline ? "does not get ready" : undefined;
    if (why !== undefined) {
      throw new Error(`${name} ${why}:\n${server.output().split("\n").slice(-40).join("\n")}`);
    }
    await sleep(50);
  }
}
