// How a password comes in on this machine: typed without echo, as the first line of stdin, from a file or from a
// program that is run without a shell.

import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { HoldfastError } from "../base/errors.ts";
import type { SecretIo } from "./repository-source.ts";

/** What is needed of process.stdin. */
export type SecretInput = NodeJS.ReadableStream & {
  readonly isTTY?: boolean;
  setRawMode?(raw: boolean): unknown;
};

/** Where prompts go: process.stderr. */
export interface PromptStream {
  write(text: string): unknown;
}

/** The real sources of secrets. Prompts and what a password command says go to `prompts`. */
export function createSecretIo(input: SecretInput, prompts: PromptStream): SecretIo {
  return {
    readFile: (name) => readFile(name),
    run: (program, args) => runProgram(program, args, input, prompts),
    ask: input.isTTY ? (prompt) => askHidden(input, prompts, prompt) : undefined,
    readLine: () => readFirstLine(input),
    readAll: (limit) => readAll(input, limit),
  };
}

const CONTROL_C = "\x03";
const CONTROL_D = "\x04";
const CONTROL_U = "\x15";

/** Asks for a line that is not shown while it is typed. Throws CANCELLED on Ctrl-C. */
async function askHidden(
  input: SecretInput,
  prompts: PromptStream,
  prompt: string,
): Promise<string> {
  prompts.write(prompt);
  input.setRawMode?.(true);
  input.setEncoding("utf8");
  const typed: string[] = [];
  try {
    return await new Promise((resolve, reject) => {
      const stop = (): void => {
        input.off("data", onData);
        input.off("end", onEnd);
        input.pause();
      };
      const onEnd = (): void => {
        stop();
        resolve(typed.join(""));
      };
      const onData = (data: string | Buffer): void => {
        for (const character of String(data)) {
          if (character === CONTROL_C) {
            stop();
            reject(new HoldfastError("CANCELLED", "stopped at the password prompt"));
            return;
          }
          if (character === "\r" || character === "\n" || character === CONTROL_D) return onEnd();
          if (character === "\x7f" || character === "\b") typed.pop();
          else if (character === CONTROL_U) typed.length = 0;
          else typed.push(character);
        }
      };
      input.on("data", onData);
      input.on("end", onEnd);
      input.resume();
    });
  } finally {
    input.setRawMode?.(false);
    prompts.write("\n");
  }
}

/** The first line of a stream, "" when it is empty. */
async function readFirstLine(input: SecretInput): Promise<string> {
  const lines = createInterface({ input, terminal: false });
  for await (const line of lines) return line;
  return "";
}

async function readAll(input: SecretInput, limit: number): Promise<Buffer> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of input) {
    const bytes = Buffer.from(part as Buffer | string);
    length += bytes.length;
    if (length > limit) {
      throw new HoldfastError("USAGE", `standard input has more than ${limit} bytes`);
    }
    parts.push(bytes);
  }
  return Buffer.concat(parts);
}

/** Runs a program without a shell, its stdin ours; what it wrote to stdout. */
function runProgram(
  program: string,
  args: readonly string[],
  input: SecretInput,
  prompts: PromptStream,
): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    // Programs such as gpg or pass ask the person themselves.
    const stdin = input === process.stdin ? "inherit" : "ignore";
    const child = spawn(program, args, { stdio: [stdin, "pipe", "pipe"] });
    const output: Buffer[] = [];
    child.stdout?.on("data", (data: Buffer) => output.push(data));
    child.stderr?.on("data", (data: Buffer) => prompts.write(data.toString()));
    child.on("error", reject);
    child.on("close", (code, signal) => {
      if (code === 0) resolve(Buffer.concat(output));
      else reject(new Error(signal === null ? `exit status ${code}` : `killed by ${signal}`));
    });
  });
}
