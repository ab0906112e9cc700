// A command of the user's, run against what was recovered: it may boot Odoo, or ask the database what only the user knows. It
// gets a time limit, and with it all that it started ends. What it writes is told by its last lines.

import { spawn } from "node:child_process";
import { throwIfCancelled, cancelled } from "../../base/cancellation.ts";
import { messageOf } from "../../base/errors.ts";
import type { DrillCheck } from "./report.ts";

export interface OwnCommandOptions {
  /** For /bin/sh. */
  readonly command: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly folder: string;
  /** Milliseconds. */
  readonly limit: number;
  readonly signal?: AbortSignal | undefined;
}

const KEPT_BYTES = 4000;
const TOLD_LINES = 5;

/** Runs it to its end; what its status says. */
export async function runOwnCommand(options: OwnCommandOptions): Promise<DrillCheck> {
  const { command, environment, folder, limit, signal } = options;
  throwIfCancelled(signal);
  // A group of its own: what it starts ends with it.
  const child = spawn("/bin/sh", ["-c", command], {
    cwd: folder,
    env: environment,
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  });
  let said = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (text: string) => {
      said = (said + text).slice(-KEPT_BYTES);
    });
  let isLate = false;
  const end = (): void => {
    try {
      process.kill(-child.pid!, "SIGKILL");
    } catch {
      // It has ended.
    }
  };
  const timer = setTimeout(() => {
    isLate = true;
    end();
  }, limit);
  signal?.addEventListener("abort", end, { once: true });
  const { status, failure } = await new Promise<{ status: number | null; failure?: string }>(
    (resolve) => {
      child.once("error", (error) => resolve({ status: null, failure: messageOf(error) }));
      // What it left running would keep its output open.
      child.once("exit", end);
      child.once("close", (code) => resolve({ status: code }));
    },
  );
  clearTimeout(timer);
  signal?.removeEventListener("abort", end);
  if (signal?.aborted) throw cancelled(signal);
  const lines = said.trim().split("\n").slice(-TOLD_LINES).join(" | ");
  const last = lines === "" ? "" : `: ${lines}`;
  const name = "command";
  if (isLate)
    return {
      name,
      result: "failed",
      detail: `not done after ${Math.round(limit / 1000)} s${last}`,
    };
  if (status === 0) return { name, result: "ok", detail: `ended with 0${last}` };
  return { name, result: "failed", detail: `${failure ?? `ended with ${status}`}${last}` };
}
