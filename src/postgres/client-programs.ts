// PostgreSQL's own client programs, pg_dump and psql, run against a server that we know how to reach. What they need to
// connect goes by variables and private files, never by words of a command line, which every user of the machine can read. A
// program that fails is an error with what it said; what it had written by then is worth nothing.

import { spawn, type ChildProcess } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { finished } from "node:stream/promises";
import { cancelled, throwIfCancelled } from "../base/cancellation.ts";
import { HoldfastError, messageOf } from "../base/errors.ts";
import type { ConnectionSettings } from "./connection.ts";
import { programFolders, programVersion } from "./program-folders.ts";

export type ClientProgramName = "pg_dump" | "pg_restore" | "psql";

export interface ClientProgram {
  readonly name: ClientProgramName;
  readonly path: string;
  /** "15.18". */
  readonly version: string;
}

export interface FindClientOptions {
  /** That of the server. An older pg_dump refuses it; a newer one may write what it does not understand. */
  readonly major: number;
  /** Looked at before all others. */
  readonly folder?: string | undefined;
  /** The folders of the variable PATH, parted as they are there. */
  readonly path?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * The program of the server's major, or else the oldest newer one there is. Throws POSTGRES_NOT_FOUND with what there is and
 * what to install.
 */
export async function findClientProgram(
  name: ClientProgramName,
  options: FindClientOptions,
): Promise<ClientProgram> {
  const { major, folder, path, signal } = options;
  const majors = Array.from({ length: 6 }, (_, i) => major + i);
  const found: ClientProgram[] = [];
  for (const each of programFolders({ majors, folder, path })) {
    throwIfCancelled(signal);
    const program = join(each, name);
    if (!existsSync(program)) continue;
    const version = await programVersion(program);
    if (version === undefined) continue;
    found.push({ name, path: program, version });
    if (majorOf(version) === major) break;
  }
  const [best] = found
    .filter(({ version }) => majorOf(version) >= major)
    .toSorted((a, b) => majorOf(a.version) - majorOf(b.version));
  if (best !== undefined) return best;
  const others = found.map(({ version, path: place }) => `${version} at ${place}`);
  const there = others.length === 0 ? "" : ` (there is ${others.join(", ")})`;
  throw new HoldfastError(
    "POSTGRES_NOT_FOUND",
    `${name} of PostgreSQL ${major} is not on this machine${there}`,
    {
      hint: `Install the clients of PostgreSQL, such as the Debian package postgresql-client-${major}, or name their folder with --postgres-bin.`,
    },
  );
}

function majorOf(version: string): number {
  return Number.parseInt(version, 10);
}

export interface RunClientOptions {
  readonly program: ClientProgram;
  readonly settings: ConnectionSettings;
  /** Words of the command line; none of them is a secret. */
  readonly words: readonly string[];
  readonly signal?: AbortSignal | undefined;
}

/**
 * What the program writes, as it writes it. Ends only when it has ended well: POSTGRES_FAILED with what it said otherwise,
 * CANCELLED. Whoever leaves the loop early ends the program.
 */
export async function* clientOutput(options: RunClientOptions): AsyncGenerator<Uint8Array, void> {
  const running = startClient(options, "ignore");
  try {
    yield* running.child.stdout as AsyncIterable<Uint8Array>;
    await running.succeeded();
  } finally {
    await running.end();
  }
}

/** Feeds `input` to the program and waits for its end; what it wrote is left out. Throws as `clientOutput`. */
export async function feedClient(
  options: RunClientOptions & { readonly input: AsyncIterable<Uint8Array> | Iterable<Uint8Array> },
): Promise<void> {
  const running = startClient(options, "pipe");
  const { stdin, stdout } = running.child as ChildProcess & { stdin: Writable; stdout: Readable };
  stdout.resume();
  try {
    let isGone = false;
    stdin.on("error", () => (isGone = true));
    for await (const piece of options.input) {
      throwIfCancelled(options.signal);
      // A program that has gone away says why below.
      if (isGone || stdin.destroyed) break;
      if (!stdin.write(piece)) await drained(stdin);
    }
    stdin.end();
    await finished(stdin).catch(() => {});
    await running.succeeded();
  } finally {
    await running.end();
  }
}

async function drained(stream: Writable): Promise<void> {
  await new Promise<void>((resolve) => {
    const go = (): void => {
      stream.off("drain", go);
      stream.off("close", go);
      resolve();
    };
    stream.on("drain", go);
    stream.on("close", go);
  });
}

interface RunningClient {
  readonly child: ChildProcess;
  /** Waits for its end. Throws when that was none that it should have. */
  succeeded(): Promise<void>;
  /** Ends it, if it has not ended, and removes its files. */
  end(): Promise<void>;
}

/** How much of what a program says is kept: the end. */
const SAID_BYTES = 4000;

function startClient(options: RunClientOptions, stdin: "ignore" | "pipe"): RunningClient {
  const { program, settings, words, signal } = options;
  throwIfCancelled(signal);
  const place = mkdtempSync(join(tmpdir(), "holdfast-client-"));
  let child: ChildProcess;
  try {
    child = spawn(program.path, words, {
      cwd: "/",
      env: clientEnvironment(settings, place),
      stdio: [stdin, "pipe", "pipe"],
    });
  } catch (error) {
    rmSync(place, { recursive: true, force: true });
    throw error;
  }
  let said = "";
  child.stderr!.setEncoding("utf8").on("data", (text: string) => {
    said = (said + text).slice(-SAID_BYTES);
  });
  const ended = new Promise<{ status: number | null; reason?: string }>((resolve) => {
    child.once("error", (error) => resolve({ status: null, reason: messageOf(error) }));
    child.once("close", (status) => resolve({ status }));
  });
  const stop = (): void => void child.kill("SIGTERM");
  signal?.addEventListener("abort", stop, { once: true });
  return {
    child,
    async succeeded() {
      const { status, reason } = await ended;
      if (signal?.aborted) throw cancelled(signal);
      if (status === 0) return;
      const why = reason ?? said.trim().split("\n").slice(0, 3).join("; ");
      throw new HoldfastError(
        "POSTGRES_FAILED",
        `${program.name} ${program.version} failed: ${why || `exit status ${status}`}`,
        { hint: "Mend what it says, then run the command again; nothing of this run is kept." },
      );
    },
    async end() {
      signal?.removeEventListener("abort", stop);
      if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
      child.stdout?.destroy();
      await ended;
      rmSync(place, { recursive: true, force: true });
    },
  };
}

/** Variables that bring a program of libpq to the server; files with certificates lie in `place`, which is ours alone. */
function clientEnvironment(settings: ConnectionSettings, place: string): Record<string, string> {
  const { hosts, user, database, tls, connectTimeout, options, applicationName } = settings;
  const file = (name: string, content: string): string => {
    const path = join(place, name);
    writeFileSync(path, content, { mode: 0o600 });
    return path;
  };
  const escaped = (text: string): string => text.replace(/[\\:]/g, "\\$&");
  // libpq looks for a socket's host under more than one name: where one password serves all, none is asked for.
  const isOne = new Set(hosts.map(({ password }) => password)).size === 1;
  const passwords = hosts.flatMap(({ host, port, password }) => {
    if (password === undefined) return [];
    return [`${isOne ? "*:*" : `${escaped(host)}:${port}`}:*:*:${escaped(password)}\n`];
  });
  const environment: Record<string, string> = {
    PATH: "/usr/local/bin:/usr/bin:/bin",
    LC_ALL: "C",
    HOME: place,
    PGHOST: hosts.map(({ host }) => host).join(","),
    PGPORT: hosts.map(({ port }) => port).join(","),
    PGUSER: user,
    PGDATABASE: database,
    PGSSLMODE: tls.mode,
    PGAPPNAME: applicationName ?? "holdfast",
    PGCLIENTENCODING: "UTF8",
    PGPASSFILE: file("passwords", passwords.join("")),
  };
  if (tls.ca !== undefined) environment["PGSSLROOTCERT"] = file("authorities", tls.ca);
  else if (tls.mode.startsWith("verify")) environment["PGSSLROOTCERT"] = "system";
  if (tls.certificate !== undefined)
    environment["PGSSLCERT"] = file("certificate", tls.certificate);
  if (tls.key !== undefined) environment["PGSSLKEY"] = file("key", tls.key);
  if (connectTimeout !== undefined)
    environment["PGCONNECT_TIMEOUT"] = String(Math.ceil(connectTimeout / 1000));
  if (options !== undefined) environment["PGOPTIONS"] = options;
  return environment;
}
