// A KeyContext as the command line makes it, on real files and programs, that knows only the environment it is given.

import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { errnoOf } from "../../src/base/errors.ts";
import type { KeyContext, KeyKind, WrappedKey } from "../../src/sops/key-source.ts";

/** Every argument, and every variable's value, that a program was run with. */
export interface Ran {
  readonly program: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
}

export interface TestKeyContext extends KeyContext {
  readonly ran: Ran[];
}

export function keyContext(
  env: Record<string, string> = {},
  options: Partial<KeyContext> = {},
): TestKeyContext {
  const ran: Ran[] = [];
  return {
    env: { PATH: process.env["PATH"] ?? "", ...env },
    ran,
    readFile: async (path) => {
      try {
        return await readFile(path);
      } catch (error) {
        if (errnoOf(error) === "ENOENT") return undefined;
        throw error;
      }
    },
    run: (program, args, input, childEnv) => {
      ran.push({ program, args, env: childEnv ?? {} });
      return run(program, args, input, { ...childEnv });
    },
    fetch: async (url, init) => {
      const answer = await fetch(url, init);
      return { status: answer.status, text: await answer.text() };
    },
    given: () => Promise.resolve(undefined),
    googleToken: () => Promise.resolve("x"),
    askSops: () => Promise.resolve("no sops on PATH"),
    askPassphrase: undefined,
    random: (length) => randomBytes(length),
    offline: false,
    signal: undefined,
    ...options,
  };
}

function run(
  program: string,
  args: readonly string[],
  input: Uint8Array | undefined,
  env: NodeJS.ProcessEnv,
): Promise<{ status: number; stdout: Uint8Array; stderr: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { env, stdio: "pipe" });
    const [stdout, stderr]: [Buffer[], Buffer[]] = [[], []];
    child.stdout.on("data", (part: Buffer) => stdout.push(part));
    child.stderr.on("data", (part: Buffer) => stderr.push(part));
    child.stdin.on("error", () => {});
    child.stdin.end(input);
    child.on("error", reject);
    child.on("close", (status) =>
      resolve({
        status: status ?? 1,
        stdout: Buffer.concat(stdout),
        stderr: Buffer.concat(stderr).toString(),
      }),
    );
  });
}

/** A wrapped key as a document would name it. */
export function wrapped(kind: KeyKind, id: string, enc: string): WrappedKey {
  return { kind, id, enc, createdAt: undefined };
}
