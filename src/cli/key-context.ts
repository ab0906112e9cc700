// What opening a SOPS document may use of this machine: files, programs, one request, a person to ask. Content comes in and
// goes out through memory alone.

import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { errnoOf, HoldfastError, messageOf } from "../base/errors.ts";
import { cancelled } from "../base/cancellation.ts";
import type { KeyContext } from "../sops/key-source.ts";
import type { GoogleCredentials } from "../storage/gcs.ts";
import type { Context } from "./command.ts";

/** A program that prints more than this is not what it should be. */
const OUTPUT_BYTES_MAX = 16 << 20;
/** A service that has not answered by then will not. */
const REQUEST_MS = 30_000;

/** What is remembered of answers and files belongs to one context, so a command has one. */
const made = new WeakMap<Context, Map<boolean, KeyContext>>();

/** The context of one command. `offline`: use nothing that is not on this machine. */
export function keyContext(context: Context, offline: boolean): KeyContext {
  const own = made.get(context) ?? new Map<boolean, KeyContext>();
  made.set(context, own);
  const keys = own.get(offline) ?? makeContext(context, offline);
  own.set(offline, keys);
  return keys;
}

function makeContext(context: Context, offline: boolean): KeyContext {
  const { environment: env, secrets, random, signal } = context;
  return {
    env,
    readFile: readIfThere,
    run: (program, args, input, extra) =>
      runProgram(program, args, { input, env: extra ?? env, signal }),
    fetch: async (url, init) => {
      const limit = AbortSignal.any([signal, AbortSignal.timeout(REQUEST_MS)]);
      const answer = await fetch(url, { ...init, signal: limit, redirect: "error" });
      return { status: answer.status, text: await answer.text() };
    },
    googleToken: (scope) => googleToken(context, scope),
    askPassphrase: secrets.ask && ((what) => secrets.ask!(`enter passphrase for ${what}: `)),
    random,
    offline,
    signal,
  };
}

async function readIfThere(path: string): Promise<Uint8Array | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === "ENOENT" || errno === "ENOTDIR") return undefined;
    throw new HoldfastError("SOPS_NO_KEY", `${path} cannot be read: ${messageOf(error)}`);
  }
}

/** As sops looks for them: its own variables first, then what Google's tools use. */
async function googleToken(context: Context, scope: string): Promise<string> {
  const { environment: env } = context;
  const token = env["GOOGLE_OAUTH_ACCESS_TOKEN"];
  if (token) return token;
  const named = env["GOOGLE_CREDENTIALS"];
  const credentials: GoogleCredentials = named
    ? { kind: "file", value: named, source: "GOOGLE_CREDENTIALS" }
    : { kind: "default" };
  const { googleAccessToken } = await import("../storage/google-access.ts");
  const { contextOf } = await import("../storage/open-storage.ts");
  const { storageOptions } = await import("./session.ts");
  return await googleAccessToken(credentials, scope, contextOf(await storageOptions(context)));
}

interface RunOptions {
  input: Uint8Array | undefined;
  env: Readonly<Record<string, string | undefined>>;
  signal: AbortSignal | undefined;
}

function runProgram(
  program: string,
  args: readonly string[],
  { input, env, signal }: RunOptions,
): Promise<{ status: number; stdout: Uint8Array; stderr: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, [...args], { env: { ...env }, signal, stdio: "pipe" });
    const stdout: Buffer[] = [];
    let stderr = "";
    let bytes = 0;
    child.on("error", (error) => reject(signal?.aborted ? cancelled(signal) : error));
    child.stdout.on("data", (data: Buffer) => {
      bytes += data.length;
      if (bytes > OUTPUT_BYTES_MAX) child.kill();
      else stdout.push(data);
    });
    child.stderr.on(
      "data",
      (data: Buffer) => (stderr = (stderr + data.toString()).slice(-OUTPUT_BYTES_MAX)),
    );
    // A program that does not read its input closes it.
    child.stdin.on("error", () => {});
    child.stdin.end(input ?? "");
    child.on("close", (status) =>
      resolve({ status: status ?? 1, stdout: Buffer.concat(stdout), stderr }),
    );
  });
}
