// The program as PostgreSQL and people start it: bin/holdfast, in an environment that holds nothing but what is given.

import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";

export const HOLDFAST: string = join(import.meta.dirname, "..", "..", "bin", "holdfast");

export interface ProgramOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Another starter than bin/holdfast of this checkout. */
  readonly program?: string;
  readonly account?: { readonly uid: number; readonly gid: number } | undefined;
}

export interface ProgramRun {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Starts it; the process of the starter. */
export function startProgram(
  words: readonly string[],
  options: ProgramOptions = {},
): { child: ChildProcess; ended: Promise<ProgramRun> } {
  const { cwd = "/", env = {}, program = HOLDFAST, account } = options;
  const child = spawn(program, words, {
    cwd,
    env: { PATH: "/usr/bin:/bin", HOLDFAST_NODE: process.execPath, ...env },
    stdio: ["ignore", "pipe", "pipe"],
    ...account,
  });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const ended = once(child, "close").then(([status, signal]) => ({
    status: status as number | null,
    signal: signal as NodeJS.Signals | null,
    stdout,
    stderr,
  }));
  return { child, ended };
}

/** Runs it to its end. */
export async function runProgram(
  words: readonly string[],
  options: ProgramOptions = {},
): Promise<ProgramRun> {
  return await startProgram(words, options).ended;
}
