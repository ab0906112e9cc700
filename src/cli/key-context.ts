// What opening a SOPS document may use of this machine: files, programs, one request, a person to ask. Content comes in and
// goes out through memory alone.

import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { errnoOf, HoldfastError, messageOf } from "../base/errors.ts";
import { cancelled } from "../base/cancellation.ts";
import type { GivenKey, GivenKeys, KeyContext } from "../sops/key-source.ts";
import type { GoogleCredentials } from "../storage/gcs.ts";
import type { Context } from "./command.ts";
import type { SopsService } from "./sops-service.ts";
import { quoteUnprintable } from "./terminal-text.ts";

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
  let given: Promise<GivenKeys | undefined> | undefined;
  const keys: KeyContext = {
    env,
    readFile: readIfThere,
    run: (program, args, input, extra) =>
      runProgram(program, args, { input, env: extra ?? env, signal }),
    fetch: async (url, init) => {
      const limit = AbortSignal.any([signal, AbortSignal.timeout(REQUEST_MS)]);
      const answer = await fetch(url, { ...init, signal: limit, redirect: "error" });
      return { status: answer.status, text: await answer.text() };
    },
    given: () => (given ??= readGiven(context, keys)),
    googleToken: (scope, credentials) => googleToken(context, scope, credentials),
    askSops: async (method, request) => (await sopsService(context)).ask(method, request),
    askPassphrase: secrets.ask && ((what) => secrets.ask!(`enter passphrase for ${what}: `)),
    random,
    offline,
    signal,
  };
  return keys;
}

async function readGiven(
  { settings, output }: Context,
  keys: KeyContext,
): Promise<GivenKeys | undefined> {
  if (settings.sopsKeys === undefined) return undefined;
  const { readSopsKeys } = await import("./sops-keys.ts");
  return await readSopsKeys(settings.sopsKeys, keys, (text) => {
    // Standard output may be a secret that a script takes.
    if (output.shows(2)) output.warn(text);
  });
}

/** One sops serves all keys of a command. */
const services = new WeakMap<Context, Promise<SopsService>>();

function sopsService(context: Context): Promise<SopsService> {
  const service = services.get(context) ?? makeService(context);
  services.set(context, service);
  return service;
}

async function makeService({
  environment: env,
  signal,
  output,
  closers,
}: Context): Promise<SopsService> {
  const { SopsService: Service } = await import("./sops-service.ts");
  const onNotice = (text: string): void => output.warn(quoteUnprintable(text));
  return closers.add(new Service({ env, signal, onNotice }));
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

async function googleToken(
  context: Context,
  scope: string,
  given: GivenKey | undefined,
): Promise<string> {
  const credentials = given === undefined ? ownCredentials(context) : givenCredentials(given);
  if (typeof credentials === "string") return credentials;
  const { googleAccessToken } = await import("../storage/google-access.ts");
  const { contextOf } = await import("../storage/open-storage.ts");
  const { storageOptions } = await import("./session.ts");
  return await googleAccessToken(credentials, scope, contextOf(await storageOptions(context)));
}

/** A token, or where one is to be had. As sops looks for them: its own variables first, then what Google's tools use. */
function ownCredentials({ environment: env }: Context): string | GoogleCredentials {
  const token = env["GOOGLE_OAUTH_ACCESS_TOKEN"];
  if (token) return token;
  const named = env["GOOGLE_CREDENTIALS"];
  return named ? { kind: "file", value: named, source: "GOOGLE_CREDENTIALS" } : { kind: "default" };
}

function givenCredentials({ name, content }: GivenKey): GoogleCredentials {
  return { kind: "file", value: Buffer.from(content).toString("utf8"), source: name };
}

interface RunOptions {
  input: Uint8Array | undefined;
  env: Readonly<Record<string, string | undefined>>;
  signal: AbortSignal | undefined;
}

/** Runs a program without a shell; what it wrote, and how it ended. */
export function runProgram(
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
